"""A page over a fleet of two tenants in memory, served on a real port."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec, LoadBalancer
from fleetlb.contracts.v1 import LoadBalancerRevision, Owner, VirtualServerDesired
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, parse_key
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS
from fleetlb.kube.resources import NAMESPACES
from fleetlb.runtime.jetstream_api import API
from fleetlb.runtime.tracing import microseconds
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import CLUSTER, KEY, SERVICE, a_group, a_load_balancer, a_tenant, a_word
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory
from fleetlb_status.ui.detailing import Detailer, Hub
from fleetlb_status.ui.feed import Feed
from fleetlb_status.ui.painting import Painter
from fleetlb_status.ui.serving import Page
from fleetlb_status.ui.surveying import Surveyor

SYSTEM = "fleetlb-system"
OTHER = "service-2"
OTHERS = "globex"
HEADER = "X-Fleetlb-Tenant"
SPOILT = "</script><img src=x onerror=alert(1)>"


class Parts(NamedTuple):
    """What a test works on."""

    memory: Memory
    judging: Judging
    feed: Feed
    painter: Painter
    surveyor: Surveyor
    cluster: Cluster


def globex_balancer(**spec: Any) -> LoadBalancer:
    """The other tenant's only one."""
    return a_load_balancer(OTHER, **({"tenant": OTHERS, "addresses": ("192.0.2.2",)} | spec))


async def parts(feed: Feed | None = None) -> Parts:
    """Two tenants with a Service each; only acme's serves."""
    cluster = Cluster(FakeWire(FakeKube()), "test")
    await cluster.create(NAMESPACES, {"metadata": {"name": SYSTEM}})
    pool = AddressPool(metadata=ObjectMeta(name="public"), spec=AddressPoolSpec(addresses=("192.0.2.0/24",)))
    await cluster.create(ADDRESS_POOLS, pool)
    await cluster.create(BALANCER_GROUPS, a_group())
    painters: list[Painter] = []
    memory = Memory(lambda key: painters[0].note(key) if painters else None)
    for tenant in ("acme", OTHERS):
        memory.set_tenant(a_tenant(tenant, account=f"A{tenant.upper()}"))
    memory.set_group(a_group())
    memory.complete_group("default")
    memory.set_load_balancer(a_load_balancer())
    memory.set_load_balancer(globex_balancer())
    memory.fold_realized(a_word())
    feed, judging = feed or Feed(), Judging(memory)
    painter = Painter(judging, feed, microseconds)
    painter.begin()
    painters.append(painter)
    return Parts(memory, judging, feed, painter, Surveyor(cluster, memory, feed, SYSTEM), cluster)


async def a_bus() -> FakeBus:
    """One that holds nothing but what is desired of acme's Service."""
    wish = VirtualServerDesired(
        key=parse_key(KEY),
        generation=1,
        revision=4,
        owner=Owner(tenant="acme", cluster_uid=CLUSTER, service_uid=SERVICE),
        load_balancer=LoadBalancerRevision(f"uid-of-{SERVICE}", 1),
        server=VirtualServer(key=parse_key(KEY), real_servers=(RealServer("10.0.0.7", 31000, node="worker-7"),)),
    )
    held = {
        subjects.desired("default", parse_key(KEY)): codec.encode(wish),
        subjects.realized("default", "node-1", parse_key(KEY)): codec.encode(a_word()),
    }

    async def kept(_: str, body: bytes) -> bytes:
        found = held.get(msgspec.json.decode(body)["last_by_subj"])
        if found is None:
            return msgspec.json.encode({"error": {"code": 404, "err_code": 10037, "description": "no message found"}})
        return msgspec.json.encode({"message": {"time": "2027-01-15T07:00:00Z", "data": found}})

    bus = FakeBus()
    await bus.serve(f"{API}.STREAM.MSG.GET.*", kept)
    return bus


@asynccontextmanager
async def served(made: Parts, header: str = "") -> AsyncIterator[tuple[ClientSession, str]]:
    """The page on a port, and where it is."""
    detailer = Detailer(Hub(made.cluster, await a_bus(), SYSTEM), made.judging)
    page = Page(made.feed, made.painter, made.surveyor, detailer, tenant_header=header)
    async with contextlib.AsyncExitStack() as stack:
        server = TestServer(page.app())
        await stack.enter_async_context(server)
        stack.callback(made.feed.close)
        session = await stack.enter_async_context(ClientSession())
        yield session, f"http://127.0.0.1:{server.port}"


class Said(NamedTuple):
    """One server-sent event."""

    id: str
    kind: str
    data: Any


class Listener:
    """Reads server-sent events, one at a time."""

    def __init__(self, content: Any) -> None:
        self._content = content

    async def next(self) -> Said:
        """The next one; comments and retry times are passed over."""
        fields: dict[str, str] = {}
        while "data" not in fields or "event" not in fields:
            line = (await self._content.readline()).decode()
            assert line, "the stream ended"
            name, _, text = line.rstrip("\n").partition(": ")
            fields[name] = text
        return Said(fields["id"], fields["event"], msgspec.json.decode(fields["data"]))

    async def of(self, kind: str) -> Said:
        """The next one of a kind."""
        while (said := await self.next()).kind != kind:
            continue
        return said
