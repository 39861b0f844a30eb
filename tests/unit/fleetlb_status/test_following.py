"""Which words on announcing are heard, and what the hub is asked of a silent node."""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import encode
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Message
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.load_balancers import ADDRESS, a_group, a_load_balancer, a_word
from fleetlb_status.following import Following
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory

STREAM = announced_stream("default")
POOL = AddressPool(
    metadata=ObjectMeta(name="link"),
    spec=AddressPoolSpec(addresses=("192.0.2.0/24",), announcement=Announcement.LAYER2),
)
PRESENT = NodePresent(node="node-1", group="default", epoch=1, run="r1", number=1, lease_ms=100)
CARRIED = VipCarried(node="node-1", group="default", address=ADDRESS, epoch=1, run="r1", number=1, carried=True)
PRESENT_AT = subjects.present("default", "node-1")
CARRIED_AT = subjects.carried("default", "node-1", ADDRESS)


class Stage:
    """A hub, and somebody who follows."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.bus, self.now, self.names = FakeBus(), 0.0, list[str]()
        self._tasks = tasks
        self._spawned: list[asyncio.Task[object]] = []
        self.looks = 0
        """How often the clock was looked at."""
        self.memory = Memory(lambda _: None)
        self.following = Following(self.memory, self.bus, on_change=lambda _: None, spawn=self.spawn, clock=self.clock)

    def clock(self) -> float:
        self.looks += 1
        return self.now

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        self.names.append(name)
        self._spawned.append(self._tasks.create_task(work, name=name))

    def stop(self) -> None:
        for task in self._spawned:
            task.cancel()

    def hear(self, subject: str, data: bytes) -> float:
        """How many words were refused."""
        counter = UNREADABLE.labels("announced")
        before = counter._value.get()
        self.following._on_message("default", Message(subject, data, 1))
        return float(counter._value.get() - before)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with asyncio.TaskGroup() as tasks:
        made = Stage(tasks)
        await made.bus.ensure_stream(STREAM)
        yield made
        made.stop()


async def test_nothing_runs_before_a_pool_asks_for_it(stage: Stage) -> None:
    quiet = msgspec.structs.replace(POOL, spec=AddressPoolSpec(addresses=("192.0.2.0/24",)))
    stage.following.set_pool(quiet)
    assert stage.names == []
    stage.following.set_pool(POOL)
    assert stage.names == ["look after announcements", "follow who announces default"]


@pytest.mark.parametrize(
    ("subject", "data", "refused"),
    [
        (PRESENT_AT, encode(PRESENT), 0),
        (CARRIED_AT, encode(CARRIED), 0),
        (CARRIED_AT, b"", 0),
        (PRESENT_AT, b"{", 1),
        (PRESENT_AT, encode(CARRIED), 1),
        (CARRIED_AT, encode(PRESENT), 1),
        (subjects.present("default", "node-2"), encode(PRESENT), 1),
        (subjects.carried("default", "node-2", ADDRESS), encode(CARRIED), 1),
        (subjects.carried("default", "node-1", "192.0.2.9"), encode(CARRIED), 1),
        (PRESENT_AT, encode(msgspec.structs.replace(PRESENT, node="*")), 1),
        (CARRIED_AT, encode(msgspec.structs.replace(CARRIED, address="x:y")), 1),
        (subjects.present("default", "node-1"), encode(msgspec.structs.replace(PRESENT, group="another")), 1),
    ],
)
async def test_a_node_speaks_for_itself_alone(stage: Stage, subject: str, data: bytes, refused: int) -> None:
    stage.following.set_pool(POOL)
    assert stage.hear(subject, data) == refused


@pytest.mark.parametrize(("answer", "stays"), [("the same", False), ("a later one", True), ("none", True)])
async def test_of_a_silent_node_the_hub_is_asked(stage: Stage, answer: str, stays: bool) -> None:
    announcements = stage.following.announcements
    await stage.bus.publish(PRESENT_AT, encode(PRESENT), message_id="1")
    stage.following.set_pool(POOL)

    def is_long_ago() -> bool:
        stage.now += 60.0
        return bool(announcements.unheard())

    await eventually(is_long_ago)
    word = PRESENT if answer == "the same" else msgspec.structs.replace(PRESENT, number=2)

    async def respond(subject: str, data: bytes) -> bytes:
        body = {"time": "2026-11-30T00:00:00Z", "data": base64.b64encode(encode(word)).decode()}
        return msgspec.json.encode({"message": body})

    if answer != "none":
        await stage.bus.serve(f"$JS.API.STREAM.MSG.GET.{STREAM.name}", respond)
    await stage.following._ask(("default", "node-1"))
    assert bool(announcements.unheard()) is stays


async def test_nothing_is_settled_while_the_hub_is_out_of_reach(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetlb_status.following.LOOK_SECONDS", 0.01)
    memory, announcements = stage.memory, stage.following.announcements
    memory.set_group(a_group())
    memory.complete_group("default")
    memory.set_load_balancer(a_load_balancer(pool="link"))
    memory.fold_realized(a_word())
    stage.following.set_pool(POOL)
    judging = Judging(memory, announcements)

    def reason() -> str:
        judged = judging.judge(("tenant-acme", "service-1"))
        return judged.verdict.serving.reason if judged else ""

    await eventually(lambda: reason() == Reason.IN_PROGRESS)
    stage.bus.disconnect()
    stage.now, before = stage.now + 60.0, stage.looks
    await eventually(lambda: stage.looks > before + 3)
    assert reason() == Reason.IN_PROGRESS
    stage.bus.reconnect()
    await eventually(lambda: reason() == Reason.NOT_ANNOUNCED)
