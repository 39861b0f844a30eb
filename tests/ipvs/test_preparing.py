"""A whole node, as it is in production: switches, routes, the filter and the kernel's table, with packets through them.

The backends have no route to the client: nothing comes back but what was masqueraded.
"""

import asyncio
import contextlib
import re
import shlex
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.testkit.balancer_network import Network, network
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.ipvs import kernel, nft
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.preparing import NodeSurroundings
from fleetlb_dataplane_programmer.probing import probe
from tests.ipvs.test_traffic import NODE_PORT, server

V4, V6 = "10.77.0.1", "fd77::1"


@pytest.fixture
def net() -> Iterator[Network]:
    """The test's thread is on the node."""
    with network(routed=False, backends=2) as made:
        for backend in made.backends:
            backend.run("ip", "route", "del", "10.40.0.0/24")
            backend.run("ip", "-6", "route", "del", "fd40::/64")
        with made.nodes[0].entered():
            yield made


class Node:
    """A programmer's engine with everything around it."""

    def __init__(self) -> None:
        self.outcomes: dict[VirtualServerKey, Outcome] = {}
        self._engine: IpvsEngine

    @contextlib.asynccontextmanager
    async def running(self, *servers: VirtualServer) -> AsyncIterator[IpvsEngine]:
        self._engine = IpvsEngine(
            lambda key, outcome: self.outcomes.update({key: outcome}),
            NodeSurroundings(manage_sysctls=True),
            terms=Terms(round_seconds=0.2),
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._engine.run())
            for each in servers:
                self._engine.apply(each, 1)
            self._engine.complete()
            for each in servers:
                await self.told(each, 1)
            yield self._engine
            running.cancel()
        self.outcomes.clear()

    async def apply(self, wanted: VirtualServer, token: int) -> None:
        self._engine.apply(wanted, token)
        await self.told(wanted, token)

    async def told(self, wanted: VirtualServer, token: int) -> None:
        told = Outcome(state=State.PROGRAMMED, token=token)
        await eventually(lambda: self.outcomes.get(wanted.key) == told, seconds=10)


def servers() -> list[VirtualServer]:
    return [server(vip, 80, 1, 2, protocol=protocol) for vip in (V4, V6) for protocol in ("tcp", "udp")]


async def test_answers_come_back_from_backends_that_know_no_way_to_the_client(net: Network) -> None:
    async with net.echoing(NODE_PORT, NODE_PORT), Node().running(*servers()):
        for vip, seen in ((V4, "10.20.{}.11"), (V6, "fd20:{}::11")):
            assert {await net.ask_tcp(vip, 80) for _ in range(2)} == {f"{b} {seen.format(b)}" for b in (1, 2)}
            assert await net.ask_udp(vip, 80)


async def test_the_nodes_own_probe_reaches_a_backend_through_the_vip(net: Network) -> None:
    async with net.echoing(NODE_PORT, NODE_PORT), Node().running(*servers()):
        for each in servers():
            assert await probe(each) is True
        guarded = msgspec.structs.replace(server(V4, 81, 1), source_ranges=("192.0.2.0/24",))
        async with Node().running(*servers(), guarded):
            assert await probe(guarded) is True, "source ranges are for clients"


@pytest.mark.parametrize(
    ("vip", "inside", "outside"), [(V4, "10.40.0.0/16", "10.41.0.0/16"), (V6, "fd40::/64", "fd41::/64")]
)
async def test_only_clients_in_the_source_ranges_get_in_and_a_live_change_counts(
    net: Network, vip: str, inside: str, outside: str
) -> None:
    node, everybody = Node(), server(vip, 80, 1)
    nobody = msgspec.structs.replace(everybody, source_ranges=(outside,))
    some = msgspec.structs.replace(everybody, source_ranges=(inside, outside))
    async with net.echoing(NODE_PORT, NODE_PORT), node.running(nobody, server(vip, 81, 1)):
        with pytest.raises(TimeoutError):
            await net.ask_tcp(vip, 80)
        assert await net.ask_tcp(vip, 81), "another port of the VIP is open to everybody"
        await node.apply(some, 2)
        assert await net.ask_tcp(vip, 80)
        await node.apply(nobody, 3)
        with pytest.raises(TimeoutError):
            await net.ask_tcp(vip, 80)
        await node.apply(everybody, 4)
        assert await net.ask_tcp(vip, 80)


async def test_a_restart_on_a_node_that_is_right_writes_nothing_anywhere(net: Network) -> None:
    guarded = msgspec.structs.replace(server(V4, 81, 1), source_ranges=("10.40.0.0/16",))
    async with net.echoing(NODE_PORT, NODE_PORT), contextlib.AsyncExitStack() as stack:
        async with Node().running(*servers(), guarded):
            connection = await stack.enter_async_context(net.connection(V4, 81))
            name = await connection.ask()
        before = (kernel.WRITES._value.get(), nft.WRITES._value.get(), _routes(net))
        async with Node().running(*servers(), guarded):
            await asyncio.sleep(0.5)  # a few rounds in which nothing may happen
            assert (kernel.WRITES._value.get(), nft.WRITES._value.get(), _routes(net)) == before
            assert await connection.ask() == name


def _routes(net: Network) -> str:
    node = net.nodes[0]
    return node.run("ip", "route", "show", "table", "local") + node.run("ip", "-6", "route", "show", "table", "local")


@pytest.mark.parametrize(
    "damage",
    [
        ["ip", "route", "del", "local", "10.77.0.0/16", "table", "local"],
        ["sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"],
        ["sh", "-c", "echo 0 >/proc/sys/net/ipv4/vs/conntrack"],
        ["nft", "delete", "table", "inet", "fleetlb"],
        ["nft", "flush", "chain", "inet", "fleetlb", "return_path"],
        ["ipvsadm", "-C"],
    ],
    ids=" ".join,
)
async def test_whatever_is_taken_away_by_hand_is_put_back(net: Network, damage: list[str]) -> None:
    async with net.echoing(NODE_PORT, NODE_PORT), Node().running(*servers()):
        assert await net.ask_tcp(V4, 80)
        net.nodes[0].run(*damage)
        await eventually_answers(net)


async def eventually_answers(net: Network) -> None:
    async with asyncio.timeout(20):
        for _ in range(100):
            try:
                async with asyncio.timeout(1):
                    await net.ask_tcp(V4, 80)
                return
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
    raise AssertionError("never answered again")


async def test_what_others_have_on_the_node_is_left_alone(net: Network) -> None:
    node = net.nodes[0]
    node.run("nft", "add", "table", "ip", "theirs")
    node.run("ip", "route", "add", "local", "10.99.0.0/16", "dev", "lo")
    async with Node().running(*servers()) as engine:
        for each in servers():
            engine.remove(each.key, 9)
        await eventually(lambda: not node.run("ipvsadm", "-Sn"), seconds=10)
        await eventually(lambda: "10.77.0.0/16" not in _routes(net), seconds=10)
    assert "table ip theirs" in node.run("nft", "list", "ruleset")
    assert "10.99.0.0/16" in _routes(net)


async def test_sctp_is_carried_and_probed(net: Network) -> None:
    loop, wanted = asyncio.get_running_loop(), server(V4, 80, 1, protocol="sctp")
    with contextlib.ExitStack() as stack:
        with net.backends[0].entered():
            listening = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP))
        listening.setblocking(False)
        listening.bind(("0.0.0.0", NODE_PORT))
        listening.listen()
        with net.client.entered():
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP))
        client.setblocking(False)
        async with Node().running(wanted), asyncio.timeout(10):
            await loop.sock_connect(client, (V4, 80))
            accepted, seen = await loop.sock_accept(listening)
            stack.enter_context(accepted)
            assert seen[0] == "10.20.1.11"
            await loop.sock_sendall(client, b"hello")
            assert await loop.sock_recv(accepted, 100) == b"hello"
            assert await probe(wanted) is True
            listening.close()
            assert await probe(wanted) is False


@pytest.mark.parametrize("new_one_first", [True, False])
async def test_a_pool_stays_while_its_last_virtual_server_goes_and_another_comes(
    fresh: Namespace, new_one_first: bool
) -> None:
    old = server(V4, 80, 1)
    new = msgspec.structs.replace(server(V4, 81, 1), source_ranges=("192.0.2.0/24",))
    surroundings = NodeSurroundings(manage_sysctls=False)
    await surroundings.start()
    await surroundings.admit(old)
    await surroundings.complete()
    coming, going = surroundings.admit(new), surroundings.dismiss(old.key)
    await asyncio.gather(*((coming, going) if new_one_first else (going, coming)))
    assert "local 10.77.0.0/" in fresh.run("ip", "route", "show", "table", "local")
    rules = fresh.run("nft", "list", "table", "inet", "fleetlb")
    assert "10.77.0.0/" in rules
    assert "192.0.2.0/24" in rules
    await surroundings.dismiss(new.key)
    assert "10.77.0.0/" not in fresh.run("ip", "route", "show", "table", "local")
    assert "192.0.2.0/24" not in fresh.run("nft", "list", "table", "inet", "fleetlb")


async def test_what_comes_back_while_it_is_dismissed_is_guarded(fresh: Namespace) -> None:
    guarded = msgspec.structs.replace(server(V4, 80, 1), source_ranges=("192.0.2.0/24",))
    surroundings = NodeSurroundings(manage_sysctls=False)
    await surroundings.start()
    await surroundings.admit(guarded)
    await surroundings.complete()
    await asyncio.gather(surroundings.dismiss(guarded.key), surroundings.admit(guarded))
    assert "local 10.77.0.0/" in fresh.run("ip", "route", "show", "table", "local")
    assert "192.0.2.0/24" in fresh.run("nft", "list", "table", "inet", "fleetlb")


async def test_what_a_predecessor_left_stays_until_all_wishes_are_known(fresh: Namespace) -> None:
    old, other = server(V4, 80, 1), msgspec.structs.replace(server("10.78.0.1", 80, 1), prefix="10.78.0.0/24")
    before = NodeSurroundings(manage_sysctls=False)
    await before.start()
    for each in (old, other):
        await before.admit(each)
    after = NodeSurroundings(manage_sysctls=False)
    await after.start()
    await after.admit(old)
    await after.dismiss(old.key)
    assert "local 10.78.0.0/24" in fresh.run("ip", "route", "show", "table", "local")
    await after.complete()
    assert "10.78.0.0/24" not in fresh.run("ip", "route", "show", "table", "local")


async def test_what_the_page_says_takes_a_nodes_kernel_back_leaves_nothing_of_ours(net: Network) -> None:
    """docs/upgrade.md, "Taking away", when the programmer is gone."""
    node = net.nodes[0]
    async with Node().running(*servers()):
        pass
    held = ("ip -4 route show table local proto 0xf1", "ip -6 route show table local proto 0xf1", "ipvsadm -Sn")
    assert all(node.run(*shlex.split(line)).strip() for line in held)
    assert "inet fleetlb" in node.run("nft", "list", "tables")
    page = (Path(__file__).parents[2] / "docs" / "upgrade.md").read_text()
    (said,) = re.findall(r"On IPVS then (.*?): the kernel serves on", page)
    commands = re.findall(r"`([^`]+)`", said)
    assert len(commands) == 4
    for line in commands:
        node.run(*shlex.split(line))
    assert [node.run(*shlex.split(line)).strip() for line in held] == ["", "", ""]
    assert "fleetlb" not in node.run("nft", "list", "tables")
