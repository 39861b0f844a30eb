"""The Envoy engine on a real Envoy, with real clients and real servers on loopback."""

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey
from fleetlb.testkit.echo import tcp_echo, udp_echo
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.engine import State
from fleetlb_dataplane_programmer.envoy.bootstrap import DRAIN_SECONDS
from tests.integration.envoy_node import (
    PORT,
    VIPS,
    Node,
    answer,
    clients,
    conversation,
    pushed,
    real_servers,
    refuses,
    running_node,
    server,
    settles,
    unused_port,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node whose engine knows that there is nothing yet."""
    async with running_node() as made:
        yield made


async def test_tcp_and_udp_reach_their_real_servers(node: Node) -> None:
    async with tcp_echo("tcp") as tcp_port, udp_echo("udp") as udp_port:
        tcp, udp = server(tcp_port), server(udp_port, protocol=Protocol.UDP, scheduler=Scheduler.MAGLEV)
        await node.program(tcp, udp)

        await settles(tcp.key, "tcp hello")
        await settles(udp.key, "udp hello")


async def test_tcp_and_udp_share_an_address_and_a_port(node: Node) -> None:
    async with tcp_echo("tcp") as tcp_port, udp_echo("udp") as udp_port:
        tcp = server(tcp_port)
        udp_key = VirtualServerKey(tcp.key.address, tcp.key.port, Protocol.UDP)
        await node.program(tcp, VirtualServer(key=udp_key, real_servers=real_servers(udp_port)))

        await settles(tcp.key, "tcp hello")
        await settles(udp_key, "udp hello")


async def test_one_client_stays_with_one_real_server_under_maglev(node: Node) -> None:
    async with udp_echo("a") as a, udp_echo("b") as b, udp_echo("c") as c:
        udp = server(a, b, c, protocol=Protocol.UDP, scheduler=Scheduler.MAGLEV)
        await node.program(udp)

        assert len({await answer(udp.key) for _ in range(20)}) == 1


async def test_new_endpoints_leave_live_connections_alone(node: Node) -> None:
    async with tcp_echo("old") as old, tcp_echo("new") as new:
        first = server(old)
        await node.program(first)
        async with conversation(first.key) as talk:
            assert await talk.ask() == "old hello"

            await node.program(msgspec.structs.replace(first, real_servers=real_servers(new)))
            await settles(first.key, "new hello")

            assert await talk.ask() == "old hello"


async def test_a_drained_real_server_keeps_its_connections_and_gets_no_new_ones(node: Node) -> None:
    async with tcp_echo("old") as old, tcp_echo("new") as new:
        first = server(old)
        await node.program(first)
        async with conversation(first.key) as talk:
            assert await talk.ask() == "old hello"

            drained = (RealServer("127.0.0.1", old, 0), RealServer("127.0.0.1", new))
            await node.program(msgspec.structs.replace(first, real_servers=drained))
            await settles(first.key, "new hello")

            assert {await answer(first.key) for _ in range(20)} == {"new hello"}
            assert await talk.ask() == "old hello"


async def test_a_real_server_that_refused_serves_alone_as_soon_as_it_listens(node: Node) -> None:
    """A pod without a readiness probe is called ready before it listens; a rolling update then takes the other away."""
    async with tcp_echo("old") as old:
        late = unused_port()
        both = server(old, late)
        await node.program(both)
        async with clients(both.key) as answers:
            await eventually(lambda: len(answers) >= 50)  # by now Envoy has seen enough refusals to eject it
            assert set(answers) == {"old hello"}
        draining = (RealServer("127.0.0.1", old, 0), RealServer("127.0.0.1", late))
        await node.program(msgspec.structs.replace(both, real_servers=draining))
        async with tcp_echo("late", port=late):
            await settles(both.key, "late hello", seconds=1)
            assert {await answer(both.key) for _ in range(20)} == {"late hello"}


async def test_who_serves_alone_is_not_ejected_while_others_drain(node: Node) -> None:
    async with tcp_echo("old") as old:
        late = unused_port()
        first = msgspec.structs.replace(
            server(late), real_servers=(RealServer("127.0.0.1", old, 0), RealServer("127.0.0.1", late))
        )
        await node.program(first)
        async with clients(first.key) as answers:
            await eventually(lambda: len(answers) >= 50)
            assert "old hello" not in answers
        async with tcp_echo("late", port=late):
            await settles(first.key, "late hello", seconds=1)


async def test_a_new_scheduler_acts_at_once_and_leaves_live_connections_alone(node: Node) -> None:
    """The cluster warms anew: without its endpoints it would stand still for seconds."""
    async with tcp_echo("a") as a, tcp_echo("b") as b:
        first = server(a, b)
        await node.program(first)
        async with conversation(first.key) as talk, clients(first.key) as answers:
            before = await talk.ask()
            asked = time.monotonic()
            await node.program(msgspec.structs.replace(first, scheduler=Scheduler.MAGLEV))
            assert time.monotonic() - asked < 2
            answers.clear()
            await eventually(lambda: len(answers) >= 20)

            assert len(set(answers)) == 1
            assert await talk.ask() == before


async def test_a_restarted_programmer_sends_nothing_and_clients_notice_nothing(node: Node) -> None:
    async with tcp_echo("a") as port:
        plain = [server(port) for _ in range(20)]
        guarded = [msgspec.structs.replace(each, source_ranges=("127.0.0.0/8",)) for each in plain[:3]]
        udp = msgspec.structs.replace(server(port, protocol=Protocol.UDP), source_ranges=("127.0.0.0/8",))
        servers = [*guarded, *plain[3:], msgspec.structs.replace(server(port), proxy_protocol=True), udp]
        await node.program(*servers)
        await settles(servers[0].key, "a hello")
        async with conversation(servers[0].key) as talk, clients(servers[0].key) as answers:
            assert await talk.ask() == "a hello"
            before = pushed()

            await node.restart_engine()
            await node.told(State.PROGRAMMED, *servers)
            seen = len(answers)
            await eventually(lambda: len(answers) > seen + 20)

            assert pushed() == before
            assert set(answers) == {"a hello"}
            assert await talk.ask() == "a hello"
        await node.program(server(port))


async def test_a_restarted_programmer_removes_what_is_no_longer_wished_for(node: Node) -> None:
    async with tcp_echo("a") as port:
        kept, gone = server(port), server(port)
        await node.program(kept, gone)
        await settles(gone.key, "a hello")
        del node.wishes[gone.key]
        await node.restart_engine()

        await eventually(functools.partial(refuses, gone.key))
        await settles(kept.key, "a hello")


async def test_connections_outlive_the_programmer(node: Node) -> None:
    async with tcp_echo("a") as port:
        first = server(port)
        await node.program(first)
        async with conversation(first.key) as talk:
            assert await talk.ask() == "a hello"
            await node.engine.stop()
            await eventually(lambda: not node.engine.connected)

            async with clients(first.key) as answers:
                await eventually(lambda: len(answers) > 100)

            assert set(answers) == {"a hello"}
            assert await talk.ask() == "a hello"


async def test_a_killed_envoy_gets_everything_again(node: Node) -> None:
    async with tcp_echo("a") as tcp_port, udp_echo("u") as udp_port:
        tcp, udp = server(tcp_port), server(udp_port, protocol=Protocol.UDP)
        await node.program(tcp, udp)
        await node.envoy.kill()
        await eventually(lambda: not node.engine.connected)
        moved = server(tcp_port)
        node.wish(moved)  # its outcome waits
        await node.envoy.start()

        await node.told(State.PROGRAMMED, moved)
        await settles(tcp.key, "a hello")
        await settles(udp.key, "u hello")
        await settles(moved.key, "a hello")


async def test_a_removed_virtual_server_refuses_at_once_and_its_connections_end_soon(node: Node) -> None:
    async with tcp_echo("a") as port:
        gone, kept = server(port), server(port)
        await node.program(gone, kept)
        async with conversation(gone.key) as talk, conversation(kept.key) as stays:
            assert await talk.ask() == await stays.ask() == "a hello"
            await node.remove(gone)
            removed = time.monotonic()

            await eventually(functools.partial(refuses, gone.key))
            async with asyncio.timeout(DRAIN_SECONDS + 5):
                assert await talk.end() == b""
            assert time.monotonic() - removed > DRAIN_SECONDS / 2
            assert await stays.ask() == "a hello"


async def test_removed_and_wished_for_again_at_once(node: Node) -> None:
    async with tcp_echo("a") as port:
        first = server(port)
        await node.program(first)
        for _ in range(5):
            node.engine.remove(first.key, 0)
            await asyncio.sleep(0)
            node.engine.apply(first, 0)
            await asyncio.sleep(0.003)
        await node.program(first)

        await settles(first.key, "a hello")


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
async def test_a_port_in_use_is_told_spares_the_neighbours_and_heals(node: Node, protocol: Protocol) -> None:
    kinds: dict[Protocol, tuple[socket.SocketKind, Callable[..., contextlib.AbstractAsyncContextManager[int]]]] = {
        Protocol.TCP: (socket.SOCK_STREAM, tcp_echo),
        Protocol.UDP: (socket.SOCK_DGRAM, udp_echo),
    }
    kind, echo = kinds[protocol]
    async with echo("a") as port:
        taken, *neighbours = (server(port, protocol=protocol) for _ in range(3))
        with socket.socket(type=kind) as holder:
            holder.bind((taken.key.address, PORT))
            if kind is socket.SOCK_STREAM:
                holder.listen()
            node.wish(neighbours[0], taken, neighbours[1])
            await node.told(State.REJECTED, taken)
            await node.told(State.PROGRAMMED, *neighbours)
            for neighbour in neighbours:
                await settles(neighbour.key, "a hello")
            [refusal] = {outcome.message for key, outcome in node.outcomes if key == taken.key}
            assert "another process on this node holds the address and port" in refusal
            assert "Address already in use" in refusal

        await node.told(State.PROGRAMMED, taken)
        await settles(taken.key, "a hello")


async def test_without_real_servers_a_connection_is_closed_and_others_are_not_held_up(node: Node) -> None:
    async with tcp_echo("a") as port:
        asked = time.monotonic()
        empty, full = server(), server(port)
        await node.program(empty)
        await node.program(full)
        assert time.monotonic() - asked < 2

        await settles(full.key, "a hello")
        assert await answer(empty.key) == ""

        await node.program(msgspec.structs.replace(empty, real_servers=full.real_servers))
        await settles(empty.key, "a hello")


async def test_a_dead_real_server_among_living_ones_is_passed_over(node: Node) -> None:
    async with tcp_echo("a") as port:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses
            first = server(port, closed.getsockname()[1])
            await node.program(first)
            await settles(first.key, "a hello")

            assert {await answer(first.key) for _ in range(30)} == {"a hello"}


async def test_hundreds_in_one_go(node: Node) -> None:
    async with tcp_echo("a") as port:
        address = next(VIPS)
        keys = [VirtualServerKey(address, 21000 + index, Protocol.TCP) for index in range(300)]
        await node.program(*(VirtualServer(key=key, real_servers=real_servers(port)) for key in keys))

        for key in keys:
            await settles(key, "a hello")
