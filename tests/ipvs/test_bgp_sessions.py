"""Sessions between real BIRDs: what keeps them from standing is named, and what ends them ends nothing else."""

import pathlib
import signal
from collections.abc import Iterator

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import MAX_ASN, MAX_PEERS, RouteAttributes
from fleetlb.domain.routing_rules import problems_of
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.configuring import ROUTES_FILE, SESSIONS_FILE
from fleetlb_dataplane_programmer.bgp.control import BirdControl, BirdRefusal
from fleetlb_dataplane_programmer.bgp.measuring import ADVERTISED, REPAIRS, SESSION_UP
from fleetlb_dataplane_programmer.bgp.reading import parse_networks
from tests.stage.routers import RoutedNetwork, is_unchanged, node_configuration, routed_network
from tests.stage.speakers import Speaking, one_speaking, peer_of, speaking_of

pytestmark = pytest.mark.ipvs

VIP, OTHER = "10.77.0.1", "10.77.0.2"
NODE_1 = "10.10.1.1"


@pytest.fixture
def net(tmp_path: pathlib.Path) -> Iterator[RoutedNetwork]:
    """A router and a node; no BIRD runs yet."""
    with routed_network(tmp_path, nodes=1) as made:
        yield made


async def until_routed(net: RoutedNetwork, vip: str, *nodes: str) -> None:
    await eventually(lambda: net.next_hops(vip) == set(nodes), 30)


async def test_peers_that_cannot_be_had_are_named_while_another_is_told(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    silent = peer_of(node, name="silent", address="10.10.1.77")
    elsewhere = peer_of(node, name="elsewhere", address="203.0.113.7")
    mistaken = peer_of(node, name="mistaken", address=node.router_address6, asn=65001, families=(Family.IPV6,))
    speaking = speaking_of(peer_of(node), silent, elsewhere, mistaken)
    sessions = (node.router_session(), node.router_session6())
    async with one_speaking(net, *sessions, speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        await first.until_up("tor-1")
        await first.until_problem("mistaken", "Bad peer AS")
        await first.until_problem("silent", "No route to host")
        await first.until_problem("elsewhere", "Idle")
        assert SESSION_UP.labels("tor-1")._value.get() == 1
        assert SESSION_UP.labels("silent")._value.get() == 0
        assert ADVERTISED.labels("tor-1")._value.get() == 1


async def test_a_routers_limit_ends_the_session_and_is_shown(net: RoutedNetwork) -> None:
    session = net.nodes[0].router_session(channel="import limit 3 action disable;")
    async with one_speaking(net, session) as first:
        await first.until_up("tor-1")
        for n in range(5):
            await first.speaker.announce(f"10.77.0.{n}")
        await first.until_problem("tor-1", "Maximum number of prefixes reached")
        assert net.next_hops(VIP) == set()


async def test_a_limit_of_ones_own_keeps_the_session_and_is_shown(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    session = node.router_session(channel="import limit 3 action disable;")
    async with one_speaking(net, session, speaking=speaking_of(peer_of(node, max_routes=3))) as first:
        await first.until_up("tor-1")
        for n in range(5):
            await first.speaker.announce(f"10.77.0.{n}")
        await eventually(lambda: first.sessions["tor-1"].is_limited)
        assert first.sessions["tor-1"].is_up
        assert first.sessions["tor-1"].advertised == 3
        assert "3 imported" in net.bird.session("node1")


async def test_a_bird_that_starts_anew_has_its_routes(net: RoutedNetwork) -> None:
    async with one_speaking(net) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        first.node.bird.kill()
        await until_routed(net, VIP)
        await first.until_problem("tor-1", "BIRD cannot be asked")
        assert SESSION_UP.labels("tor-1")._value.get() == 0
        with pytest.raises(Transient, match="BIRD cannot be asked"):
            await first.speaker.announce(OTHER)
        await first.node.bird.start()
        await until_routed(net, VIP, NODE_1)
        await until_routed(net, OTHER, NODE_1)
        await first.until_up("tor-1")


async def test_with_graceful_restart_a_router_keeps_the_routes_of_a_bird_that_starts_anew(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    speaking = speaking_of(peer_of(node), graceful_restart_seconds=9)
    async with one_speaking(net, speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        node.bird.kill()
        await eventually(lambda: not net.bird.is_established("node1"))
        ways: list[set[str]] = []

        def is_back() -> bool:
            ways.append(net.next_hops(VIP))
            return net.bird.is_established("node1") and "stale" not in net.route(VIP).lower()

        await node.bird.start(recovers=True)
        await eventually(is_back, 30)
        await first.until_up("tor-1")
        assert all(way == {NODE_1} for way in [*ways, net.next_hops(VIP)])


async def test_a_session_with_a_password(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    session = node.router_session(options='password "s3cret; }";')
    speaking = speaking_of(peer_of(node, password_file="tor-1.key"))
    async with one_speaking(net, session, speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await first.until_problem("tor-1", "there is no file", "tor-1.key")
        (node.passwords / "tor-1.key").write_text('not"one')
        await first.until_problem("tor-1", "printable")
        (node.passwords / "tor-1.key").write_text("wrong\n")
        await eventually(lambda: first.sessions["tor-1"].state in ("Active", "Connect"))
        assert net.next_hops(VIP) == set()
        (node.passwords / "tor-1.key").write_text("s3cret; }\n")
        await until_routed(net, VIP, NODE_1)
        assert (node.folder / SESSIONS_FILE).stat().st_mode & 0o777 == 0o640


async def test_bfd_notices_a_dead_node_before_the_hold_time(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    session = node.router_session(options="bfd on;")
    async with one_speaking(net, session, speaking=speaking_of(peer_of(node, bfd=True, hold_seconds=90))) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        await eventually(lambda: " Up " in net.bird.ask("show bfd sessions"), 30)
        node.bird.send(signal.SIGSTOP)
        try:
            await eventually(lambda: net.next_hops(VIP) == set(), 5)
        finally:
            node.bird.send(signal.SIGCONT)
        await until_routed(net, VIP, NODE_1)


async def test_a_session_that_takes_packets_of_neighbours_alone(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    speaking = speaking_of(peer_of(node, ttl_security=True, source_address=NODE_1))
    async with one_speaking(net, node.router_session(options="ttl security on;"), speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)


async def test_one_that_comes_or_goes_leaves_the_others_alone(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    six = peer_of(node, name="six", address=node.router_address6)
    async with one_speaking(net, node.router_session(), node.router_session6()) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        before = net.route(VIP), net.bird.ask("show protocols node1")
        await first.speaker.speak(speaking_of(peer_of(node), six))
        await first.until_up("tor-1", "six")
        await first.speaker.speak(speaking_of(peer_of(node)))
        await eventually(lambda: not net.bird.is_established("node1v6"))
        assert is_unchanged((net.route(VIP), net.bird.ask("show protocols node1")), before)
        await eventually(lambda: set(first.sessions) == {"tor-1"})
        assert "six" not in {sample.labels["peer"] for metric in SESSION_UP.collect() for sample in metric.samples}


async def test_a_bird_that_does_not_include_the_files_is_told_how(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    async with one_speaking(net) as first:
        await first.speaker.announce(VIP)
        elsewhere = node.folder / "elsewhere"
        elsewhere.mkdir()
        node.bird.write(node_configuration(elsewhere))
        node.bird.ask("configure")
        await first.until_problem("tor-1", f'include "{node.folder}/*.conf";')
        with pytest.raises(Transient, match="does not read what is written for it"):
            await first.speaker.announce(OTHER)
        node.bird.write(node_configuration(node.folder))
        await until_routed(net, OTHER, NODE_1)


async def test_what_bird_refuses_is_taken_back(net: RoutedNetwork) -> None:
    """A part of its configuration that is not ours is wrong: BIRD keeps what it had, and says where."""
    node = net.nodes[0]
    async with one_speaking(net) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        good = node_configuration(node.folder)
        node.bird.write(good + "nonsense;\n")
        with pytest.raises(Transient, match="syntax error"):
            await first.speaker.announce(OTHER)
        with pytest.raises(BirdRefusal, match="syntax error"):
            await BirdControl(node.bird.socket).check()
        await first.until_problem("tor-1", "bird.conf", "syntax error")
        assert OTHER not in (node.folder / ROUTES_FILE).read_text()
        assert net.next_hops(VIP) == {NODE_1}
        node.bird.write(good)
        await until_routed(net, OTHER, NODE_1)
        await BirdControl(node.bird.socket).check()


async def test_whatever_a_group_may_say_is_taken(net: RoutedNetwork) -> None:
    """At the limits of each field, and all at once."""
    node = net.nodes[0]
    (node.passwords / "key").write_text("".join(map(chr, range(0x23, 0x73))))
    communities = ("0:0", "65535:65535", "0:0:0", f"{2**32 - 1}:{2**32 - 1}:{2**32 - 1}")
    names = [f"{number:02}-{'a' * 37}" for number in range(MAX_PEERS - 2)]
    many = [peer_of(node, name=name, address=f"10.10.1.{n}") for n, name in enumerate(names, start=100)]
    least = peer_of(node, hold_seconds=3, asn=1, port=1, multihop=1, max_routes=1)
    most = peer_of(
        node,
        name="most",
        address="fd10:1::77",
        asn=MAX_ASN,
        port=65535,
        hold_seconds=65535,
        connect_retry_seconds=3600,
        password_file="key",
        bfd=True,
        multihop=255,
        ttl_security=True,
        source_address=node.address6,
        families=(Family.IPV6, Family.IPV4),
        max_routes=1_000_000,
    )
    attributes = RouteAttributes(communities=communities, local_preference=2**32 - 1, peers=("most", "tor-1", *names))
    speaking = speaking_of(least, most, *many, asn=MAX_ASN, attributes=attributes, graceful_restart_seconds=3)
    assert problems_of(speaking) == []
    async with one_speaking(net, speaking=speaking) as first:
        for vip in (VIP, "fd77::1"):
            await first.speaker.announce(vip)
        await first.speaker.drain(True)
        await eventually(lambda: sum("BIRD" not in each.problem for each in first.sessions.values()) == MAX_PEERS)


async def test_what_others_change_is_mended_and_counted(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    async with one_speaking(net) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        before = REPAIRS._value.get()
        file = node.folder / ROUTES_FILE
        file.write_text(file.read_text().replace(VIP, "10.99.0.1"))
        node.bird.ask("configure")
        await eventually(lambda: REPAIRS._value.get() > before)
        await until_routed(net, VIP, NODE_1)
        await until_routed(net, "10.99.0.1")


async def test_what_a_session_tells_can_be_listed(net: RoutedNetwork) -> None:
    async with one_speaking(net) as first:
        for vip in (VIP, OTHER):
            await first.speaker.announce(vip)
        await first.until_up("tor-1")
        control = BirdControl(first.node.bird.socket)

        await eventually(lambda: first.sessions["tor-1"].advertised == 2)
        told = parse_networks(await control.exported("fleetlb_ipv4", "fleetlb_to_tor_1"))
        assert told == {f"{VIP}/32", f"{OTHER}/32"}


async def test_a_bird_that_hangs_is_given_up_on(net: RoutedNetwork) -> None:
    async with one_speaking(net) as first:
        await first.until_up("tor-1")
        first.node.bird.send(signal.SIGSTOP)
        try:
            with pytest.raises(Transient, match="did not answer"):
                await first.speaker.announce(VIP)
        finally:
            first.node.bird.send(signal.SIGCONT)
        await until_routed(net, VIP, NODE_1)


async def test_a_successor_finds_its_sessions_as_they_are(net: RoutedNetwork) -> None:
    async with one_speaking(net) as first:
        await first.until_up("tor-1")
    before = net.bird.ask("show protocols node1")
    async with Speaking(net.nodes[0], speaking_of(peer_of(net.nodes[0]))).running() as successor:
        await successor.until_up("tor-1")
        await successor.speaker.complete()
        assert is_unchanged([net.bird.ask("show protocols node1")], [before])
