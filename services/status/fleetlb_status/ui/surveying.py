"""What surrounds load balancers: looked at only while somebody reads, so that nothing is watched for nobody."""

import asyncio
import time
from typing import NoReturn

import msgspec
import structlog

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from fleetlb.kube.holding import holders
from fleetlb_status.memory import Memory
from fleetlb_status.ui.feed import Feed
from fleetlb_status.ui.pictures import HubPicture, Kind, Thing, ThingChanged
from fleetlb_status.ui.picturing import differences, group_of, pool_of, process_of, tenant_of
from fleetlb_status.ui.views import View

log = structlog.get_logger(__name__)

SURVEY_SECONDS = 2.0
THING = "thing"
HUB = (Kind.HUB, "management")


class Surveyor:
    """Groups and tenants come from memory, pools and Leases from the API server: two requests a survey,
    and one for each partition of tenants."""

    def __init__(self, cluster: Cluster, memory: Memory, feed: Feed, namespace: str) -> None:
        """`namespace`: where the processes of the fleet hold their Leases."""
        self._cluster = cluster
        self._memory = memory
        self._feed = feed
        self._namespace = namespace
        self._things: dict[tuple[Kind, str], Thing] = {}
        self._asked: dict[tuple[Kind, str], Thing] = {}
        self._at = float("-inf")
        self._turn = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Tell what changes while somebody reads."""
        while True:
            await self._feed.read.wait()
            try:
                await self.refresh()
            except Exception:  # a page that is behind is no reason to end the service
                log.exception("the fleet around load balancers cannot be shown")
            await asyncio.sleep(SURVEY_SECONDS)

    async def refresh(self) -> None:
        """Look, unless somebody just did."""
        async with self._turn:
            if time.monotonic() - self._at < SURVEY_SECONDS / 2:
                return
            problem = await self._ask()
            self._at = time.monotonic()
            memory = self._memory
            self._tell(
                {(Kind.TENANT, name): tenant_of(each) for name, each in memory.tenants.items()}
                | {(Kind.GROUP, name): group_of(each) for name, each in memory.groups.items()}
                | {HUB: HubPicture(name=HUB[1], problem=problem)}
                | self._asked
            )

    async def _ask(self) -> str:
        """What the API server has; why it could not be asked, whereupon the last answer stands."""
        try:
            pools = await self._cluster.list(ADDRESS_POOLS)
            leases = await holders(self._cluster, self._namespace)
        except FleetlbError as problem:
            return f"the management cluster's API server does not answer: {problem}"[:300]
        self._asked = {(Kind.POOL, each.metadata.name): pool_of(each) for each in pools}
        self._asked |= {(Kind.PROCESS, each.name): process_of(each) for each in (*leases.managers, leases.status)}
        return ""

    def _tell(self, things: dict[tuple[Kind, str], Thing]) -> None:
        changed = differences(self._things, things)
        self._things = things
        for each in changed:
            body, whose = msgspec.json.encode(each), each.name if each.kind is Kind.TENANT else ""
            self._feed.append(THING, whose, body, body if whose else b"")

    def things(self, view: View) -> tuple[ThingChanged, ...]:
        """All that a view has."""
        return tuple(each for each in differences({}, self._things) if view.has_thing(each))
