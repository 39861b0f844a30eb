"""Who gets in through a real Envoy: source ranges."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.planning import ADMITS_NOBODY
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey
from fleetlb.testkit.echo import tcp_echo, udp_echo
from fleetlb.testkit.eventually import eventually
from fleetlb_cli.local.ports import free_port
from fleetlb_dataplane_programmer.engine import State
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from fleetlb_dataplane_programmer.probing import Patience, probe
from tests.integration.envoy_node import (
    Node,
    answer,
    clients,
    conversation,
    listens,
    pushed,
    running_node,
    server,
    settles,
)

pytestmark = pytest.mark.integration

INSIDE, OUTSIDE = "127.9.0.1", "127.8.0.1"
RANGES = ("127.9.0.0/16",)
NOBODY = ADMITS_NOBODY[Family.IPV4]
ECHOES = {Protocol.TCP: tcp_echo, Protocol.UDP: udp_echo}
BOTH = pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])


def admitting(open_server: VirtualServer, *ranges: str) -> VirtualServer:
    return msgspec.structs.replace(open_server, source_ranges=ranges)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node whose engine knows that there is nothing yet."""
    async with running_node() as made:
        yield made


class Flow:
    """Datagrams of one client, from one port."""

    def __init__(self, key: VirtualServerKey, source: str) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((source, 0))
        self._socket.connect((key.address, key.port))

    def send(self, word: str = "hello") -> None:
        with contextlib.suppress(ConnectionRefusedError):  # somebody said so of an earlier one
            self._socket.send(word.encode())

    def received(self) -> list[str]:
        """All that came and was not read yet."""
        answers: list[str] = []
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                answers.append(self._socket.recv(100).decode())
        return answers

    async def ask(self) -> str:
        """An answer, to the first datagram that gets one."""
        async with asyncio.timeout(5):
            while True:
                self.send()
                for _ in range(20):
                    if answers := self.received():
                        return answers[-1]
                    await asyncio.sleep(0.005)

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def strangers(key: VirtualServerKey) -> AsyncIterator[list[str]]:
    """Clients from outside that try all the while; yields whatever they are answered, and "" for each try without."""
    answers: list[str] = []

    async def dial() -> None:
        while True:
            try:
                answers.append(await answer(key, OUTSIDE))
            except OSError:
                answers.append("")
            await asyncio.sleep(0)

    async def send() -> None:
        with contextlib.closing(Flow(key, OUTSIDE)) as flow:
            while True:
                flow.send()
                answers.extend(["", *flow.received()])
                await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        trying = [tasks.create_task(dial() if key.protocol is Protocol.TCP else send()) for _ in range(3)]
        try:
            yield answers
        finally:
            for each in trying:
                each.cancel()


async def tries(answers: list[str], count: int = 30) -> None:
    """Until so many more have tried."""
    goal = len(answers) + count
    await eventually(lambda: len(answers) >= goal)


async def until_silent(flow: Flow, beside: Flow) -> None:
    """Until a flow is not answered any more, while another one is; between Envoy's word and its workers an instant."""
    async with asyncio.timeout(5):
        while True:
            flow.received()
            for _ in range(5):
                flow.send()
                await beside.ask()
            if not flow.received():
                return


async def until_nothing(key: VirtualServerKey, source: str) -> None:
    async with asyncio.timeout(5):
        while not await gets_nothing(key, source):
            pass


async def gets_nothing(key: VirtualServerKey, source: str) -> bool:
    """Whether this client is not answered, while another that is let in is."""
    if key.protocol is Protocol.TCP:
        with contextlib.suppress(OSError):
            return await answer(key, source) == ""
        return True
    with contextlib.closing(Flow(key, source)) as outside, contextlib.closing(Flow(key, INSIDE)) as inside:
        for _ in range(5):
            outside.send()
            await inside.ask()
        return outside.received() == []


@BOTH
@pytest.mark.parametrize("ranges", [RANGES, ("127.9.0.0/16", "127.9.0.0/24"), ("10.0.0.0/8", "127.9.0.1/32")])
async def test_SRC_1_only_clients_in_the_source_ranges_get_in(
    node: Node, protocol: Protocol, ranges: tuple[str, ...]
) -> None:
    async with ECHOES[protocol]("a") as port:
        guarded, neighbour = admitting(server(port, protocol=protocol), *ranges), server(port, protocol=protocol)
        before = pushed()
        await node.program(guarded, neighbour)
        await settles(guarded.key, "a hello", INSIDE)
        assert await gets_nothing(guarded.key, OUTSIDE)
        assert await gets_nothing(guarded.key, "127.0.0.1")
        await settles(neighbour.key, "a hello", OUTSIDE)
        assert pushed() - before == 2 * 3, "ranges cost no resource of their own"


@BOTH
async def test_SRC_1_a_new_virtual_server_lets_nobody_else_in_at_any_moment(node: Node, protocol: Protocol) -> None:
    async with ECHOES[protocol]("a") as port:
        guarded = admitting(server(port, protocol=protocol), *RANGES)
        async with strangers(guarded.key) as answers:
            for _ in range(5):
                await node.program(guarded)
                await settles(guarded.key, "a hello", INSIDE)
                await tries(answers)
                await node.remove(guarded)
                await tries(answers)
            await node.program(guarded)
            await node.envoy.kill()
            await tries(answers)
            await node.envoy.start()
            await settles(guarded.key, "a hello", INSIDE)
            await tries(answers)
        assert set(answers) == {""}


async def test_SRC_1_a_family_without_a_range_lets_nobody_in_but_probes_of_the_node(node: Node) -> None:
    async with tcp_echo("t") as tcp_port, udp_echo("u") as udp_port:
        tcp = admitting(server(tcp_port), *NOBODY)
        udp = admitting(server(udp_port, protocol=Protocol.UDP), *NOBODY)
        await node.program(tcp, udp)
        await listens(tcp.key)

        for source in (INSIDE, OUTSIDE, "127.0.0.1"):
            assert await gets_nothing(tcp.key, source)
        for each in (tcp, udp):
            assert await probe(each, sources=PROBE_SOURCES) is True
        from_elsewhere = await probe(tcp, patience=Patience(settle=1.0))
        assert from_elsewhere is False, "without its own way in the node is a client like others"


@pytest.mark.parametrize("protocol", [Protocol.UDP, Protocol.TCP])
async def test_SRC_1_ranges_of_ipv6(node: Node, protocol: Protocol) -> None:
    echo = tcp_echo if protocol is Protocol.TCP else udp_echo
    async with echo("six", "::1") as port:
        key = VirtualServerKey("::1", free_port(), protocol)
        guarded = VirtualServer(key=key, real_servers=(RealServer("::1", port),), source_ranges=("::1/128", "fd00::/8"))
        await node.program(guarded)
        await settles(key, "six hello", "::1")

        await node.program(admitting(guarded, "fd00:1::/32"))
        assert await probe(guarded, sources=PROBE_SOURCES) is True
        if protocol is Protocol.UDP:  # for TCP this client is the prober
            with contextlib.closing(Flow(key, "::1")) as flow:
                flow.send()
                await node.program(msgspec.structs.replace(guarded, source_ranges=()))
                assert await flow.ask() == "six hello"
                assert flow.received() == []


async def test_SRC_2_a_live_change_cuts_no_connection_and_fails_no_admitted_client(node: Node) -> None:
    """Connections that stand go on, whoever they are of; the ranges are for new ones."""
    async with tcp_echo("a") as port:
        everybody, gone = server(port), server(port)
        key = everybody.key
        await node.program(everybody, gone)
        await settles(key, "a hello", INSIDE)
        async with (
            conversation(key, INSIDE) as admitted,
            conversation(key, OUTSIDE) as no_longer,
            conversation(gone.key) as ends,
            clients(key, INSIDE) as answers,
        ):
            assert {await talk.ask() for talk in (admitted, no_longer, ends)} == {"a hello"}
            before = pushed()
            for ranges in (RANGES, ("127.8.0.0/16", *RANGES), ("0.0.0.0/0",), ("127.9.0.1/32",), RANGES):
                await node.program(admitting(everybody, *ranges))
                await tries(answers)
            assert pushed() - before == 5
            await until_nothing(key, OUTSIDE)
            await node.remove(gone)
            assert await ends.end() == b""  # so whatever was to be drained is
            assert {await talk.ask() for talk in (admitted, no_longer)} == {"a hello"}
            assert set(answers) == {"a hello"}

            await node.program(everybody)
            await settles(key, "a hello", OUTSIDE)
            assert await admitted.ask() == "a hello"


async def test_SRC_2_an_admitted_flow_of_datagrams_goes_on_over_a_live_change(node: Node) -> None:
    async with udp_echo("a") as a, udp_echo("b") as b, udp_echo("c") as c:
        everybody = server(a, b, c, protocol=Protocol.UDP, scheduler=Scheduler.MAGLEV)
        key = everybody.key
        await node.program(everybody)
        with contextlib.closing(Flow(key, INSIDE)) as admitted, contextlib.closing(Flow(key, OUTSIDE)) as no_longer:
            before = await admitted.ask()
            assert await no_longer.ask()
            for ranges in (RANGES, ("127.7.0.0/16", *RANGES), ("127.9.0.1/32",)):
                await node.program(admitting(everybody, *ranges))
                assert await admitted.ask() == before, "another real server"
                await until_silent(no_longer, admitted)
            await node.program(everybody)
            assert await admitted.ask() == before
            assert await no_longer.ask()


@BOTH
async def test_SRC_4_malformed_ranges_are_refused_and_the_rule_of_before_stays(node: Node, protocol: Protocol) -> None:
    async with ECHOES[protocol]("a") as port:
        guarded = admitting(server(port, protocol=protocol), *RANGES)
        await node.program(guarded)
        await settles(guarded.key, "a hello", INSIDE)

        node.wish(admitting(guarded, "127.8.0.0/16", "127.0.0.0/99"))
        await node.told(State.REJECTED, guarded)
        assert "'127.0.0.0/99'" in node.outcomes[-1][1].message
        assert await gets_nothing(guarded.key, OUTSIDE)
        await settles(guarded.key, "a hello", INSIDE)
