"""What a group's nodes are told reaches those whom it concerns: the newest of it, if it can be believed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.runtime.nats_accounts import KeyKind, new_seed, public_key
from fleetlb.runtime.signing import signed
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb.testkit.wishes import an_allowance
from fleetlb_dataplane_programmer.instructions import FILE, UNBELIEVED, Instructions
from fleetlb_dataplane_programmer.records import InstructionRecord
from fleetlb_dataplane_programmer.remembering import StateFile

SEED, OTHER_SEED = new_seed(KeyKind.OPERATOR), new_seed(KeyKind.OPERATOR)
KEY = public_key(SEED)


class Heard:
    """A node of the group `default`, and what two parts of it hear."""

    def __init__(self, server: FakeServer, directory: Path, operator_key: str = "") -> None:
        self.bus = FakeBus(server)
        self.one: list[int] = []
        self.other: list[int] = []
        self.instructions = Instructions(
            "default",
            StateFile(directory, InstructionRecord, node="node-1", group="default", name=FILE),
            lambda said: self.one.append(said.revision),
            lambda said: self.other.append(said.revision),
            operator_key=operator_key,
        )

    async def say(self, revision: int, *, seed: str = "", **more: Any) -> None:
        await self.put(the_body(revision, seed, **more))

    async def put(self, body: bytes) -> None:
        name = f"{len(self.bus.server.streams)}-{body.hex()}"
        await self.bus.publish(subjects.instructed("default"), body, message_id=name)


def the_body(revision: int, seed: str = "", *, generation: int = 1, group: str = "default") -> bytes:
    said = GroupInstructed(group=group, generation=generation, revision=revision)
    return signed(said, seed) if seed else codec.encode(said)


@contextlib.asynccontextmanager
async def following(
    directory: Path, *, server: FakeServer | None = None, operator_key: str = "", hub: bool = True
) -> AsyncIterator[Heard]:
    """One process; what it believed is on disk when it ends. `hub`: it can read the bus."""
    heard = Heard(server or FakeServer(), directory, operator_key)
    await heard.bus.ensure_stream(announced_stream("default"))
    heard.instructions.recall()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(heard.instructions.run())]
        if hub:
            running.append(tasks.create_task(heard.instructions.follow(heard.bus)))
            await eventually(lambda: bool(heard.bus.server.streams[announced_stream("default").name].followers))
        try:
            yield heard
        finally:
            await heard.instructions.save()
            for task in running:
                task.cancel()


async def test_everybody_hears_of_what_is_newer(tmp_path: Path) -> None:
    async with following(tmp_path) as heard:
        await heard.say(1)
        await heard.say(2)
        await heard.say(1, generation=2)
        await eventually(lambda: heard.one == heard.other == [1, 2, 1])


async def test_an_older_one_another_groups_and_nonsense_change_nothing(tmp_path: Path) -> None:
    async with following(tmp_path) as heard:
        await heard.say(2, generation=2)
        await heard.say(9, generation=1)
        await heard.say(3, generation=2, group="edge")
        await heard.put(b"{}")
        await heard.say(4, generation=2)
        await eventually(lambda: heard.one == [2, 4])


async def test_what_was_believed_is_followed_after_a_restart_without_a_hub(tmp_path: Path) -> None:
    async with following(tmp_path, operator_key=KEY) as heard:
        await heard.say(7, seed=SEED)
        await eventually(lambda: heard.one == [7])
    async with following(tmp_path, operator_key=KEY, hub=False) as heard:
        assert heard.one == heard.other == [7]


async def test_a_word_from_before_is_refused_after_a_restart_too(tmp_path: Path) -> None:
    """Somebody put it in the place of the newest, with its good signature."""
    server = FakeServer()
    async with following(tmp_path, server=server, operator_key=KEY) as heard:
        await heard.say(7, seed=SEED, generation=2)
        await eventually(lambda: heard.one == [7])
        await heard.say(9, seed=SEED, generation=1)
    async with following(tmp_path, server=server, operator_key=KEY) as heard:
        await heard.say(8, seed=SEED, generation=2)
        await eventually(lambda: heard.one == [7, 8])


async def test_under_another_key_what_is_remembered_counts_for_nothing(tmp_path: Path) -> None:
    server = FakeServer()
    async with following(tmp_path, server=server) as heard:
        await heard.say(9, generation=99)
        await eventually(lambda: heard.one == [9])
    async with following(tmp_path, server=server, operator_key=KEY) as heard:
        await heard.say(1, seed=SEED)
        await eventually(lambda: heard.one == [1])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(the_body(8, generation=2), id="unsigned"),
        pytest.param(the_body(8, OTHER_SEED, generation=2), id="another key"),
        pytest.param(the_body(8, SEED, generation=2, group="edge"), id="another group"),
        pytest.param(the_body(8, SEED).replace(b'"revision":8', b'"revision":9'), id="altered"),
        pytest.param(signed(msgspec.structs.replace(an_allowance(), generation=2), SEED), id="an allowance"),
        pytest.param(b"{", id="torn"),
    ],
)
async def test_what_the_operator_did_not_sign_for_the_group_changes_nothing_and_is_counted(
    body: bytes, tmp_path: Path
) -> None:
    async with following(tmp_path, operator_key=KEY) as heard:
        await heard.say(1, seed=SEED)
        await eventually(lambda: heard.one == [1])
        before = UNBELIEVED._value.get()
        with structlog.testing.capture_logs() as logs:
            for again in range(2):
                await heard.bus.publish(subjects.instructed("default"), body, message_id=f"again-{again}")
            await eventually(lambda: UNBELIEVED._value.get() == before + 2)
        assert [line["event"] for line in logs] == ["what the group is told is not believed"]
        assert heard.one == [1]
        await heard.say(2, seed=SEED)
        await eventually(lambda: heard.one == [1, 2])
