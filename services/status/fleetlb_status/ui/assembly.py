"""The page put together over a replica, and opened."""

from aiohttp import web

from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.process import Process
from fleetlb.runtime.settings import split_address
from fleetlb_status.replica import Replica
from fleetlb_status.settings import Settings
from fleetlb_status.ui.detailing import Detailer, Hub
from fleetlb_status.ui.feed import Feed
from fleetlb_status.ui.painting import Painter
from fleetlb_status.ui.serving import ROOT, Page
from fleetlb_status.ui.surveying import Surveyor

CLOSE_SECONDS = 1.0
"""Readers have been told by then; who does not hear is cut."""


async def open_page(process: Process, settings: Settings, cluster: Cluster, bus: Bus, replica: Replica) -> None:
    """Serve the page from now on. To be called when the replica has read everything."""
    feed, judging = Feed(), replica.judging
    painter = Painter(judging, feed)
    surveyor = Surveyor(cluster, replica.memory, feed, settings.system_namespace)
    detailer = Detailer(Hub(cluster, bus, settings.system_namespace), judging)
    page = Page(feed, painter, surveyor, detailer, tenant_header=settings.ui_tenant_header or "")
    painter.begin()
    replica.follow(painter.note)
    process.spawn(painter.run(), "paint")
    process.spawn(surveyor.run(), "survey")

    async def let_readers_go() -> None:
        feed.close()

    process.on_stop(let_readers_go)
    runner = web.AppRunner(page.app(), access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    process.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, *split_address(settings.ui_address or "")).start()
    process.log.info("the page is open", at=[f"http://{host[0]}:{host[1]}{ROOT}" for host in runner.addresses])
