"""What surrounds load balancers, looked at only while somebody reads."""

import asyncio
from typing import Any

import msgspec

from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from fleetlb.kube.transport import Answer
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb_status.ui import surveying
from fleetlb_status.ui.pictures import HubPicture, Kind, PoolPicture
from fleetlb_status.ui.surveying import HUB, Surveyor
from fleetlb_status.ui.views import OPERATOR, View
from tests.unit.fleetlb_status.ui.a_page import SYSTEM, Parts, parts


class CountingWire(FakeWire):
    """One that counts, and breaks on demand."""

    def __init__(self, server: FakeKube) -> None:
        super().__init__(server)
        self.asked = 0
        self.broken = False

    async def request(self, method: str, target: str, body: bytes = b"", content_type: str = "") -> Answer:
        self.asked += 1
        if self.broken:
            raise Transient("no etcd")
        return await super().request(method, target, body, content_type)


def names(made: Parts, view: View = OPERATOR) -> list[str]:
    return [f"{each.kind}/{each.name}" for each in made.surveyor.things(view)]


async def test_all_that_there_is_by_kind_and_name() -> None:
    made = await parts()
    await made.surveyor.refresh()
    assert names(made) == [
        "group/default",
        "hub/management",
        "pool/public",
        "process/fleetlb-manager",
        "process/fleetlb-status",
        "tenant/acme",
        "tenant/globex",
    ]
    assert names(made, View("acme")) == ["tenant/acme"]


async def test_only_what_changed_is_told_and_only_to_whom_it_concerns() -> None:
    made = await parts()
    await made.surveyor.refresh()
    before = made.feed.last
    counts = {"status": {"ipv4": {"total": 254, "used": 2, "free": 252}}}
    await made.cluster.patch(ADDRESS_POOLS, "public", counts, kind=PatchKind.MERGE, subresource="status")
    made.surveyor._at = float("-inf")
    await made.surveyor.refresh()
    events = made.feed.after(before)
    assert events is not None
    (event,) = events
    told: Any = msgspec.json.decode(event.full)
    assert (told["kind"], told["name"], told["value"]["ipv4"]["used"]) == ("pool", "public", 2)
    assert (event.whose, event.narrow) == ("", b"")


async def test_a_store_that_does_not_answer_is_said_and_what_was_known_stands() -> None:
    made = await parts()
    wire = CountingWire(FakeKube())
    surveyor = Surveyor(Cluster(wire, "test"), made.memory, made.feed, SYSTEM)
    surveyor._asked = {(Kind.POOL, "public"): PoolPicture(**A_POOL)}
    wire.broken = True
    await surveyor.refresh()
    things = {(each.kind, each.name): each.value for each in surveyor.things(OPERATOR)}
    assert (Kind.POOL, "public") in things
    problem = things[HUB]
    assert isinstance(problem, HubPicture)
    assert "no etcd" in problem.problem


A_POOL: Any = {"name": "public", "group": "default", "ready": True, "reason": "", "ipv4": {}, "ipv6": {}}


async def test_nothing_is_asked_while_nobody_reads(monkeypatch: Any) -> None:
    made = await parts()
    wire = CountingWire(FakeKube())
    surveyor = Surveyor(Cluster(wire, "test"), made.memory, made.feed, SYSTEM)
    monkeypatch.setattr(surveying, "SURVEY_SECONDS", 0.002)
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(surveyor.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert wire.asked == 0
        with made.feed.reading():
            await eventually(lambda: wire.asked > 6)
        await eventually(lambda: not made.feed.read.is_set())
        working.cancel()


async def test_many_that_open_at_once_cost_one_look() -> None:
    made = await parts()
    wire = CountingWire(FakeKube())
    surveyor = Surveyor(Cluster(wire, "test"), made.memory, made.feed, SYSTEM)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(surveyor.refresh())
    assert wire.asked == 3
