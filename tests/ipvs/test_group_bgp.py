"""A group of three nodes tells a router by BGP which VIPs it carries, as its BalancerGroup says (P3, P4).

The lab's clock runs with its load, so nothing here measures time.
"""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import realized_stream
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.routing import Aggregation, PoolAttributes, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.reading import last_message
from fleetlb.testkit.eventually import eventually
from tests.stage.balancer_group import NODES, Running, Way, ask
from tests.stage.programmer_process import GROUP
from tests.stage.routed_group import BY_BGP, SECOND, RoutedGroup, running_routed_group, speaking
from tests.stage.routers import NODES_ASN, BirdProcess, is_unchanged

pytestmark = pytest.mark.timeout(240)
SECONDS = 90.0
VIP, OTHER = "10.77.0.1", "10.77.0.2"
ALL = list(NODES)
LEAVING = "65535,0"
GOLD, GOLD_VIP = Way(Announcement.BGP, {"v4": "10.77.1.0/24"}), "10.77.1.1"


@pytest.fixture
def network(tmp_path: pathlib.Path) -> Iterator[RoutedGroup]:
    """The namespaces; the test's thread is at the hub."""
    with RoutedGroup(tmp_path / "birds") as network:
        yield network


@pytest.fixture
async def silent(network: RoutedGroup, tmp_path: pathlib.Path) -> AsyncIterator[Running]:
    """Three nodes that serve one VIP, and were told nothing of routers."""
    folder = tmp_path / "group"
    folder.mkdir()
    async with running_routed_group(network, folder) as group:
        await group.wish(VIP, way=BY_BGP)
        yield group


@pytest.fixture
async def group(network: RoutedGroup, silent: Running) -> Running:
    """The router knows all of them."""
    silent.bgp = speaking()
    await silent.drain()
    await eventually(lambda: network.next_hops(VIP) == ALL, SECONDS)
    return silent


async def is_served(group: Running, address: str) -> bool:
    """Whether a new connection over the router is."""
    with contextlib.suppress(OSError):
        async with group.network.connection(address) as connection:
            return await ask(*connection)
    return False


async def test_all_nodes_are_ways_to_a_vip_and_traffic_arrives(network: RoutedGroup, group: Running) -> None:
    async with network.serving():
        for _ in range(8):
            assert await is_served(group, VIP)
    carried = [network.nodes[node].run("ipvsadm", "-Ln", "--stats") for node in NODES]
    assert all(VIP in table for table in carried)
    await eventually(lambda: all('"ready":true' in network.readiness(node) for node in NODES), SECONDS)


async def test_the_way_of_a_node_that_is_gone_goes_and_the_others_stay(network: RoutedGroup, group: Running) -> None:
    network.cut("node-2", "lan")
    await eventually(lambda: network.next_hops(VIP) == ["node-1", "node-3"], SECONDS)
    network.mend("node-2", "lan")
    await eventually(lambda: network.next_hops(VIP) == ALL, SECONDS)


async def test_a_programmer_that_starts_anew_changes_no_route(network: RoutedGroup, group: Running) -> None:
    async with network.serving():
        before = _withdrawals(network.bird.session("node2"))
        group.programmers["node-2"].kill()
        group.programmers["node-2"].start()
        await eventually(lambda: '"ready":true' in network.readiness("node-2"), SECONDS)
        await group.wish(OTHER, way=BY_BGP)
        await eventually(lambda: network.next_hops(OTHER) == ALL, SECONDS)
        assert network.next_hops(VIP) == ALL
        assert _withdrawals(network.bird.session("node2")) == before, group.programmers["node-2"].log.read_text()


async def test_P4_a_vip_that_is_let_go_is_withdrawn_and_the_other_stays(network: RoutedGroup, group: Running) -> None:
    await group.wish(OTHER, way=BY_BGP)
    await eventually(lambda: network.next_hops(OTHER) == ALL, SECONDS)
    await group.wish(VIP, serves=False, revision=2, way=BY_BGP)
    await eventually(lambda: network.next_hops(VIP) == [], SECONDS)
    assert network.next_hops(OTHER) == ALL


async def test_a_node_that_is_emptied_is_avoided_then_withdrawn_while_it_carries_on(
    network: RoutedGroup, group: Running
) -> None:
    async with network.serving():
        await group.drain("node-2")
        await eventually(lambda: LEAVING in network.routes(VIP), SECONDS)
        await eventually(lambda: network.next_hops(VIP) == ["node-1", "node-3"], SECONDS)
        assert await is_served(group, VIP)
        await eventually(lambda: "10.10.0.2" not in network.routes(VIP), SECONDS)
        assert f"{VIP}:80" in network.nodes["node-2"].run("ipvsadm", "-Ln"), "what still arrives is carried"
        assert network.bird.is_established("node2")
        await group.drain()
        await eventually(lambda: network.next_hops(VIP) == ALL, SECONDS)
        assert LEAVING not in network.routes(VIP)


async def test_a_node_that_is_taken_out_of_its_group_withdraws_and_comes_back(
    network: RoutedGroup, group: Running
) -> None:
    async with network.serving():
        group.members = ("node-1", "node-3")
        await group.drain()
        await eventually(lambda: network.next_hops(VIP) == ["node-1", "node-3"], SECONDS)
        assert await is_served(group, VIP)
        assert network.bird.is_established("node2")
        group.members = NODES
        await group.drain()
        await eventually(lambda: network.next_hops(VIP) == ALL, SECONDS)


async def test_a_pool_is_announced_as_one_route_if_the_group_asks_for_it(network: RoutedGroup, group: Running) -> None:
    """Until the last of its VIPs is let go of."""
    assert group.bgp is not None
    await group.wish(OTHER, way=BY_BGP)
    await eventually(lambda: network.next_hops(OTHER) == ALL, SECONDS)
    pool = BY_BGP.pools["v4"]
    group.bgp = msgspec.structs.replace(group.bgp, aggregate=Aggregation.POOL)
    await group.drain()
    await eventually(lambda: network.next_hops(pool) == ALL, SECONDS)
    assert (network.next_hops(VIP), network.next_hops(OTHER)) == ([], [])
    async with network.serving():
        assert await is_served(group, VIP)
    await group.wish(VIP, serves=False, revision=2, way=BY_BGP)
    await eventually(lambda: f"{VIP}:80" not in network.nodes["node-1"].run("ipvsadm", "-Ln"), SECONDS)
    assert network.next_hops(pool) == ALL
    await group.wish(OTHER, serves=False, revision=2, way=BY_BGP)
    await eventually(lambda: network.next_hops(pool) == [], SECONDS)


async def test_pools_are_told_with_their_own_attributes_to_the_routers_that_are_meant_and_others_hear_nothing(
    network: RoutedGroup, silent: Running
) -> None:
    """Of the group's other routes and of its sessions nothing changes, whatever changes of a pool."""
    await network.second_bird.start()
    tor = speaking().peers[0]
    of_all = RouteAttributes(communities=("65000:1",))
    silent.bgp = msgspec.structs.replace(
        speaking(), attributes=of_all, peers=(tor, msgspec.structs.replace(tor, name="second", address=SECOND))
    )
    silent.pools = (gold("65000:7", "4200000001:1:2", peers=("tor",)),)
    await silent.wish(GOLD_VIP, way=GOLD, attributes_pool="gold")
    await silent.drain()
    await eventually(lambda: network.next_hops(VIP) == network.next_hops(GOLD_VIP) == ALL, SECONDS)
    await eventually(lambda: told(network.routes(VIP, second=True), "65000,1"), SECONDS)
    assert told(network.routes(VIP), "65000,1")
    assert told(network.routes(GOLD_VIP), "65000,7")
    assert told(network.routes(GOLD_VIP), "4200000001, 1, 2")
    assert "65000,1" not in network.routes(GOLD_VIP)
    assert GOLD_VIP not in network.routes(GOLD_VIP, second=True)

    before = (network.routes(VIP), network.routes(VIP, second=True))
    stays = [_since(bird, node) for bird in (network.bird, network.second_bird) for node in (1, 2, 3)]
    silent.pools = (gold("65000:8"),)
    await silent.drain()
    await eventually(lambda: told(network.routes(GOLD_VIP, second=True), "65000,8"), SECONDS)
    await eventually(lambda: told(network.routes(GOLD_VIP), "65000,8"), SECONDS)
    assert is_unchanged((network.routes(VIP), network.routes(VIP, second=True)), before)
    silent.pools = (gold("65000:8", peers=("second",)),)
    await silent.drain()
    await eventually(lambda: network.next_hops(GOLD_VIP) == [], SECONDS)
    assert told(network.routes(GOLD_VIP, second=True), "65000,8")
    assert is_unchanged((network.routes(VIP), network.routes(VIP, second=True)), before)

    silent.bgp = msgspec.structs.replace(silent.bgp, aggregate=Aggregation.POOL)
    await silent.drain()
    await eventually(lambda: told(network.routes(GOLD.pools["v4"], second=True), "65000,8"), SECONDS)
    await eventually(lambda: network.next_hops(BY_BGP.pools["v4"]) == ALL, SECONDS)
    assert told(network.routes(BY_BGP.pools["v4"]), "65000,1")
    assert GOLD.pools["v4"] not in network.routes(GOLD.pools["v4"])
    now = [_since(bird, node) for bird in (network.bird, network.second_bird) for node in (1, 2, 3)]
    assert is_unchanged(now, stays)


def gold(*communities: str, peers: tuple[str, ...] = ()) -> PoolAttributes:
    """What routes of the pool of that name carry."""
    return PoolAttributes(pool="gold", attributes=RouteAttributes(communities=communities, peers=peers))


def told(routes: str, community: str) -> bool:
    """Whether each of the nodes tells this way, with this community."""
    return routes.count(community) == len(NODES)


def _since(bird: BirdProcess, node: int) -> str:
    """The line of a session that says since when it is up."""
    return next(line for line in bird.session(f"node{node}").split("\n") if "BGP" in line and "Established" in line)


async def test_nodes_that_are_all_emptied_go_on_announcing(network: RoutedGroup, group: Running) -> None:
    await group.drain(*NODES)
    await eventually(lambda: network.routes(VIP).count(LEAVING) == len(NODES), SECONDS)
    await group.drain("node-1")
    await eventually(lambda: network.next_hops(VIP) == ["node-2", "node-3"], SECONDS)
    assert LEAVING not in network.routes(VIP) or "10.10.0.1" in network.routes(VIP)


async def test_a_wrong_asn_is_said_by_every_node(network: RoutedGroup, silent: Running) -> None:
    silent.bgp = speaking(asn=NODES_ASN + 1)
    await silent.drain()
    await eventually(lambda: all("tor: " in (said := network.readiness(n)) and "AS" in said for n in NODES), SECONDS)
    assert network.next_hops(VIP) == []
    silent.bgp = speaking()
    await silent.drain()
    await eventually(lambda: network.next_hops(VIP) == ALL, SECONDS)


async def until_sessions(group: Running, node: str, *wanted: tuple[bool, int]) -> None:
    """Wait until a node says of each session whether it is up and how many routes it is told, and why if it is not."""
    stream, subject = realized_stream(GROUP).name, subjects.realized_node(GROUP, node)
    async with asyncio.timeout(SECONDS):
        while True:
            kept = await last_message(group.bus, stream, subject)
            said = codec.decode(NodeRealized, kept.data).sessions if kept else ()
            if tuple((each.up, each.routes) for each in said) == wanted and all(
                each.up != bool(each.problem) for each in said
            ):
                return
            await asyncio.sleep(0.1)


async def test_a_node_says_how_its_sessions_are(network: RoutedGroup, group: Running) -> None:
    await until_sessions(group, "node-2", (True, 1))
    network.cut("node-2", "lan")
    await until_sessions(group, "node-2", (False, 0))
    network.mend("node-2", "lan")
    await until_sessions(group, "node-2", (True, 1))


async def test_without_an_instruction_nothing_is_told_and_the_node_says_so(
    network: RoutedGroup, silent: Running
) -> None:
    await eventually(lambda: "nothing was heard from the manager" in network.readiness("node-1"), SECONDS)
    assert network.next_hops(VIP) == []


async def test_a_group_that_is_to_say_nothing_any_more_withdraws(network: RoutedGroup, group: Running) -> None:
    group.bgp = None
    await group.drain()
    await eventually(lambda: network.next_hops(VIP) == [], SECONDS)
    await eventually(lambda: "set spec.bgp of the BalancerGroup" in network.readiness("node-1"), SECONDS)


def _withdrawals(session: str) -> list[str]:
    """As a session has counted those that it heard."""
    return [line for line in session.split("\n") if "Import withdraws:" in line]
