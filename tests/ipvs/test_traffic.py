"""Packets of a client through a real IPVS to real backends: who answers, who is seen, and what a change costs."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer, VirtualServerKey, parse_key
from fleetlb.testkit.balancer_network import Network, network
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.surroundings import NoSurroundings
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel

NODE_PORT = 31000


class Programmer:
    """An engine on one node of a network; what it programs outlives it."""

    def __init__(self, net: Network, node: int = 1) -> None:
        self._namespace = net.nodes[node - 1]
        self.outcomes: dict[VirtualServerKey, Outcome] = {}
        self.token = 0
        self._engine: IpvsEngine

    @contextlib.asynccontextmanager
    async def running(self, *servers: VirtualServer) -> AsyncIterator[None]:
        self._engine = IpvsEngine(
            lambda key, outcome: self.outcomes.update({key: outcome}),
            NoSurroundings(),
            open_kernel=self._open,
            terms=Terms(round_seconds=0.5),
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._engine.run())
            for server in servers:
                self.token += 1
                self._engine.apply(server, self.token)
            self._engine.complete()
            for server in servers:
                await eventually(lambda server=server: self._state(server.key) is State.PROGRAMMED)  # type: ignore[misc]
            yield
            running.cancel()

    async def apply(self, server: VirtualServer) -> None:
        self.token += 1
        self._engine.apply(server, self.token)
        await eventually(lambda: self._told(server.key, State.PROGRAMMED))

    async def remove(self, key: VirtualServerKey) -> None:
        self.token += 1
        self._engine.remove(key, self.token)
        await eventually(lambda: self._told(key, State.REMOVED))

    def _told(self, key: VirtualServerKey, state: State) -> bool:
        return key in self.outcomes and (self.outcomes[key].token, self.outcomes[key].state) == (self.token, state)

    def _state(self, key: VirtualServerKey) -> State | None:
        return self.outcomes[key].state if key in self.outcomes else None

    def _open(self) -> Kernel:
        with self._namespace.entered():
            return Kernel()


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def direct() -> Iterator[Network]:
    with network(nodes=2, answers_directly=True) as made:
        yield made


def server(vip: str, port: int, *backends: int, protocol: str = "tcp", to_port: int = NODE_PORT) -> VirtualServer:
    v6 = ":" in vip
    host = f"[{vip}]" if v6 else vip
    return VirtualServer(
        key=parse_key(f"{host}:{port}/{protocol}"),
        real_servers=tuple(sorted(RealServer(Network.real_address(b, v6=v6), to_port) for b in backends)),
        scheduler=Scheduler.ROUND_ROBIN,
        prefix="fd77::/64" if v6 else "10.77.0.0/16",
    )


async def answers(net: Network, vip: str, port: int, count: int = 6) -> list[str]:
    return sorted([await net.ask_tcp(vip, port) for _ in range(count)])


@pytest.mark.parametrize("vip", ["10.77.0.1", "fd77::1"])
async def test_connections_and_datagrams_reach_every_backend(net: Network, vip: str) -> None:
    seen = net.client_address(v6=":" in vip)
    async with (
        net.echoing(NODE_PORT, NODE_PORT),
        Programmer(net).running(server(vip, 80, 1, 2, 3), server(vip, 80, 1, 2, 3, protocol="udp")),
    ):
        assert await answers(net, vip, 80) == [f"{b} {seen}" for b in (1, 1, 2, 2, 3, 3)]
        assert {await net.ask_udp(vip, 80) for _ in range(6)} == {f"{b} {seen}" for b in (1, 2, 3)}


@pytest.mark.parametrize("forwarding", [Forwarding.DIRECT, Forwarding.IPIP])
@pytest.mark.parametrize("vip", ["10.77.0.1", "fd77::1"])
async def test_forwarding_that_keeps_the_port_shows_the_client_itself(
    direct: Network, vip: str, forwarding: Forwarding
) -> None:
    seen = direct.client_address(v6=":" in vip)
    servers = [
        msgspec.structs.replace(server(vip, 80, 1, 2, 3, protocol=protocol, to_port=80), forwarding=forwarding)
        for protocol in ("tcp", "udp")
    ]
    async with direct.echoing(80, 80, vip), Programmer(direct).running(*servers):
        assert await answers(direct, vip, 80) == [f"{b} {seen}" for b in (1, 1, 2, 2, 3, 3)]
        assert {await direct.ask_udp(vip, 80) for _ in range(6)} == {f"{b} {seen}" for b in (1, 2, 3)}


async def test_a_virtual_server_that_is_removed_refuses_at_once(net: Network) -> None:
    programmer = Programmer(net)
    async with net.echoing(NODE_PORT, NODE_PORT), programmer.running(server("10.77.0.1", 80, 1)):
        assert await net.ask_tcp("10.77.0.1", 80)
        await programmer.remove(parse_key("10.77.0.1:80/tcp"))
        with pytest.raises(ConnectionRefusedError):
            await net.ask_tcp("10.77.0.1", 80)


async def test_P5_a_bystanders_connection_outlives_every_change_beside_it(net: Network) -> None:
    programmer, vip = Programmer(net), "10.77.0.1"
    bystander, changing = server(vip, 80, 1), server(vip, 81, 1)
    async with (
        net.echoing(NODE_PORT, NODE_PORT),
        programmer.running(bystander, changing),
        net.connection(vip, 80) as connection,
    ):
        for change in (server(vip, 81, 2, 3), server(vip, 81), server(vip, 81, 1)):
            await programmer.apply(change)
            assert (await connection.ask()).startswith("1 ")
        await programmer.remove(changing.key)
        assert (await connection.ask()).startswith("1 ")


async def test_P6_connections_outlive_their_backends_removal_until_the_hard_limit(net: Network) -> None:
    programmer, vip = Programmer(net), "10.77.0.1"
    both = msgspec.structs.replace(server(vip, 80, 1, 2), drain_seconds=4)
    one = msgspec.structs.replace(server(vip, 80, 2), drain_seconds=4)
    async with net.echoing(NODE_PORT, NODE_PORT), programmer.running(both), contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(net.connection(vip, 80)) for _ in range(4)]
        names = [await connection.ask() for connection in connections]
        await programmer.apply(one)
        assert {name[0] for name in await answers(net, vip, 80)} == {"2"}, "new connections go to the other"
        assert [await connection.ask() for connection in connections] == names
        await eventually(lambda: len(_held(net)) == 1, seconds=15)
        for connection, name in zip(connections, names, strict=True):
            if name.startswith("1"):
                with pytest.raises((OSError, EOFError, TimeoutError)):
                    await connection.ask()
            else:
                assert await connection.ask() == name


def _held(net: Network, node: int = 1) -> list[str]:
    lines = net.nodes[node - 1].run("ipvsadm", "-Sn").splitlines()
    return [line for line in lines if line.startswith("-a")]


async def test_udp_of_a_backend_that_leaves_goes_elsewhere_at_once(net: Network) -> None:
    programmer, vip = Programmer(net), "10.77.0.1"
    async with net.echoing(NODE_PORT, NODE_PORT), programmer.running(server(vip, 53, 1, protocol="udp")):
        for _ in range(3):  # one flow, by its source port
            assert (await net.ask_udp(vip, 53, source_port=4444)).startswith("1")
        await programmer.apply(server(vip, 53, 2, protocol="udp"))
        assert (await net.ask_udp(vip, 53, source_port=4444)).startswith("2")


async def test_P7_what_is_programmed_serves_on_unchanged_without_a_programmer(net: Network) -> None:
    vip = "10.77.0.1"
    async with net.echoing(NODE_PORT, NODE_PORT), contextlib.AsyncExitStack() as stack:
        async with Programmer(net).running(server(vip, 80, 1, 2, 3)):
            connection = await stack.enter_async_context(net.connection(vip, 80))
            name = await connection.ask()
            before = _digest(net)
        for _ in range(10):
            assert await connection.ask() == name
            assert len(await answers(net, vip, 80, 3)) == 3
            assert _digest(net) == before
        async with Programmer(net).running(server(vip, 80, 1, 2, 3)):
            assert await connection.ask() == name
            assert _digest(net) == before


def _digest(net: Network) -> str:
    return hashlib.sha256(net.nodes[0].run("ipvsadm", "-Sn").encode()).hexdigest()


async def test_affinity_keeps_a_client_with_its_backend(net: Network) -> None:
    vip = "10.77.0.1"
    sticky = msgspec.structs.replace(server(vip, 80, 1, 2, 3), affinity_seconds=60)
    programmer = Programmer(net)
    async with net.echoing(NODE_PORT, NODE_PORT), programmer.running(sticky):
        assert len(set(await answers(net, vip, 80))) == 1
        await programmer.apply(server(vip, 80, 1, 2, 3))
        assert len({*await answers(net, vip, 80, 12)}) == 3, "taken back live"


async def test_two_nodes_of_a_group_are_one_to_a_flow_that_moves(direct: Network) -> None:
    """With mh both choose the same backend, and with sloppy_tcp the second takes a flow that it has not seen begin."""
    vip = "10.77.0.1"
    for node in direct.nodes:
        node.sysctl("net.ipv4.vs.sloppy_tcp", 1)
    shared = msgspec.structs.replace(
        server(vip, 80, 1, 2, 3, to_port=80), forwarding=Forwarding.DIRECT, scheduler=Scheduler.MAGLEV
    )
    async with (
        direct.echoing(80, 80, vip),
        Programmer(direct, 1).running(shared),
        Programmer(direct, 2).running(shared),
        contextlib.AsyncExitStack() as stack,
    ):
        assert _held(direct, 1) == _held(direct, 2)
        connections = [await stack.enter_async_context(direct.connection(vip, 80)) for _ in range(20)]
        names = [await connection.ask() for connection in connections]
        await asyncio.to_thread(direct.steer, 2)
        assert [await connection.ask() for connection in connections] == names
        await asyncio.to_thread(direct.steer, 1)
        assert [await connection.ask() for connection in connections] == names


async def test_five_hundred_connections_and_a_stream_outlive_whatever_happens_to_others(net: Network) -> None:
    """Backends come, drain and go, the programmer is killed and started: only the removed backend's share is lost."""
    vip, drain = "10.77.0.1", 600
    tcp = msgspec.structs.replace(server(vip, 80, 1, 2), drain_seconds=drain)
    udp = server(vip, 53, 1, protocol="udp")
    async with net.echoing(NODE_PORT, NODE_PORT), contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        async with Programmer(net).running(tcp, udp):
            open_ones = [await stack.enter_async_context(net.connection(vip, 80)) for _ in range(500)]
            names = [await connection.ask() for connection in open_ones]
            stream = Stream(net, vip, 53)
            streaming = tasks.create_task(stream.run())
            await eventually(lambda: stream.answered > 5)
        programmer = Programmer(net)
        async with programmer.running(tcp, udp):
            for change in ((1, 2, 3), (2, 3), (1, 2, 3), (1,), (1, 2)):
                await programmer.apply(msgspec.structs.replace(server(vip, 80, *change), drain_seconds=drain))
            for change in ((1, 2, 3), (1, 3), (1,)):
                await programmer.apply(server(vip, 53, *change, protocol="udp"))
        assert [await connection.ask() for connection in open_ones] == names
        await eventually(lambda before=stream.answered: stream.answered > before + 5)  # type: ignore[misc]
        streaming.cancel()
    assert stream.lost == 0
    assert stream.answered > 10


class Stream:
    """Datagrams of one flow, one at a time."""

    def __init__(self, net: Network, vip: str, port: int) -> None:
        self._net, self._vip, self._port = net, vip, port
        self.answered = self.lost = 0

    async def run(self) -> None:
        while True:
            try:
                await self._net.ask_udp(self._vip, self._port, source_port=4445)
                self.answered += 1
            except (TimeoutError, OSError):
                self.lost += 1
            await asyncio.sleep(0.005)
