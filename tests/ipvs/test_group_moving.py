"""A VIP that goes from one group to another on one link, as a manager has it go: never do nodes of two answer (P3)."""

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import allowed_stream, announced_stream, desired_stream, realized_stream
from fleetlb.contracts.v1 import RealizedState, VirtualServerRealized
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Message
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish
from tests.ipvs.test_group import SECONDS, answering, asking
from tests.stage.balancer_group import BACKEND, NODE_PORT, POOL, PORT, BalancerGroup, Running, ask, running_group, vip
from tests.stage.programmer_process import GROUP

pytestmark = pytest.mark.timeout(240)
SPARE, OTHER = "spare", "node-3"
VIP = vip(1)
ENOUGH = 40
"""Questions in more than a lease."""


class TwoGroups(BalancerGroup):
    """The last node is of another group."""

    def settings_of(self, node: str) -> dict[str, str]:
        return {"FLEETLB_GROUP": SPARE} if node == OTHER else {}


@pytest.fixture
def network() -> Iterator[TwoGroups]:
    """The namespaces; the test's thread is at the hub."""
    with TwoGroups() as network:
        yield network


class Words:
    """What nodes of both groups said last."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._said: dict[str, VirtualServerRealized] = {}

    async def follow(self, group: str) -> None:
        await self.running.bus.replay_and_follow(
            realized_stream(group).name,
            subjects.realized_of(group),
            self._on_message,
            on_replayed=lambda: None,
            on_restart=lambda: None,
        )

    def _on_message(self, message: Message) -> None:
        if not message.subject.endswith(".node"):
            said = codec.decode(VirtualServerRealized, message.data)
            self._said[said.node] = said

    async def until(self, state: RealizedState, revision: int, *nodes: str) -> None:
        def have_said() -> bool:
            return all(
                (said := self._said.get(node)) is not None and (said.state, said.revision) == (state, revision)
                for node in nodes
            )

        await eventually(have_said, SECONDS)

    async def wish_there(self, announcement: Announcement, revision: int) -> None:
        """Have the other group serve it."""
        made = a_wish(f"{VIP}:{PORT}/tcp", [f"{BACKEND['v4']}:{NODE_PORT}"], revision=revision)
        assert made.server is not None
        made = replace(made, server=replace(made.server, prefix=POOL["v4"], announcement=announcement))
        await self.running.bus.publish(
            subjects.desired(SPARE, made.key), codec.encode(made), message_id=f"{SPARE}-{revision}"
        )


@pytest.fixture
async def words(network: TwoGroups, tmp_path: pathlib.Path) -> AsyncIterator[Words]:
    """Both groups at work; the first has a VIP."""
    async with running_group(network, tmp_path) as running, asyncio.TaskGroup() as tasks:
        for spec in (desired_stream, allowed_stream, realized_stream, announced_stream):
            await running.bus.ensure_stream(spec(SPARE))
        words = Words(running)
        following = [tasks.create_task(words.follow(group)) for group in (GROUP, SPARE)]
        await running.wish(VIP)
        await words.until(RealizedState.PROGRAMMED, 1, "node-1", "node-2")
        yield words
        for task in following:
            task.cancel()


async def test_on_layer_2_the_other_group_carries_it_in_silence_until_the_first_has_let_go(words: Words) -> None:
    group = words.running
    async with asking(group.network, VIP) as asker, group.network.serving():
        await eventually(lambda: answering(group, asker) in (["node-1"], ["node-2"]), SECONDS)
        await words.wish_there(Announcement.NONE, 1)
        await words.until(RealizedState.PROGRAMMED, 1, OTHER)
        since, asked = time.monotonic(), len(asker.questions)
        await eventually(lambda: len(asker.questions) > asked + ENOUGH, SECONDS)
        assert OTHER not in {group.network.macs[mac] for mac in asker.answered_by(since)}
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)
        await group.wish(VIP, serves=False, revision=2)
        await words.until(RealizedState.REMOVED, 2, "node-1", "node-2")
        assert OTHER not in {group.network.macs[mac] for mac in asker.answered_by()}
        await words.wish_there(Announcement.LAYER2, 2)
        await eventually(lambda: answering(group, asker) == [OTHER], SECONDS)
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)
