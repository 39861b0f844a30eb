"""VIPs announced by BGP between real BIRDs: what a router learns of them and when, and what it does not notice."""

import asyncio
import contextlib
import pathlib
import re
from collections.abc import Iterator

import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.routing import RouteAttributes
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.configuring import Route, host_route
from fleetlb_dataplane_programmer.bgp.measuring import CONFIGURED
from tests.stage.routers import NODES_ASN, RoutedNetwork, is_unchanged, node_configuration, routed_network
from tests.stage.speakers import Speaking, all_speaking, one_speaking, peer_of, speaking_of
from tests.stage.talking import Servers, Talk, ask

pytestmark = pytest.mark.ipvs

VIP, BYSTANDER, VIP6 = "10.77.0.1", "10.77.0.2", "fd77::1"
NODE_1, NODE_2 = "10.10.1.1", "10.10.2.1"


@pytest.fixture
def net(tmp_path: pathlib.Path) -> Iterator[RoutedNetwork]:
    """A router and two nodes; no BIRD runs yet."""
    with routed_network(tmp_path) as made:
        yield made


async def until_routed(net: RoutedNetwork, vip: str, *nodes: str) -> None:
    await eventually(lambda: net.next_hops(vip) == set(nodes))


async def test_a_router_learns_a_vip_of_both_nodes_and_forgets_it(net: RoutedNetwork) -> None:
    async with all_speaking(net) as (first, second):
        assert set(first.sessions) == {"tor-1"}
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        await second.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1, NODE_2)
        await first.speaker.withdraw(VIP)
        await until_routed(net, VIP, NODE_2)
        await second.speaker.withdraw(VIP)
        await until_routed(net, VIP)


_STRANGER = "protocol static stranger { ipv4 { table fleetlb_ipv4; }; route 198.51.100.0/24 blackhole; }\n"


async def test_nothing_but_vips_is_told_and_nothing_is_learned_or_put_into_a_nodes_kernel(net: RoutedNetwork) -> None:
    """Though the node's own BIRD puts all that it has into its kernel, and the router tells whatever it has."""
    session = net.nodes[0].router_session(channel="export all;")
    async with one_speaking(net, session) as first:
        first.node.bird.write(node_configuration(first.node.folder) + _STRANGER)
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        await eventually(lambda: "1 imported, 1 exported" in net.bird.session("node1"))
        kernel = first.node.namespace.run("ip", "route", "show", "table", "all")
        assert "10.77." not in kernel
        assert "192.0.2." not in kernel
        assert "192.0.2." not in first.node.bird.ask("show route table all")
        assert "198.51.100." in first.node.bird.ask("show route table fleetlb_ipv4")
        assert "198.51.100." not in net.bird.ask("show route table all")


async def test_a_client_behind_the_router_reaches_a_vip_where_it_is_announced(net: RoutedNetwork) -> None:
    async with all_speaking(net) as nodes, contextlib.AsyncExitStack() as stack:
        servers = Servers()
        stack.push_async_callback(servers.close)
        for each in nodes:
            each.node.hold(VIP)
            await servers.start(each.node.name, each.node.namespace, VIP, Protocol.TCP, 80)
        talk = Talk(net.client, "10.30.0.1", VirtualServerKey(VIP, 80, Protocol.TCP))
        assert not (await ask(talk, 1.0)).ok
        await asyncio.gather(*(each.speaker.announce(VIP) for each in nodes))
        await until_routed(net, VIP, NODE_1, NODE_2)
        answers = {(await ask(talk, 5.0)).text for _ in range(40)}
        assert answers == {"node-1 10.30.0.1", "node-2 10.30.0.1"}
        await nodes[0].speaker.withdraw(VIP)
        await until_routed(net, VIP, NODE_2)
        assert {(await ask(talk, 5.0)).text for _ in range(10)} == {"node-2 10.30.0.1"}


def seen_of_bystander(net: RoutedNetwork, nodes: list[Speaking]) -> list[str]:
    """The route with its age at the router, and since when each session stands, at both ends."""
    ends = [net.bird.ask("show protocols"), *(each.node.bird.ask("show protocols") for each in nodes)]
    return [net.route(BYSTANDER), *ends]


async def test_neither_sessions_nor_other_routes_notice_a_change(net: RoutedNetwork) -> None:
    others = [f"10.77.1.{n}" for n in range(20)]
    async with all_speaking(net) as nodes:
        for each in nodes:
            await each.speaker.announce(BYSTANDER)
        await until_routed(net, BYSTANDER, NODE_1, NODE_2)
        before = seen_of_bystander(net, nodes)
        assert all(re.search(r"\d\d:\d\d:\d\d\.\d\d\d", text) for text in before)
        for vip in others:
            await nodes[0].speaker.announce(vip)
        await until_routed(net, others[-1], NODE_1)
        for vip in others:
            await nodes[0].speaker.withdraw(vip)
        await until_routed(net, others[-1])
        assert is_unchanged(seen_of_bystander(net, nodes), before)
        updates = re.search(r"Export updates: +(\d+) ", nodes[0].node.bird.session("fleetlb_to_tor_1"))
        assert updates is not None
        assert int(updates[1]) == 1 + len(others)


async def test_communities_and_no_local_preference_get_to_a_router_of_another_asn(net: RoutedNetwork) -> None:
    communities = ("65000:100", "65535:65281", "4200000000:1:2")
    attributes = RouteAttributes(communities=communities, local_preference=50)
    speaking = speaking_of(peer_of(net.nodes[0]), attributes=attributes)
    async with one_speaking(net, speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        told = net.carried(VIP)
        assert told["community"] == "(65000,100) (65535,65281)"
        assert told["large_community"] == "(4200000000, 1, 2)"
        assert told["local_pref"] == "100", "the router's own default"
        assert str(NODES_ASN) in (told.get("as_path"), told.get("path"))
        assert "fleetlb" not in net.route(VIP)


async def test_a_local_preference_gets_to_a_router_of_the_same_asn(net: RoutedNetwork) -> None:
    session = net.nodes[0].router_session(local_asn=NODES_ASN)
    speaking = speaking_of(peer_of(net.nodes[0], asn=NODES_ASN), attributes=RouteAttributes(local_preference=50))
    async with one_speaking(net, session, speaking=speaking) as first:
        await first.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1)
        assert net.carried(VIP)["local_pref"] == "50"


async def test_attributes_that_change_arrive_and_those_of_others_stay(net: RoutedNetwork) -> None:
    attributes = {VIP: RouteAttributes(communities=("65000:1",))}
    async with one_speaking(
        net, route_of=lambda vip: Route(f"{vip}/32", attributes.get(vip, RouteAttributes()))
    ) as first:
        for vip in (VIP, BYSTANDER):
            await first.speaker.announce(vip)
        await until_routed(net, BYSTANDER, NODE_1)
        before = net.route(BYSTANDER)
        attributes[VIP] = RouteAttributes(communities=("65000:2",))
        await first.speaker.refresh()
        await eventually(lambda: net.carried(VIP).get("community") == "(65000,2)")
        assert is_unchanged([net.route(BYSTANDER)], [before])


async def test_v6_routes_and_v4_ones_over_a_session_of_v6(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    session = node.router_session6(options="ipv4 { import filter taken; export none; extended next hop on; };")
    peer = peer_of(node, address=node.router_address6, families=(Family.IPV4, Family.IPV6))
    async with one_speaking(net, session, speaking=speaking_of(peer)) as first:
        for vip in (VIP, VIP6):
            await first.speaker.announce(vip)
        await until_routed(net, VIP6, node.address6)
        await eventually(lambda: f"via inet6 {node.address6}" in net.router.run("ip", "route", "show", VIP))
        assert first.node.namespace.run("ip", "-6", "route", "show", "type", "blackhole") == ""


async def test_a_route_is_told_to_those_that_it_is_for(net: RoutedNetwork) -> None:
    node = net.nodes[0]
    other = peer_of(node, name="six", address=node.router_address6, families=(Family.IPV4,))
    speaking = speaking_of(peer_of(node, name="a-b"), other)
    sessions = (
        node.router_session(),
        node.router_session6(families=("ipv4",), channel="extended next hop on;"),
    )
    audiences = {VIP: ("a-b",), BYSTANDER: ("six",), "10.77.0.3": ("a-b", "six"), "10.77.0.4": ()}

    def route_of(vip: str) -> Route:
        return Route(f"{vip}/32", RouteAttributes(peers=audiences[vip]))

    async with one_speaking(net, *sessions, speaking=speaking, route_of=route_of) as first:
        await first.until_up("a-b", "six")
        for vip in audiences:
            await first.speaker.announce(vip)
        await eventually(
            lambda: "6 of 7 routes" in net.bird.ask("show route table master4 where source = RTS_BGP count")
        )
        heard = {vip: {name for name in ("node1", "node1v6") if f"[{name} " in net.route(vip)} for vip in audiences}
        assert heard == {
            VIP: {"node1"},
            BYSTANDER: {"node1v6"},
            "10.77.0.3": {"node1", "node1v6"},
            "10.77.0.4": {"node1", "node1v6"},
        }


async def test_a_node_that_is_about_to_leave_is_preferred_no_more(net: RoutedNetwork) -> None:
    async with all_speaking(net) as (first, second):
        for each in (first, second):
            await each.speaker.announce(VIP)
        await until_routed(net, VIP, NODE_1, NODE_2)
        await first.speaker.drain(True)
        await until_routed(net, VIP, NODE_2)
        assert "community: (65535,0)" in net.route(VIP), "it is told yet, for whoever has no other way"
        await first.speaker.announce(BYSTANDER)
        await until_routed(net, BYSTANDER, NODE_1)
        assert "community: (65535,0)" in net.route(BYSTANDER)
        await first.speaker.drain(False)
        await until_routed(net, VIP, NODE_1, NODE_2)


async def test_what_was_left_stays_until_every_wish_is_known(net: RoutedNetwork) -> None:
    async with one_speaking(net) as first:
        for vip in (VIP, BYSTANDER):
            await first.speaker.announce(vip)
        await until_routed(net, VIP, NODE_1)
        await until_routed(net, BYSTANDER, NODE_1)
    before = net.route(BYSTANDER)
    async with Speaking(net.nodes[0], speaking_of(peer_of(net.nodes[0]))).running() as successor:
        await successor.until_up("tor-1")
        await successor.speaker.announce("10.77.0.3")
        await until_routed(net, "10.77.0.3", NODE_1)
        await successor.speaker.announce(BYSTANDER)
        await until_routed(net, VIP, NODE_1)
        await successor.speaker.complete()
        await until_routed(net, VIP)
        assert is_unchanged([net.route(BYSTANDER)], [before])


async def test_a_burst_takes_few_configurations(net: RoutedNetwork) -> None:
    vips = [f"10.77.{n // 250}.{n % 250}" for n in range(500)]
    async with one_speaking(net) as first:
        await first.until_up("tor-1")
        before = CONFIGURED._value.get()
        await asyncio.gather(*map(first.speaker.announce, vips))
        assert CONFIGURED._value.get() - before <= 2
        await eventually(lambda: "500 imported" in net.bird.session("node1"))
        await eventually(lambda: first.sessions["tor-1"].advertised == 500)
        await asyncio.gather(*map(first.speaker.withdraw, vips))
        assert CONFIGURED._value.get() - before <= 4
        await eventually(lambda: "0 imported" in net.bird.session("node1"))


async def test_of_a_whole_pool_one_route_is_told_as_long_as_any_vip_of_it_is(net: RoutedNetwork) -> None:
    async with one_speaking(net, route_of=lambda _: Route("10.77.0.0/16")) as first:
        for vip in (VIP, BYSTANDER):
            await first.speaker.announce(vip)
        await until_routed(net, "10.77.0.0/16", NODE_1)
        await first.speaker.withdraw(VIP)
        before = net.route("10.77.0.0/16")
        await first.speaker.announce(VIP)
        await first.speaker.withdraw(VIP)
        assert is_unchanged([net.route("10.77.0.0/16")], [before])
        await first.speaker.withdraw(BYSTANDER)
        await until_routed(net, "10.77.0.0/16")
        assert host_route(VIP).network not in net.bird.ask("show route table master4")
