import asyncio

import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import (
    InventoryObserved,
    NodeRealized,
    NodesObserved,
    RealizedState,
    ServiceObserved,
    VirtualServerRealized,
)
from fleetlb.domain.bars import Bar
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.runtime.bus import Message
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.wishes import OWNER, a_wish, an_allowance, as_message
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.identities import ClusterKey, ServiceKey, Slot
from fleetlb_manager.inventories import Absences
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.parking import Parking
from tests.unit.fleetlb_manager.manager_world import EXHAUSTED, READY, Marked, a_claim, a_group, a_key, a_load_balancer
from tests.unit.fleetlb_manager.manager_world import a_wish as a_service

SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))
OWNER_KEY = ServiceKey(OWNER.tenant, OWNER.cluster_uid, OWNER.service_uid)
CLUSTER = ClusterKey("acme", "cluster-1")


class Folded:
    def __init__(self) -> None:
        self.memory, self.marks = Memory(), Marked()
        self.fold = MessageFolding(self.memory, self.marks, Parking(FakeBus()), lambda: 50.0, is_ours=lambda _: True)

    def observed(self, subject: str, body: bytes) -> None:
        self.fold.observed("acme", "AACME", Message(f"fleetlb.v1.observed.AACME.{subject}", body, 3))

    def realized(self, revision: int = 1, state: RealizedState = RealizedState.PROGRAMMED) -> None:
        said = VirtualServerRealized(node="n1", key=SLOT.key, generation=1, revision=revision, state=state, owner=OWNER)
        self.fold.realized("default", Message(subjects.realized("default", "n1", SLOT.key), codec.encode(said), 1))


@pytest.fixture
async def folded() -> Folded:
    await asyncio.sleep(0)
    return Folded()


async def test_a_service_marks_itself_and_is_absent_no_more(folded: Folded) -> None:
    absences = folded.memory.absences[CLUSTER] = Absences()
    absences.note({"u1"}, set(), 0.0)
    absences.note({"u1"}, set(), 20.0)
    folded.observed("cluster-1.service.u1", codec.encode(ServiceObserved(digest="d", service=None)))
    assert folded.memory.is_absent(a_key())
    body = codec.encode(ServiceObserved(digest="d", service=a_service(), endpoints=READY))
    folded.observed("cluster-1.service.u1", body)
    assert not folded.memory.is_absent(a_key())
    assert list(folded.marks.services) == [a_key()]


async def test_nodes_and_inventories_mark_the_cluster(folded: Folded) -> None:
    folded.observed("cluster-1.nodes", codec.encode(NodesObserved(nodes=())))
    assert list(folded.marks.clusters) == [CLUSTER]
    folded.observed("cluster-2.inventory", codec.encode(InventoryObserved(services={})))
    assert list(folded.marks.clusters) == [CLUSTER, ClusterKey("acme", "cluster-2")]


async def test_garbage_marks_nothing(folded: Folded) -> None:
    folded.observed("cluster-1.service.u1", b"garbage")
    folded.observed("cluster-1.service", b"garbage")
    assert not folded.marks.services
    assert list(folded.memory.observations.clusters()) == []


async def test_an_echo_marks_only_what_nobody_wants(folded: Folded) -> None:
    folded.memory.claims.put(a_claim())
    folded.fold.desired("default", as_message(a_wish()))
    assert not folded.marks.slots
    folded.fold.desired("default", as_message(a_wish("192.0.2.1:444/tcp")))
    folded.fold.desired("default", as_message(a_wish(real_servers=None, revision=2)))
    assert [str(slot) for slot in folded.marks.slots] == ["default/192.0.2.1:444/tcp", "default/192.0.2.1:443/tcp"]


async def test_what_a_manager_without_the_lease_wrote_marks_the_owner(folded: Folded) -> None:
    folded.memory.claims.put(a_claim())
    folded.fold.desired("default", as_message(a_wish(generation=2)))
    folded.fold.desired("default", as_message(a_wish(generation=1, revision=7)))
    assert list(folded.marks.services) == [OWNER_KEY]


async def test_a_nodes_word_matters_where_something_is_let_go(folded: Folded) -> None:
    folded.realized()
    assert list(folded.marks.slots) == [SLOT]
    folded.marks.clear()
    folded.fold.desired("default", as_message(a_wish(revision=5)))
    folded.marks.clear()
    folded.realized(revision=5)
    assert not folded.marks.slots
    folded.fold.desired("default", as_message(a_wish(real_servers=None, revision=6)))
    folded.marks.clear()
    folded.realized(revision=6, state=RealizedState.REMOVED)
    assert list(folded.marks.slots) == [SLOT]
    assert folded.memory.desired.next_revision() == 7


async def test_a_node_that_can_more_wakes_who_was_refused(folded: Folded) -> None:
    folded.memory.groups["default"] = a_group()
    folded.memory.load_balancers.put(a_load_balancer(a_key(), refusal=EXHAUSTED))

    def say(**more: object) -> None:
        said = NodeRealized(node="node-1", group="default", engine="envoy", **more)  # type: ignore[arg-type]
        folded.fold.realized("default", Message(subjects.realized_node("default", "node-1"), codec.encode(said), 1))

    say(capabilities=("tcp",))
    assert list(folded.marks.services) == [a_key()]
    assert list(folded.marks.statuses) == [StatusKey("group", "default")]
    folded.marks.clear()
    say(capabilities=("tcp",), virtual_servers=4)
    assert not folded.marks.services
    say(capabilities=("tcp",), virtual_servers=4)
    assert list(folded.marks.statuses) == [StatusKey("group", "default")]


async def test_what_the_hub_itself_wrote_badly_is_counted(folded: Folded) -> None:
    def counted() -> float:
        streams = ("desired", "realized")
        values = (REGISTRY.get_sample_value("fleetlb_unreadable_messages_total", {"kind": s}) for s in streams)
        return sum(value or 0.0 for value in values)

    before = counted()
    folded.fold.desired("default", Message("fleetlb.v1.desired.default.x", b"?", 1))
    folded.fold.realized("default", Message("fleetlb.v1.realized.default.n1.x", b"?", 1))
    folded.fold.realized("default", Message("fleetlb.v1.realized.default.n1.node", b"?", 1))
    assert counted() == before + 3


async def test_bars_that_another_manager_raised_have_everything_of_the_tenant_looked_at(folded: Folded) -> None:
    folded.memory.load_balancers.put(a_load_balancer())
    subject = subjects.allowed("default", "acme")
    for revision, bars in ((1, ()), (2, ()), (3, (Bar(2, 10),))):
        folded.marks.clear()
        said = an_allowance("acme", generation=2, revision=revision, bars=bars)
        folded.fold.allowed("default", Message(subject, codec.encode(said), revision))
        assert list(folded.marks.services) == ([a_key()] if bars else [])
