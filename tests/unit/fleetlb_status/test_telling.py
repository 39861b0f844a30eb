"""What integrations are told, in virtual time: at least once, in order, and nothing wrong in the end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import TOLD_STREAM, events_stream
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.runtime.bus import Callback, MessageHandler
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb.testkit.fake_bus import FakeServer
from fleetlb.testkit.load_balancers import ADDRESS, a_load_balancer, a_word
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_status import telling
from tests.unit.fleetlb_status.telling_stage import EVENTS, SETTLED_SECONDS, MortalBus, Said, Status, said, words

TRACE = f"00-{1:032x}-{1:016x}-01"
BALANCER = a_load_balancer()
REFUSED = a_load_balancer(addresses=(), refusal=Refusal(Reason.POOL_EXHAUSTED, "full"))
IDLE = a_word(real_servers=0, reason=Reason.NO_READY_BACKEND)
Scene = Callable[[asyncio.TaskGroup, FakeServer], Awaitable[None]]


def play(scene: Scene) -> None:
    """Run a scene in virtual time."""

    async def whole() -> None:
        async with asyncio.TaskGroup() as tasks:
            await scene(tasks, FakeServer())

    run_virtually(whole())


async def settle(seconds: float = SETTLED_SECONDS) -> None:
    await asyncio.sleep(seconds)


def serve(status: Status) -> None:
    status.memory.set_load_balancer(BALANCER)
    status.memory.fold_realized(a_word(), TRACE)


def fail(status: Status) -> None:
    status.memory.fold_realized(IDLE)


def delete(status: Status) -> None:
    status.memory.drop_load_balancer(BALANCER)


def refuse(status: Status) -> None:
    status.memory.set_load_balancer(REFUSED)


def test_a_new_service_is_told_of_at_once_in_binary_mode_under_its_trace() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        assert words(server) == ["address-allocated", "serving"]
        (allocated, serving) = said(server)
        assert allocated.message.subject == "fleetlb.v1.events.acme.address-allocated"
        headers = serving.message.headers
        assert headers["ce-type"] == serving.data["type"] == "dev.fleetlb.v1.serving"
        assert headers["Nats-Msg-Id"] == headers["ce-id"] == serving.event_id
        assert headers["traceparent"] == headers["ce-traceparent"] == TRACE
        assert headers["ce-time"] == allocated.data["since"]
        await status.end()

    play(scene)


STORY: tuple[tuple[Callable[[Status], None], list[str]], ...] = (
    (refuse, ["refused"]),
    (serve, ["address-allocated", "granted", "serving"]),
    (fail, ["not-serving"]),
    (delete, ["address-released"]),
)
ALL = [word for _, told in STORY for word in told]
WRITES = len(ALL) + 2 * len(STORY) + 1
"""Each step is a record on its way, its events, and the record as arrived; the last one is forgotten too."""


def test_a_story_is_told_in_order_and_leaves_no_record() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        bus = MortalBus(server)
        status = Status(tasks, bus)
        for number, (step, _) in enumerate(STORY, 1):
            step(status)
            await settle()
            assert words(server) == [word for _, told in STORY[:number] for word in told]
        assert bus.writes == WRITES
        assert server.streams[TOLD_STREAM.name].messages == {}
        await status.end()

    play(scene)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("dies_at", range(1, WRITES + 1))
def test_killed_at_any_write_all_is_told_in_order_and_nothing_else(dies_at: int, arrives: bool) -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server, dies_at=dies_at, arrives=arrives))
        for number, (step, _) in enumerate(STORY):
            step(status)
            await settle(1.5)
            if isinstance(status.bus, MortalBus) and status.bus.is_dead:
                status = await succeeded(tasks, server, status, STORY[: number + 1])
            await settle()
        assert words(server) == ALL
        assert server.streams[TOLD_STREAM.name].messages == {}
        await status.end()

    async def succeeded(
        tasks: asyncio.TaskGroup,
        server: FakeServer,
        dead: Status,
        steps: tuple[tuple[Callable[[Status], None], list[str]], ...],
    ) -> Status:
        """Another process, which finds the world as it is, over a server that has forgotten every id."""
        await dead.end()
        for stream in server.streams.values():
            stream._ids.clear()
        status = Status(tasks, MortalBus(server))
        steps[-1][0](status)
        return status

    play(scene)


def test_what_died_away_while_nobody_told_is_no_event_and_what_was_half_told_is_taken_back() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        await status.end()
        dying = Status(tasks, MortalBus(server, dies_at=2))
        serve(dying)
        fail(dying)
        await settle()
        assert words(server)[2:] == ["not-serving"]
        await dying.end()
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        assert words(server)[2:] == ["not-serving", "serving"], "the last word must be true"
        await status.end()

    play(scene)


def test_deleted_while_nobody_was_there_is_told_by_whoever_comes() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        await status.end()
        status = Status(tasks, MortalBus(server))
        await settle()
        assert words(server)[2:] == ["not-serving", "address-released"]
        assert said(server)[-1].data["address"] == ADDRESS
        await status.end()

    play(scene)


def test_nothing_is_told_without_the_lease_and_nothing_twice_over_a_restart() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        status.term = None
        serve(status)
        await settle()
        assert words(server) == []
        status.term = 8
        status.integrations.begin_term()
        await settle()
        assert words(server) == ["address-allocated", "serving"]
        await status.end()
        bus = MortalBus(server)
        status = Status(tasks, bus)
        serve(status)
        await settle()
        assert bus.writes == 0
        await status.end()

    play(scene)


class SlowBus(MortalBus):
    """Its followers read for a while before they know everything."""

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        await asyncio.sleep(10)
        await super().replay_and_follow(
            stream, subject_filter, on_message, on_replayed=on_replayed, on_restart=on_restart
        )


def test_nothing_is_told_before_all_that_was_told_is_known() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        await status.end()
        bus = SlowBus(server)
        status = Status(tasks, bus)
        serve(status)
        await settle(60)
        assert bus.writes == 0
        fail(status)
        await settle()
        assert words(server)[2:] == ["not-serving"]
        await status.end()

    play(scene)


def test_while_nats_is_away_nothing_is_lost_and_what_flapped_is_told_as_it_is() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        await settle()
        failed = telling.FAILED._value.get()
        server.lose_publishes(1)
        serve(status)
        await settle()
        assert telling.FAILED._value.get() == failed, "a record is no event"
        assert words(server) == ["address-allocated", "serving"]
        status.bus.disconnect()
        for word in (IDLE, a_word(revision=2), a_word(revision=3, real_servers=0)):
            status.memory.fold_realized(word)
            await settle()
        status.bus.reconnect()
        await settle(60)
        assert words(server)[2:] == ["not-serving"]
        await status.end()

    play(scene)


def test_failures_and_events_are_counted() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        failed, published = telling.FAILED._value.get(), telling.EVENTS.labels("serving")._value.get()
        status = Status(tasks, MortalBus(server))
        await settle(4)
        server.delete_stream(EVENTS.name)
        serve(status)
        await settle(60)
        assert words(server) == ["address-allocated", "serving"]
        assert telling.FAILED._value.get() > failed
        assert telling.EVENTS.labels("serving")._value.get() == published + 1
        await status.end()

    play(scene)


@pytest.mark.parametrize(
    ("lost", "times"), [([TOLD_STREAM.name], 2), ([EVENTS.name], 1), ([EVENTS.name, TOLD_STREAM.name], 1)]
)
def test_what_is_lost_has_all_that_stands_told_again(lost: list[str], times: int) -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        for name in lost:
            server.delete_stream(name)
        await settle(60)
        assert words(server) == ["address-allocated", "serving"] * times
        await status.end()

    play(scene)


def test_what_goes_in_the_moment_in_which_the_records_are_lost_is_told_all_the_same() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        for name in (TOLD_STREAM.name, EVENTS.name):
            server.delete_stream(name)
        delete(status)
        await settle(60)
        assert words(server) == ["address-allocated", "serving", "not-serving", "address-released"]
        await status.end()

    play(scene)


def test_who_stands_by_tells_nothing_of_what_went_while_it_was_cut_off() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status, other = Status(tasks, MortalBus(server)), Status(tasks, MortalBus(server))
        other.term = None
        for each in (status, other):
            serve(each)
        await settle()
        other.bus.disconnect()
        for each in (status, other):
            delete(each)
        await settle()
        await status.end()
        other.bus.reconnect()
        await settle()
        other.term = 8
        other.integrations.begin_term()
        await settle()
        assert words(server) == ["address-allocated", "serving", "not-serving", "address-released"]
        await other.end()

    play(scene)


def test_a_flapping_service_is_told_of_once_a_second_and_ends_with_the_truth() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        serve(status)
        await settle()
        for number in range(200):
            status.memory.fold_realized(a_word(revision=10 + number, real_servers=number % 2))
            await asyncio.sleep(0.05)
        await settle()
        flaps = words(server)[2:]
        assert len(flaps) <= 12
        assert [*flaps, "serving"][0] == "not-serving"
        assert said(server)[-1].data["serving"] is True
        await status.end()

    play(scene)


def test_what_stands_is_told_again_before_its_events_have_aged_out() -> None:
    spec = events_stream(days=2)

    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server), events=spec)
        serve(status)
        await settle()
        first = said(server)
        await asyncio.sleep(23 * 3600)
        assert len(said(server)) == 2
        await asyncio.sleep(2 * 3600)
        again = said(server)[2:]
        assert [each.word for each in again] == ["address-allocated", "serving"]
        assert again[0].data["since"] == first[0].data["since"]
        assert again[0].message.headers["ce-time"] > first[0].message.headers["ce-time"]
        await status.end()

    play(scene)


def revisions(events: list[Said]) -> list[object]:
    return [each.data["revision"] for each in events]


def test_revisions_grow_and_no_id_comes_twice() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        for step, _ in STORY * 2:
            step(status)
            await settle()
        events = said(server)
        assert words(server) == ALL * 2
        assert revisions(events) == sorted(revisions(events), key=str)
        await status.end()

    play(scene)


def test_a_record_that_nobody_can_read_is_counted_and_changes_nothing() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        before = UNREADABLE.labels("told")._value.get()
        await settle()
        await status.bus.publish(subjects.told_service("acme", "u"), b"{", message_id="")
        await status.bus.publish("fleetlb.v1.told.acme", b"{", message_id="")
        serve(status)
        await settle()
        assert words(server) == ["address-allocated", "serving"]
        assert UNREADABLE.labels("told")._value.get() - before == 1, "the other is below no filter"
        await status.end()

    play(scene)
