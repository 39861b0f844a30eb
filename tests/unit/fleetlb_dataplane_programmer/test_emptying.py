"""A node hears whether it is to be emptied, and counts meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb_dataplane_programmer import emptying as emptying_module
from fleetlb_dataplane_programmer.emptying import Draining, Emptying
from fleetlb_dataplane_programmer.instructions import Instructions
from fleetlb_dataplane_programmer.records import InstructionRecord
from fleetlb_dataplane_programmer.remembering import StateFile


class Stage:
    """A node with so many connections and VIPs."""

    def __init__(self, server: FakeServer) -> None:
        self.bus = FakeBus(server)
        self.connections: int | None = 3
        self.announced = 2
        self.gave_way: list[bool] = []
        self.told: list[Draining] = []
        self._revision = 0

    async def count(self) -> int | None:
        return self.connections

    async def say(self, *nodes: str, generation: int = 1, revision: int = 0) -> None:
        """As the manager does."""
        self._revision += 1
        said = GroupInstructed(
            group="default", generation=generation, revision=revision or self._revision, draining=nodes
        )  # fmt: skip
        await self.bus.publish(subjects.instructed("default"), codec.encode(said), message_id=str(self._revision))


@contextlib.asynccontextmanager
async def a_stage(directory: Path) -> AsyncIterator[Stage]:
    server = FakeServer()
    await FakeBus(server).ensure_stream(announced_stream("default"))
    stage = Stage(server)
    emptying = Emptying(
        "node-1",
        give_way=stage.gave_way.append,
        connections=stage.count,
        announced=lambda: stage.announced,
        tell=stage.told.append,
    )
    state_file = StateFile(directory, InstructionRecord, node="node-1", group="default")
    instructions = Instructions("default", state_file, emptying.heed, operator_key="")
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(emptying.run()),
            tasks.create_task(instructions.follow(stage.bus)),
        ]
        yield stage
        for task in running:
            task.cancel()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts all the time."""
    monkeypatch.setattr(emptying_module, "COUNT_SECONDS", 0.01)


async def test_it_gives_way_counts_what_is_left_and_comes_back(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.say("node-2", "node-1")
        await eventually(lambda: stage.told[-1:] == [Draining(True, 3, 2)])
        stage.connections, stage.announced = 0, 0
        await eventually(lambda: stage.told[-1:] == [Draining(True, 0, 0)])
        await stage.say("node-2")
        await eventually(lambda: stage.gave_way == [True, False])
        assert stage.told[-1] == Draining()


async def test_another_nodes_affair_is_none_of_its_own(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.say("node-2")
        await stage.say("node-1")
        await eventually(lambda: bool(stage.gave_way))
        assert stage.gave_way == [True]


async def test_an_older_word_changes_nothing(tmp_path: Path) -> None:
    """P2: a manager that lost its Lease is not heeded, however high its revisions."""
    async with a_stage(tmp_path) as stage:
        await stage.say("node-1", generation=2)
        await stage.say(generation=1, revision=99)
        await stage.bus.publish(subjects.instructed("default"), b"{", message_id="torn")
        await stage.say("node-1", "node-2", generation=2)
        await eventually(lambda: bool(stage.told) and stage.told[-1].connections == 3)
        assert stage.gave_way == [True]


async def test_what_cannot_be_counted_is_not_known(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.connections = None
        await stage.say("node-1")
        await eventually(lambda: stage.told == [Draining(True, None, 2)])
