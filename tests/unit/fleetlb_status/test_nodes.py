"""What integrations are told of balancer nodes."""

import asyncio

from fleetlb.contracts.v1 import NodeRealized
from fleetlb.testkit.fake_bus import FakeServer
from tests.unit.fleetlb_status.telling_stage import MortalBus, Status, said, words
from tests.unit.fleetlb_status.test_telling import play, settle


def word(node: str = "node-1", *, ready: bool = True, repairs: int = 0) -> NodeRealized:
    return NodeRealized(node=node, group="default", engine="ipvs", version="1", ready=ready, repairs=repairs)


def test_a_node_joins_mends_and_is_lost() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        nodes = status.integrations.nodes
        for said_by_the_node, expected in (
            (word(ready=False), []),
            (word(repairs=4), ["node-joined"]),
            (word(repairs=4), []),
            (word(repairs=7), ["drift-repaired"]),
            (word(repairs=2), ["drift-repaired"]),
            (word(ready=False, repairs=2), ["node-lost"]),
            (word(repairs=2), ["node-joined"]),
        ):
            before = len(words(server)) if server.streams else 0
            nodes.fold(said_by_the_node)
            await settle()
            assert words(server)[before:] == expected
        assert [each.data["repairs"] for each in said(server) if each.word == "drift-repaired"] == [3, 2]
        assert said(server)[0].message.subject == "fleetlb.v1.events._fleet.node-joined"
        status.set_group("node-2")
        await settle()
        assert words(server)[-1] == "node-lost"
        assert not server.streams["FLEETLB_TOLD"].messages
        await status.end()

    play(scene)


def test_silence_loses_no_node_and_a_restart_says_nothing_twice() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        status.integrations.nodes.fold(word())
        await settle()
        await status.end()
        bus = MortalBus(server)
        status = Status(tasks, bus)
        await settle()
        status.integrations.nodes.fold(word())
        await settle()
        assert (words(server), bus.writes) == (["node-joined"], 0)
        await status.end()

    play(scene)


def test_a_node_taken_out_while_nobody_was_there_is_told_as_lost() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        status.integrations.nodes.fold(word())
        status.set_group("node-1", "node-2")
        await settle()
        await status.end()
        status = Status(tasks, MortalBus(server))
        status.set_group("node-2")
        await settle()
        status.integrations.begin_term()
        await settle()
        assert words(server) == ["node-joined", "node-lost"]
        await status.end()

    play(scene)


def test_a_node_of_which_nothing_stands_is_not_told_of_again() -> None:
    async def scene(tasks: asyncio.TaskGroup, server: FakeServer) -> None:
        status = Status(tasks, MortalBus(server))
        for ready in (True, False):
            status.integrations.nodes.fold(word(ready=ready))
            await settle()
        server.delete_stream("FLEETLB_EVENTS")
        await settle(60)
        assert words(server) == []
        status.integrations.nodes.fold(word())
        await settle()
        assert words(server) == ["node-joined"]
        await status.end()

    play(scene)
