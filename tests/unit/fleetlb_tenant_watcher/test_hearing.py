"""Reports in, snapshots asked for: at the right times, and whatever nonsense arrives."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import Hop, ServiceReported, SnapshotAnswered, SnapshotRequested
from fleetlb.domain.errors import Transient
from fleetlb.kube.service_wishes import STANDARD_FINALIZER
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Message
from fleetlb.runtime.tracing import Span, Tracing
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_tenant_watcher import hearing
from fleetlb_tenant_watcher.hearing import Ear, Snapshots
from fleetlb_tenant_watcher.memory import Memory
from tests.unit.fleetlb_tenant_watcher.conftest import HandClocks

ACCOUNT = "ACME"


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def ear(memory: Memory, clocks: HandClocks, heard: list[str]) -> Ear:
    return Ear(memory, "cluster-uid", clocks, on_report=heard.append, on_resync=heard.append)


def subject(uid: str = "uid-1") -> str:
    return f"reported.cluster-uid.service.{uid}"


async def test_reports_and_resyncs_arrive_over_the_bus(ear: Ear, heard: list[str], see: Callable[..., bool]) -> None:
    hub = FakeBus()
    see()
    await ear.listen(hub.for_tenant(ACCOUNT))
    body = codec.encode(ServiceReported(generation=1, revision=1, hops=(Hop("watch", 5),)))
    await hub.notify(f"fleetlb.v1.reported.{ACCOUNT}.cluster-uid.service.uid-1", body)
    await hub.notify("fleetlb.v1.reported.OTHER.cluster-uid.service.uid-1", body)
    await hub.notify(f"fleetlb.v1.reported.{ACCOUNT}.another-cluster.service.uid-1", body)
    await hub.notify(f"fleetlb.v1.resync.{ACCOUNT}.cluster-uid", b"whatever")
    await eventually(lambda: len(heard) == 2)
    assert heard == ["uid-1", "resync"]


@pytest.mark.parametrize(
    ("place", "data"),
    [
        (subject(), b""),
        (subject(), b"{"),
        (subject(), b'{"type":"dev.fleetlb.v1.service_released"}'),
        (subject(), b'{"type":"dev.fleetlb.v1.service_reported","generation":"x","revision":1}'),
        (subject(), b"[" * 100_000),
        (subject(), b"\xff\xfe"),
        ("reported.nonsense", b"{}"),
    ],
)
def test_what_cannot_be_read_is_dropped(
    ear: Ear, heard: list[str], see: Callable[..., bool], place: str, data: bytes
) -> None:
    see()
    ear.hear_report(Message(place, data))
    assert heard == []


def test_stale_and_unknown_reports_mark_nothing(ear: Ear, heard: list[str], see: Callable[..., bool]) -> None:
    see()
    ear.hear_report(Message(subject(), codec.encode(ServiceReported(generation=2, revision=1))))
    ear.hear_report(Message(subject(), codec.encode(ServiceReported(generation=1, revision=9))))
    ear.hear_report(Message(subject("uid-9"), codec.encode(ServiceReported(generation=2, revision=1))))
    assert heard == ["uid-1"]


class Answerer:
    """A hub that answers requests for snapshots, or does not."""

    def __init__(self) -> None:
        self.connected = True
        self.silent = 0
        self.asked: list[bytes] = []

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        self.asked.append(body)
        if self.silent:
            self.silent -= 1
            raise Transient("nobody answers")
        return codec.encode(SnapshotAnswered(reports=3))


@pytest.fixture
async def snapshots(
    memory: Memory, clocks: HandClocks, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Snapshots, Answerer]]:
    monkeypatch.setattr(hearing, "TICK_SECONDS", 0.01)
    hub = Answerer()
    made = Snapshots(memory, hub, "cluster-uid", clocks, on_turn=heard.append)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.run())
        yield made, hub
        task.cancel()


Asking = tuple[Snapshots, Answerer]


async def test_a_snapshot_is_asked_for_until_it_is_answered(snapshots: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "ASKING", Backoff(initial=0.001, cap=0.001))
    asker, hub = snapshots
    hub.silent = 2
    asker.want()
    await eventually(lambda: len(hub.asked) == 3)
    assert codec.decode(SnapshotRequested, hub.asked[0]).cluster == "cluster-uid"
    assert hub.silent == 0


async def test_services_that_wait_too_long_lead_to_one_request_and_growing_pauses(
    snapshots: Asking, memory: Memory, clocks: HandClocks, see: Callable[..., bool]
) -> None:
    asker, hub = snapshots
    for name in ("a", "b", "c"):
        see(uid=name, name=name)
        memory.waiting[name] = clocks.seconds
    see(uid="going", name="going", finalizers=(STANDARD_FINALIZER,), deleting=True)
    memory.waiting["going"] = clocks.seconds - 1000
    asker.want()
    await eventually(lambda: len(hub.asked) == 1)
    clocks.seconds += 5
    await eventually(lambda: len(hub.asked) == 2)
    clocks.seconds += hearing.MAX_PAUSE_SECONDS
    await eventually(lambda: len(hub.asked) == 3)
    memory.waiting.clear()
    clocks.seconds += 1000
    asker.want()
    await eventually(lambda: len(hub.asked) == 4)


async def test_services_that_wait_hear_when_the_hub_comes_and_goes(
    snapshots: Asking, memory: Memory, clocks: HandClocks, heard: list[str]
) -> None:
    _, hub = snapshots
    memory.waiting["uid-1"] = clocks.seconds
    await eventually(lambda: heard == ["uid-1"])
    hub.connected = False
    await eventually(lambda: heard == ["uid-1", "uid-1"])
    assert hub.asked == []


class Kept:
    """A sink that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def samples(self, trace_id: str) -> bool:
        return True

    def emit(self, span: Span) -> None:
        self.spans.append(span)

    async def close(self) -> None:
        pass


def test_a_report_with_news_is_a_step_of_its_trace(
    memory: Memory, clocks: HandClocks, heard: list[str], see: Callable[..., bool]
) -> None:
    sink, trace = Kept(), f"00-{1:032x}-{1:016x}-01"
    see()
    ear = Ear(memory, "cluster-uid", clocks, on_report=heard.append, on_resync=heard.append, tracing=Tracing(sink))
    for revision in (2, 1):
        report = codec.encode(ServiceReported(generation=1, revision=revision))
        ear.hear_report(Message(subject(), report, headers={"traceparent": trace}))
    ear.hear_report(Message(subject(), codec.encode(ServiceReported(generation=1, revision=3))))
    assert [(span.name, span.parent) for span in sink.spans] == [("process reported.{cluster}.service.{uid}", trace)]
    assert sink.spans[0].attributes["fleetlb.service.uid"] == "uid-1"
