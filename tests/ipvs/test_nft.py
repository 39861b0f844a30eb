"""The node's packet filter with real packets: the way back for answers, who is let in, and what others do to it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.balancer_network import POOLS, Network, network
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs import nft
from fleetlb_dataplane_programmer.ipvs.filtering import Guard
from fleetlb_dataplane_programmer.ipvs.generation import ruleset_generation
from fleetlb_dataplane_programmer.ipvs.nft import NftFilter

NODE_PORT = 31000
VIPS = {"v4": "10.77.0.1", "v6": "fd77::1"}
CLIENTS = {"v4": ("10.40.0.2", "10.10.1.2"), "v6": ("fd40::2", "fd10:1::2")}
BYSTANDERS = """
table inet operator {
    set friends { type ipv4_addr; elements = { 192.0.2.1 } }
    chain input { type filter hook input priority filter; policy accept; ip saddr @friends counter accept; }
}
table ip nat {
    chain postrouting { type nat hook postrouting priority srcnat; ip saddr 192.0.2.7 masquerade; }
}
"""
family = pytest.mark.parametrize("family", ["v4", "v6"])
protocol = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@pytest.fixture
def net() -> Iterator[Network]:
    """The test's thread is in the node. Backends know no way to the client but over the node's own address."""
    with network(backends=2) as made, made.nodes[0].entered() as node:
        node.sysctl("net.ipv4.vs.conntrack", 1)
        for backend in made.backends:
            backend.run("ip", "route", "del", "10.40.0.0/24")
            backend.run("ip", "-6", "route", "del", "fd40::/64")
        serve(node, made)
        yield made


@pytest.fixture
async def filtering() -> NftFilter:
    """Started in the test's namespace, with nothing wanted."""
    made = NftFilter()
    await made.start()
    return made


def serve(node: Namespace, net: Network, forwarding: str = "-m", port: int = NODE_PORT) -> None:
    """Every VIP is served at port 80 by backend 1, and at 81 by backend 2."""
    lines = []
    for vip in VIPS.values():
        v6 = ":" in vip
        for backend in range(1, len(net.backends) + 1):
            here, there = vip, net.real_address(backend, v6=v6)
            if v6:
                here, there = f"[{here}]", f"[{there}]"
            for flag in ("-t", "-u"):
                where = f"{flag} {here}:{79 + backend}"
                to_port = port if forwarding == "-m" else 79 + backend
                lines += [f"-A {where} -s rr", f"-a {where} -r {there}:{to_port} {forwarding}"]
    node.run("ipvsadm", "-R", stdin="\n".join(lines) + "\n")


def key(family: str, protocol: str, port: int = 80) -> VirtualServerKey:
    vip = VIPS[family]
    return parse_key(f"[{vip}]:{port}/{protocol}" if ":" in vip else f"{vip}:{port}/{protocol}")


def guard(family: str, protocol: str, *ranges: str) -> Guard:
    return Guard(key(family, protocol), ranges)


def narrow(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


class Client:
    """A flow of the client's, from one of its addresses: connected, or for UDP at least bound."""

    def __init__(self, net: Network, family: str, protocol: str, source: str, port: int = 80) -> None:
        self._socket = net.socket(VIPS[family], socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._where = (VIPS[family], port)
        self._is_connected = False

    async def ask(self, seconds: float = 5.0, payload: bytes = b"who\n") -> str:
        """Who answers, and whom it sees. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            if not self._is_connected:
                await loop.sock_connect(self._socket, self._where)
                self._is_connected = True
            await loop.sock_sendall(self._socket, payload)
            return (await loop.sock_recv(self._socket, 1000)).decode().strip()

    async def is_refused(self, payload: bytes = b"who\n") -> bool:
        """Whether nothing comes back."""
        with contextlib.suppress(TimeoutError):
            await self.ask(0.3, payload)
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def clients(net: Network, family: str, protocol: str) -> AsyncIterator[tuple[Client, Client]]:
    """Two, at different addresses."""
    pair = [Client(net, family, protocol, source) for source in CLIENTS[family]]
    try:
        yield pair[0], pair[1]
    finally:
        for one in pair:
            one.close()


def ours(node: Namespace) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads(node.run("nft", "-j", "list", "table", "inet", "fleetlb"))["nftables"]
    return listed


def written() -> float:
    return float(nft.WRITES._value.get())


@family
@protocol
async def test_answers_come_back_through_the_nodes_own_address(
    net: Network, filtering: NftFilter, family: str, protocol: str
) -> None:
    async with net.echoing(NODE_PORT, NODE_PORT), clients(net, family, protocol) as (one, other):
        assert await other.is_refused()
        await filtering.sync(POOLS, [])
        assert await one.ask() == {"v4": "1 10.20.1.11", "v6": "1 fd20:1::11"}[family]


@pytest.mark.parametrize("forwarding", ["-g", "-i"])
@family
async def test_what_keeps_its_client_is_not_masqueraded(family: str, forwarding: str) -> None:
    with network(backends=1, answers_directly=True) as net, net.nodes[0].entered() as node:
        node.sysctl("net.ipv4.vs.conntrack", 1)
        serve(node, net, forwarding)
        filtering = NftFilter()
        await filtering.start()
        await filtering.sync(POOLS, [])
        async with net.echoing(80, 80, *VIPS.values()):
            assert await net.ask_tcp(VIPS[family], 80) == f"1 {net.client_address(v6=family == 'v6')}"
            assert await net.ask_udp(VIPS[family], 80) == f"1 {net.client_address(v6=family == 'v6')}"


async def test_traffic_of_others_is_not_masqueraded(net: Network, filtering: NftFilter) -> None:
    await filtering.sync(POOLS, [])
    net.backends[0].route("10.40.0.0/24", "10.20.1.11")
    async with net.echoing(NODE_PORT, NODE_PORT):
        with contextlib.closing(net.socket("10.20.1.2")) as direct:
            direct.bind(("10.40.0.2", 0))
            net.client.run("ip", "route", "add", "10.20.1.0/24", "via", "10.10.1.1")
            loop = asyncio.get_running_loop()
            await loop.sock_connect(direct, ("10.20.1.2", NODE_PORT))
            await loop.sock_sendall(direct, b"who\n")
            assert await loop.sock_recv(direct, 100) == b"1 10.40.0.2\n"


@family
@protocol
async def test_only_clients_of_the_ranges_get_in_and_a_change_is_live(
    net: Network, filtering: NftFilter, family: str, protocol: str
) -> None:
    admitted, refused = CLIENTS[family]
    await filtering.sync(POOLS, [guard(family, protocol, narrow(admitted))])
    async with net.echoing(NODE_PORT, NODE_PORT), clients(net, family, protocol) as (one, other):
        assert await one.ask()
        assert await other.is_refused()
        await filtering.change(key(family, protocol), guard(family, protocol, narrow(admitted), narrow(refused)))
        assert await other.ask()
        assert await one.ask()
        await filtering.change(key(family, protocol), guard(family, protocol, narrow(refused)))
        assert await one.is_refused()  # a connection that stood
        assert await other.ask()
        await filtering.change(key(family, protocol), None)
        assert await one.ask()


@family
@protocol
async def test_a_guard_is_of_one_port_and_protocol(
    net: Network, filtering: NftFilter, family: str, protocol: str
) -> None:
    await filtering.sync(POOLS, [guard(family, protocol, "192.0.2.0/24", "2001:db8::/32")])
    another = "udp" if protocol == "tcp" else "tcp"
    source = CLIENTS[family][0]
    async with net.echoing(NODE_PORT, NODE_PORT):
        for its_protocol, port, is_open in ((protocol, 80, False), (another, 80, True), (protocol, 81, True)):
            with contextlib.closing(Client(net, family, its_protocol, source, port)) as client:
                assert await (client.ask() if is_open else client.is_refused())


@family
async def test_ranges_of_the_other_family_alone_let_nobody_in(net: Network, filtering: NftFilter, family: str) -> None:
    ranges = {"v4": "::/0", "v6": "0.0.0.0/0"}[family]
    await filtering.sync(POOLS, [guard(family, "tcp", ranges)])
    async with net.echoing(NODE_PORT, NODE_PORT), clients(net, family, "tcp") as (one, _):
        assert await one.is_refused()
        await filtering.change(key(family, "tcp"), guard(family, "tcp", "::/0", "0.0.0.0/0"))
        assert await one.ask()


@family
async def test_fragments_get_no_further_than_whole_packets(net: Network, filtering: NftFilter, family: str) -> None:
    admitted, _ = CLIENTS[family]
    await filtering.sync(POOLS, [guard(family, "udp", narrow(admitted))])
    large = b"x" * 4000
    async with net.echoing(NODE_PORT, NODE_PORT), clients(net, family, "udp") as (one, other):
        assert await one.ask(payload=large)
        assert await other.is_refused(large)


@family
async def test_changing_ranges_never_opens_a_gap(net: Network, filtering: NftFilter, family: str) -> None:
    admitted, _ = CLIENTS[family]
    host, network_of_all = narrow(admitted), {"v4": "10.40.0.0/16", "v6": "fd40::/16"}[family]
    await filtering.sync(POOLS, [guard(family, "udp", host)])
    async with net.echoing(NODE_PORT, NODE_PORT), clients(net, family, "udp") as (one, other):
        assert await one.ask()
        knocking = asyncio.Event()

        async def knock() -> str:
            while not knocking.is_set():
                with contextlib.suppress(TimeoutError):
                    return await other.ask(0.002)
            return ""

        async with asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(knock())
            for ranges in [(network_of_all,), (host,), (host, "192.0.2.0/24"), ()] * 3:
                await filtering.change(key(family, "udp"), guard(family, "udp", *ranges))
            await filtering.change(key(family, "udp"), guard(family, "udp", host))
            knocking.set()
        assert answer.result() == ""
        assert await one.ask()


async def test_others_keep_what_is_theirs(fresh: Namespace) -> None:
    fresh.run("nft", "-f", "-", stdin=BYSTANDERS)
    before = fresh.run("nft", "list", "ruleset")
    filtering = NftFilter()
    await filtering.start()
    await filtering.sync(POOLS, [guard("v4", "tcp", "192.0.2.0/24")])
    fresh.run("nft", "flush", "table", "inet", "fleetlb")
    assert await filtering.audit()
    fresh.run("nft", "delete", "table", "inet", "fleetlb")
    assert await filtering.audit()
    fresh.run("nft", "delete", "table", "inet", "fleetlb")
    assert fresh.run("nft", "list", "ruleset") == before


async def test_a_restart_writes_nothing_that_is_right(fresh: Namespace, filtering: NftFilter) -> None:
    guards = [guard("v4", "tcp", "192.0.2.0/24", "0.0.0.0/0"), guard("v6", "udp", "2001:db8::/32", "::1/128")]
    prefixes = (*POOLS, "10.77.3.0/24", "192.0.2.1/32", "::192.0.2.0/120", "fd78::1/128")
    await filtering.sync(prefixes, guards)
    listed, generation = ours(fresh), ruleset_generation()
    successor = NftFilter()
    await successor.start()
    for one in guards:
        await successor.change(one.key, one, "10.77.0.0/16")
    assert await successor.sync(prefixes, guards) == 0
    assert await successor.audit() == 0
    assert (ours(fresh), ruleset_generation()) == (listed, generation)


async def test_a_restart_opens_nothing_before_it_knows_every_wish(fresh: Namespace, filtering: NftFilter) -> None:
    await filtering.sync(POOLS, [guard("v4", "tcp", "192.0.2.0/24"), guard("v6", "udp", "2001:db8::/32")])
    fresh.run("nft", "flush", "chain", "inet", "fleetlb", "admission")
    before = {text for text in fresh.run("nft", "list", "table", "inet", "fleetlb").splitlines() if "elements" in text}
    successor = NftFilter()
    await successor.start()
    await successor.change(key("v4", "udp"), None, "10.78.0.0/16")
    after = fresh.run("nft", "list", "table", "inet", "fleetlb")
    assert {line for line in before if line not in after} == {
        next(line for line in before if "10.77.0.0/16" in line)
    }  # the set of pools, which has grown
    assert "10.77.0.0/16, 10.78.0.0/16" in after
    assert await successor.sync(POOLS, []) == 5


@pytest.mark.parametrize(
    ("damage", "size"),
    [
        ("delete element inet fleetlb guarded4 { 10.77.0.1 . tcp . 80 }", 1),
        ("delete element inet fleetlb admitted_tcp4 { 10.77.0.1 . 80 . 192.0.2.0/24 }", 1),
        ("flush set inet fleetlb guarded4; flush set inet fleetlb pools6", 2),
        ("add element inet fleetlb admitted_tcp4 { 10.77.0.1 . 80 . 198.51.100.0/24 }", 1),
        ("add element inet fleetlb admitted_tcp4 { 10.77.0.1 . 80-90 . 198.51.100.1-198.51.100.9 }", 1),
        ("add element inet fleetlb pools4 { 10.99.0.1-10.99.0.7 }", 1),
        ("flush chain inet fleetlb admission", 1),
        ("insert rule inet fleetlb source_ranges accept", 1),
        ("add rule inet fleetlb admission accept", 1),
        ("delete table inet fleetlb", 1),
        ("add chain inet fleetlb source_ranges { policy drop; }", 1),
        ("add table inet fleetlb { flags dormant; }", 1),
        ("add set inet fleetlb mine { type ether_addr; elements = { 00:00:5e:00:53:01 }; }", 1),
    ],
    ids=lambda text: text[:60] if isinstance(text, str) else "",
)
async def test_what_others_damage_is_found_and_mended(
    fresh: Namespace, filtering: NftFilter, damage: str, size: int
) -> None:
    await filtering.sync(POOLS, [guard("v4", "tcp", "192.0.2.0/24")])
    right = fresh.run("nft", "list", "table", "inet", "fleetlb")
    repairs = nft.REPAIRS._value.get()
    assert await filtering.audit() == 0
    fresh.run("nft", "-f", "-", stdin=damage + "\n")
    assert await filtering.audit() == size
    assert fresh.run("nft", "list", "table", "inet", "fleetlb") == right
    assert nft.REPAIRS._value.get() == repairs + size
    assert await filtering.audit() == 0


async def test_a_change_succeeds_on_a_table_that_others_damaged(fresh: Namespace, filtering: NftFilter) -> None:
    await filtering.sync(POOLS, [guard("v4", "tcp", "192.0.2.0/24"), guard("v6", "tcp", "2001:db8::/32")])
    fresh.run("nft", "delete", "table", "inet", "fleetlb")
    await filtering.change(key("v4", "tcp"), guard("v4", "tcp", "198.51.100.0/24"))
    listed = fresh.run("nft", "list", "table", "inet", "fleetlb")
    assert "198.51.100.0/24" in listed
    assert "2001:db8::/32" in listed
    assert "192.0.2.0/24" not in listed


async def test_at_rest_an_audit_starts_no_process(fresh: Namespace, filtering: NftFilter) -> None:
    await filtering.sync(POOLS, [])
    await filtering.audit()
    one = guard("v4", "tcp", "192.0.2.0/24")
    await filtering.change(one.key, one)  # a change of our own is no reason to look
    filtering._program = "/nowhere/nft"
    assert await filtering.audit() == 0
    filtering._program = "nft"
    fresh.run("nft", "flush", "set", "inet", "fleetlb", "pools4")
    await filtering.change(one.key, None)  # and hides nothing
    assert await filtering.audit() == 1


async def test_what_many_ask_for_at_once_is_written_together(fresh: Namespace, filtering: NftFilter) -> None:
    before = written()
    guards = [Guard(parse_key(f"10.77.1.{n}:443/tcp"), (f"198.51.100.{n}/32",)) for n in range(1, 201)]
    async with asyncio.TaskGroup() as tasks:
        for one in guards:
            tasks.create_task(filtering.change(one.key, one, "10.77.0.0/16"))
    assert written() - before <= 3
    assert await filtering.sync(["10.77.0.0/16"], guards) == 0
    assert await filtering.audit() == 0


async def test_what_is_asked_for_during_a_sync_comes_on_top(fresh: Namespace, filtering: NftFilter) -> None:
    one, other = guard("v4", "tcp", "192.0.2.0/24"), guard("v4", "udp", "192.0.2.0/24")
    await filtering.sync(POOLS, [other])
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(filtering.sync(POOLS, []))
        tasks.create_task(filtering.change(one.key, one, "10.78.0.0/16"))
    assert await filtering.audit() == 0
    assert await filtering.sync([*POOLS, "10.78.0.0/16"], [one]) == 0
    listed = fresh.run("nft", "list", "table", "inet", "fleetlb")
    assert "10.77.0.1 . tcp . 80" in listed
    assert "10.77.0.1 . udp . 80" not in listed


def slow_nft(folder: Path, script: str) -> str:
    """A program that does this in place of writing; reading is nft's own."""
    program = folder / "nft"
    program.write_text(f'#!/bin/sh\ncase "$*" in *list*) exec nft "$@" ;; esac\n{script}\n')
    program.chmod(0o755)
    return str(program)


async def test_who_asks_for_what_is_being_written_waits_for_it(
    fresh: Namespace, filtering: NftFilter, tmp_path: Path
) -> None:
    await filtering.sync(POOLS, [])
    filtering._program = slow_nft(tmp_path, 'sleep 0.3; exec nft "$@"')
    wanted = guard("v4", "tcp", "192.0.2.0/24")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(filtering.change(wanted.key, wanted))
        await eventually(lambda: filtering._lock.locked() and not filtering._unwritten)
        await filtering.change(wanted.key, wanted)
        assert "10.77.0.1 . tcp . 80" in fresh.run("nft", "list", "table", "inet", "fleetlb")


@pytest.mark.parametrize("script", ["sleep 5", 'nft "$@"; touch "$0.done"; sleep 5'], ids=["before", "after"])
async def test_a_write_that_is_cut_short_is_made_up_for(
    fresh: Namespace, filtering: NftFilter, tmp_path: Path, script: str
) -> None:
    one, other = guard("v4", "tcp", "192.0.2.0/24"), guard("v4", "udp", "192.0.2.0/24")
    await filtering.sync(POOLS, [])
    filtering._program = slow_nft(tmp_path, script)
    async with asyncio.TaskGroup() as tasks:
        cut = [tasks.create_task(filtering.change(each.key, each)) for each in (one, other)]
        written = tmp_path / "nft.done"
        await eventually(lambda: written.exists() if "done" in script else filtering._lock.locked())
        for task in cut:
            task.cancel()
    filtering._program = "nft"
    await filtering.change(one.key, None)
    listed = fresh.run("nft", "list", "table", "inet", "fleetlb")
    assert "10.77.0.1 . tcp . 80" not in listed
    await filtering.change(other.key, other)
    assert "10.77.0.1 . udp . 80" in fresh.run("nft", "list", "table", "inet", "fleetlb")


async def test_refused_packets_are_counted(net: Network, filtering: NftFilter) -> None:
    await filtering.sync(POOLS, [guard("v4", "udp", "192.0.2.0/24")])
    async with clients(net, "v4", "udp") as (one, _):
        assert await one.is_refused()
    net.nodes[0].run("nft", "add", "table", "inet", "another")  # or the audit need not look
    await filtering.audit()
    assert nft.REFUSED._value.get() == 1
