"""How a plan is carried out: in order, no further than the first failure, never on what has changed meanwhile."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.v1 import ServiceReported
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.domain.errors import Transient
from fleetlb.domain.traces import trace_id, valid
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import STANDARD_FINALIZER
from fleetlb.testkit.tenant_objects import a_condition, a_service
from fleetlb_tenant_watcher.acting import Write
from fleetlb_tenant_watcher.deciding import AddFinalizers, Announce, RemoveFinalizers, WriteStatus
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.records import Stage
from fleetlb_tenant_watcher.service_views import ServiceView
from fleetlb_tenant_watcher.writing import Writer
from tests.unit.fleetlb_tenant_watcher.conftest import HandClocks

GUARDED = (STANDARD_FINALIZER,)
See = Callable[..., bool]


PUBLISHED, ANSWERED = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))


class Pen:
    """Answers every write with the next prepared Service, None, or an error."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.causes: list[str] = []
        """Trace context of each."""
        self.answers: list[dict[str, Any] | Exception | None] = []
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens between a write and its answer."""

    async def write(self, view: ServiceView, action: Write, trace: str) -> Service | None:
        self.done.append(action)
        self.causes.append(trace)
        self.meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return msgspec.convert(a_service(**answer), Service) if answer is not None else None

    def announce(self, view: ServiceView, note: Announce, trace: str) -> None:
        self.done.append(note.reason)
        self.causes.append(trace)


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def writer(memory: Memory, pen: Pen, clocks: HandClocks, changes: list[str]) -> Writer:
    return Writer(memory, pen, pen, clocks=clocks, hub_connected=lambda: True, on_change=changes.append)


async def test_a_write_is_folded_and_told_on(
    writer: Writer, memory: Memory, pen: Pen, changes: list[str], see: See
) -> None:
    see()
    pen.answers = [{"version": 2, "finalizers": GUARDED}]
    assert await writer.reconcile("uid-1") == 0.5
    assert pen.done == [AddFinalizers(GUARDED), "EnsuringLoadBalancer"]
    assert changes == ["uid-1"]
    record = memory.get("uid-1")
    assert record is not None
    assert (record.is_guarded, record.version) == (True, 2)
    assert memory.waiting == {"uid-1": 1000.0}


async def test_after_a_write_everything_is_decided_again(
    writer: Writer, pen: Pen, clocks: HandClocks, see: See
) -> None:
    see()
    clocks.seconds += 10
    pen.answers = [{"version": 2, "finalizers": GUARDED}]
    assert await writer.reconcile("uid-1") == 0.0
    assert pen.done == [AddFinalizers(GUARDED), "EnsuringLoadBalancer"]


async def test_a_failure_ends_the_plan(writer: Writer, pen: Pen, see: See) -> None:
    see()
    pen.answers = [Transient("no")]
    with pytest.raises(Transient):
        await writer.reconcile("uid-1")
    assert len(pen.done) == 1


async def test_a_service_that_vanished_is_left_to_the_watch(writer: Writer, memory: Memory, pen: Pen, see: See) -> None:
    see()
    pen.answers = [None]
    assert await writer.reconcile("uid-1") is None
    assert memory.get("uid-1") is not None


@pytest.mark.parametrize("answer", [{"version": 9, "deleting": True}, None], ids=["written", "already gone"])
async def test_the_end_of_a_release(
    writer: Writer, memory: Memory, pen: Pen, see: See, answer: dict[str, Any] | None
) -> None:
    see(finalizers=GUARDED, deleting=True)
    record = memory.get("uid-1")
    assert record is not None
    record.releases = 1
    memory.hear("uid-1", ServiceReported(generation=1, revision=1, released=True))
    pen.answers = [answer]
    await writer.reconcile("uid-1")
    assert pen.done == [RemoveFinalizers(GUARDED), "DeletedLoadBalancer"]
    assert (memory.get("uid-1") is not None) is (answer is not None)
    assert await writer.reconcile("uid-1") is None
    assert len(pen.done) == 2


@pytest.mark.parametrize("finalizers", [(), GUARDED], ids=["after the last write", "after an earlier one"])
async def test_a_change_of_mind_that_overtakes_the_answer_to_a_write_is_carried_out(
    writer: Writer, memory: Memory, pen: Pen, see: See, finalizers: tuple[str, ...]
) -> None:
    shown = [a_condition(PROVISIONED, "True", "Complete")] if finalizers else []
    see(finalizers=GUARDED, conditions=shown)
    see(finalizers=GUARDED, conditions=shown, version=2, type="ClusterIP")
    record = memory.get("uid-1")
    assert record is not None
    record.releases = 1
    memory.hear("uid-1", ServiceReported(generation=1, revision=1, released=True))
    pen.meanwhile = lambda: see(version=4, finalizers=finalizers)
    pen.answers = [{"version": 3, "type": "ClusterIP", "finalizers": finalizers}]
    await writer.reconcile("uid-1")
    pen.meanwhile = lambda: None
    pen.done.clear()
    pen.answers = [{"version": 5, "finalizers": GUARDED}]
    await writer.reconcile("uid-1")
    record = memory.get("uid-1")
    assert record is not None
    assert record.stage is Stage.WANTED
    assert record.is_guarded
    assert pen.done == ([] if finalizers else [AddFinalizers(GUARDED), "EnsuringLoadBalancer"])


async def test_an_answered_service_waits_no_more(
    writer: Writer, memory: Memory, pen: Pen, clocks: HandClocks, see: See
) -> None:
    see(finalizers=GUARDED)
    await writer.reconcile("uid-1")
    assert list(memory.waiting) == ["uid-1"]
    record = memory.get("uid-1")
    assert record is not None
    conditions = tuple(
        Condition(type=kind, status=Status.FALSE, reason="PoolExhausted", message="full")
        for kind in (PROVISIONED, SERVING)
    )
    memory.hear("uid-1", ServiceReported(generation=1, revision=1, wish=record.wish, conditions=conditions))
    pen.answers = [{"version": 3, "finalizers": GUARDED}]
    await writer.reconcile("uid-1")
    assert isinstance(pen.done[0], WriteStatus)
    assert pen.done[1:] == ["SyncLoadBalancerFailed"]
    assert memory.waiting == {}


async def test_what_is_done_names_the_change_that_led_to_it(writer: Writer, memory: Memory, pen: Pen, see: See) -> None:
    see(finalizers=GUARDED)
    record = memory.get("uid-1")
    assert record is not None
    record.trace = PUBLISHED
    conditions = tuple(
        Condition(type=kind, status=Status.FALSE, reason="PoolExhausted", message="full")
        for kind in (PROVISIONED, SERVING)
    )
    report = ServiceReported(generation=1, revision=1, wish=record.wish, conditions=conditions)
    memory.hear("uid-1", report, ANSWERED)
    pen.answers = [{"version": 3, "finalizers": GUARDED}]
    await writer.reconcile("uid-1")
    assert pen.causes == [ANSWERED, ANSWERED]


async def test_a_wish_that_is_refused_here_has_a_trace_of_its_own(
    writer: Writer, memory: Memory, pen: Pen, see: See
) -> None:
    see(finalizers=GUARDED)
    record = memory.get("uid-1")
    assert record is not None
    record.trace = PUBLISHED
    bad: dict[str, Any] = {"finalizers": GUARDED, "ports": [{"port": 80, "nodePort": 30080, "protocol": "DCCP"}]}
    see(version=2, **bad)
    pen.answers = [{"version": 3, **bad}]
    await writer.reconcile("uid-1")
    (cause,) = set(pen.causes)
    assert valid(cause)
    assert trace_id(cause) != trace_id(PUBLISHED)


async def test_unknown_keys_are_content(writer: Writer) -> None:
    assert await writer.reconcile("uid-9") is None
