"""What tenants are told and when, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.codec import decode
from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.objects import LoadBalancerStatus
from fleetlb.contracts.v1 import Hop, Probe, ServiceReported
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.errors import Transient
from fleetlb.domain.traces import trace_id
from fleetlb.runtime.workers import Reconciler
from fleetlb.testkit.load_balancers import ACCOUNT, ADDRESS, CLUSTER, a_group, a_load_balancer, a_tenant, a_word
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_status.census import Census
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Key, Memory
from fleetlb_status.publishing import Reporter

KEY: Key = ("tenant-acme", "service-1")
SUBJECT = f"fleetlb.v1.reported.{ACCOUNT}.{CLUSTER}.service.service-1"
REFUSAL = Refusal(Reason.POOL_EXHAUSTED, "pool public: 4 of 4 used")
CONTEXT = f"00-{1:032x}-{1:016x}-01"


class Wire:
    """Notes what was sent and when; can be cut."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str, ServiceReported]] = []
        self.traces: list[str] = []
        self.cut = False
        self.attempts = 0

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.cut:
            raise Transient("away")
        self.traces.append(trace_id(trace))
        self.sent.append((asyncio.get_running_loop().time(), subject, decode(ServiceReported, body)))

    def reasons(self) -> list[tuple[str, str]]:
        return [(report.conditions[0].reason, report.conditions[1].reason) for _, _, report in self.sent]


class Stage:
    """A reporter with its queue, fed by hand."""

    def __init__(self, tasks: asyncio.TaskGroup, census: Census) -> None:
        loop = asyncio.get_running_loop()
        self.generation: int | None = 7
        self.wire = Wire()
        self.memory = Memory(lambda key: self.queue.add(key))
        self.reporter = Reporter(
            Judging(self.memory), self.wire, lambda: self.generation, census, clock=loop.time, now=lambda: 99
        )
        self.queue: Reconciler[Key] = Reconciler(self.reporter.reconcile, name="reports")
        self.worker = tasks.create_task(self.queue.run())
        self.memory.set_tenant(a_tenant())
        self.memory.set_group(a_group())
        self.memory.complete_group("default")

    async def settle(self, seconds: float = 0.0) -> None:
        """Let some time pass, and all work that falls into it be done."""
        await asyncio.sleep(seconds)
        await self.queue.join()


Play = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def play() -> Iterator[Callable[[Play], None]]:
    """Run a scene in virtual time."""
    census = Census()

    async def scene(steps: Callable[[Stage], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(tasks, census)
            await steps(stage)
            stage.worker.cancel()

    yield lambda steps: run_virtually(scene(steps))
    census.clear()


def test_a_settled_verdict_is_told_at_once(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        await stage.settle()
        assert stage.wire.sent == []
        stage.memory.fold_realized(a_word(hops=(Hop("watch", 5), Hop("probe", 6))), CONTEXT)
        await stage.settle()
        ((at, subject, report),) = stage.wire.sent
        assert (at, subject) == (0.0, SUBJECT)
        assert (report.generation, report.revision, report.wish) == (7, 1, "wish-1")
        assert [entry.ip for entry in report.ingress] == [ADDRESS]
        assert report.hops == (Hop("watch", 5), Hop("probe", 6), Hop("report", 99))
        assert stage.wire.reasons() == [("Complete", "ProbeAnswered")]
        assert stage.wire.traces == [trace_id(CONTEXT)]

    play(steps)


def test_a_refusal_is_told_under_the_name_of_the_wish_and_what_changes_later_under_its_own(
    play: Callable[[Play], None],
) -> None:
    async def steps(stage: Stage) -> None:
        refused = a_load_balancer(addresses=(), group="", refusal=REFUSAL)
        spec = msgspec.structs.replace(refused.spec, trace=CONTEXT)
        stage.memory.set_load_balancer(msgspec.structs.replace(refused, spec=spec))
        await stage.settle()
        assert stage.wire.traces == [trace_id(CONTEXT)]
        stage.memory.set_group(a_group("node-1", "node-2"))
        stage.reporter.tell_again(KEY)
        stage.queue.add(KEY)
        await stage.settle(60)
        assert len(stage.wire.traces) == 2
        assert stage.wire.traces[1] not in ("", trace_id(CONTEXT))

    play(steps)


def test_a_report_that_is_sent_again_keeps_its_trace(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.wire.cut = True
        stage.memory.fold_realized(a_word(hops=(Hop("watch", 5),)), CONTEXT)
        await asyncio.sleep(1)
        assert (stage.wire.attempts > 1, stage.wire.sent) == (True, [])
        stage.wire.cut = False
        await stage.settle(60)
        ((_, _, report),) = stage.wire.sent
        assert stage.wire.traces == [trace_id(CONTEXT)]
        assert report.hops == (Hop("watch", 5), Hop("report", 99))

    play(steps)


def test_news_that_change_nothing_give_their_name_to_nothing_later(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.fold_realized(a_word(revision=9), CONTEXT)
        await stage.settle(60)
        assert len(stage.wire.sent) == 1
        stage.memory.set_group(a_group("node-1", "node-2"))
        await stage.settle(60)
        assert len(stage.wire.traces) == 2
        assert trace_id(CONTEXT) not in stage.wire.traces

    play(steps)


def test_an_unsettled_verdict_is_held_back_half_a_second(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        await stage.settle(0.49)
        assert stage.wire.sent == []
        await stage.settle(0.02)
        assert [(at, *pair) for (at, _, _), pair in zip(stage.wire.sent, stage.wire.reasons(), strict=True)] == [
            (0.5, "InProgress", "InProgress")
        ]
        await stage.settle(60)
        assert len(stage.wire.sent) == 1

    play(steps)


def test_a_settled_verdict_replaces_one_held_back(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word(probe=Probe.PENDING))
        await stage.settle(0.3)
        stage.memory.fold_realized(a_word(revision=2))
        await stage.settle(60)
        assert stage.wire.reasons() == [("Complete", "ProbeAnswered")]
        assert stage.wire.sent[0][0] == pytest.approx(0.3)

    play(steps)


def test_after_waiting_once_every_change_is_told_at_once_until_settled(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        await stage.settle(1)
        stage.memory.fold_realized(a_word(probe=Probe.PENDING))
        await stage.settle()
        stage.memory.fold_realized(a_word(revision=2))
        await stage.settle()
        assert [at for at, _, _ in stage.wire.sent] == [0.5, 1.0, 1.0]
        assert stage.wire.reasons() == [
            ("InProgress", "InProgress"),
            ("Complete", "InProgress"),
            ("Complete", "ProbeAnswered"),
        ]
        assert [report.revision for _, _, report in stage.wire.sent] == [1, 2, 3]

    play(steps)


def test_an_edit_that_is_served_in_time_is_told_once(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.set_load_balancer(a_load_balancer(generation=2, wish="wish-2"))
        await stage.settle(0.1)
        assert len(stage.wire.sent) == 1
        stage.memory.fold_realized(a_word(about=2))
        await stage.settle(60)
        assert [report.wish for _, _, report in stage.wire.sent] == ["wish-1", "wish-2"]
        assert stage.wire.sent[1][0] == pytest.approx(0.1)

    play(steps)


def test_an_old_acknowledgement_after_an_edit_does_not_count_and_the_address_stays(
    play: Callable[[Play], None],
) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.set_load_balancer(a_load_balancer(generation=2))
        stage.memory.fold_realized(a_word(generation=2, revision=1, about=1))
        await stage.settle(1)
        assert stage.wire.reasons() == [("Complete", "ProbeAnswered"), ("InProgress", "InProgress")]
        assert [entry.ip for entry in stage.wire.sent[1][2].ingress] == [ADDRESS]

    play(steps)


def test_a_refusal_is_told_at_once(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer(addresses=(), group="", refusal=REFUSAL))
        await stage.settle()
        assert stage.wire.reasons() == [(REFUSAL.reason, REFUSAL.reason)]

    play(steps)


def test_the_same_verdict_is_told_once(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.fold_realized(a_word(revision=2))
        stage.memory.set_load_balancer(a_load_balancer(status=LoadBalancerStatus(addresses=(ADDRESS,))))
        await stage.settle(60)
        assert len(stage.wire.sent) == 1

    play(steps)


def test_how_many_backends_are_healthy_is_told_when_it_changes(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        for healthy in (3, 2, 2, 3, None):
            stage.memory.fold_realized(a_word(real_servers=3, healthy=healthy))
            await stage.settle()
        texts = [report.conditions[1].message.partition("; ")[2] for _, _, report in stage.wire.sent]
        assert texts == ["", "2 of 3 backends healthy", ""]
        assert stage.wire.reasons() == [("Complete", "ProbeAnswered")] * 3

    play(steps)


def test_without_account_nothing_is_told_and_with_it_all(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer("service-2", tenant="globex"))
        stage.memory.fold_realized(a_word(service="service-2", tenant="globex"))
        await stage.settle(1)
        assert stage.wire.sent == []
        stage.memory.set_tenant(a_tenant("globex", "AGLOBEX"))
        await stage.settle()
        assert [subject for _, subject, _ in stage.wire.sent] == [
            f"fleetlb.v1.reported.AGLOBEX.{CLUSTER}.service.service-2"
        ]
        stage.memory.set_tenant(a_tenant("globex", "AMINTED"))
        await stage.settle()
        assert [subject.split(".")[3] for _, subject, _ in stage.wire.sent] == ["AGLOBEX", "AMINTED"]

    play(steps)


def test_a_report_that_could_not_be_sent_is_sent_when_it_can(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.wire.cut = True
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(10)
        assert stage.wire.sent == []
        stage.wire.cut = False
        await stage.settle(60)
        assert stage.wire.reasons() == [("Complete", "ProbeAnswered")]

    play(steps)


def test_without_the_lease_nothing_is_told(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.generation = None
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.reporter.forward_release((ACCOUNT, CLUSTER, "service-9"), NOT_TRAVELLED)
        await stage.settle(60)
        assert stage.wire.attempts == 0

    play(steps)


def test_a_new_term_tells_everything_again_under_its_generation(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.generation = 8
        stage.reporter.begin_term()
        stage.queue.add(KEY)
        await stage.settle()
        assert [(report.generation, report.revision) for _, _, report in stage.wire.sent] == [(7, 1), (8, 2)]

    play(steps)


def test_whoever_asks_is_told_again_and_nothing_is_held_back(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        stage.memory.set_load_balancer(a_load_balancer("service-2"))
        await stage.settle(0.1)
        for key in stage.memory.load_balancers:
            stage.reporter.tell_again(key)
            stage.queue.add(key)
        await stage.settle()
        assert [subject.rsplit(".", 1)[1] for _, subject, _ in stage.wire.sent] == [
            "service-1",
            "service-1",
            "service-2",
        ]

    play(steps)


def test_only_what_was_told_lately_is_in_doubt(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(100)
        stage.memory.set_load_balancer(a_load_balancer("service-2"))
        stage.memory.fold_realized(a_word(service="service-2"))
        await stage.settle(30)
        assert stage.reporter.in_doubt() == [("tenant-acme", "service-2")]
        assert stage.reporter.in_doubt() == []
        stage.queue.add(("tenant-acme", "service-2"))
        await stage.settle()
        assert len(stage.wire.sent) == 3

    play(steps)


def test_a_load_balancer_that_is_gone_is_forgotten(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.drop_load_balancer(a_load_balancer())
        await stage.settle()
        stage.memory.set_load_balancer(a_load_balancer(uid="made anew"))
        await stage.settle(0.1)
        assert len(stage.wire.sent) == 1
        stage.memory.fold_realized(a_word(uid="made anew"))
        await stage.settle()
        assert len(stage.wire.sent) == 2

    play(steps)


def test_one_that_cannot_be_judged_any_more_keeps_what_was_told(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle()
        stage.memory.drop_group(a_group())
        stage.memory.fold_realized(a_word(revision=2, probe=Probe.UNANSWERED))
        await stage.settle(60)
        stage.memory.fold_realized(a_word(revision=3))
        stage.memory.set_group(a_group())
        await stage.settle(60)
        assert len(stage.wire.sent) == 1

    play(steps)


def test_a_release_is_passed_on(play: Callable[[Play], None]) -> None:
    async def steps(stage: Stage) -> None:
        hops = tuple(Hop("decide", at) for at in range(32))
        await stage.reporter.forward_release((ACCOUNT, CLUSTER, "service-1"), Journey(hops=hops))
        ((_, subject, report),) = stage.wire.sent
        assert subject == SUBJECT
        assert (report.released, report.wish, report.generation, report.revision) == (True, "", 7, 1)
        assert report.ingress == ()
        assert report.hops[-1] == Hop("report", 99)
        assert len(report.hops) == 32

    play(steps)
