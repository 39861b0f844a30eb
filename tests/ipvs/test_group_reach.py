"""A VIP of a node is called by another node of its group: what that does not reach does not serve, though the node
itself finds it well; and a node whose own link is at fault says nothing of anybody.

As in `test_group`, nothing here measures time.
"""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from fleetlb.domain.announcing import VipReached
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import Forwarding, RealServer
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.ipvs.test_group_status import VIP, Onlooker
from tests.stage.balancer_group import BACKEND, NODE_PORT, NODES, PORT, BalancerGroup, Running, running_group, vip

pytestmark = pytest.mark.timeout(240)
SECONDS = 90.0


def ranked(address: str) -> list[str]:
    """Who announces it, who does if not, and so on."""
    return sorted(NODES, key=lambda node: weight(node, address), reverse=True)


OWNER, CALLER, THIRD = ranked(VIP)
ELSEWHERE = next(vip(n) for n in range(2, 120) if ranked(vip(n)) == [THIRD, CALLER, OWNER])
"""Announced by the third node, and called by the same one."""
BESIDE = next(vip(n) for n in range(2, 120) if ranked(vip(n)) == [OWNER, CALLER, THIRD])
WALL = f"""
table ip wall {{
  chain incoming {{
    type filter hook input priority -150;
    ip daddr {VIP} tcp dport {PORT} drop
  }}
}}
"""


@pytest.fixture
def network() -> Iterator[BalancerGroup]:
    """The namespaces; the test's thread is at the hub."""
    with BalancerGroup() as network:
        yield network


@contextlib.asynccontextmanager
async def served(network: BalancerGroup, folder: pathlib.Path, *addresses: str) -> AsyncIterator[Running]:
    """Three nodes that serve VIPs, each called by another node."""
    async with running_group(network, folder) as group, network.serving():
        for address in addresses:
            await group.wish(address)
        await eventually(lambda: all(reached(group, address) for address in addresses), SECONDS)
        yield group


def found(group: Running, address: str = VIP, caller: str = CALLER) -> VipReached | None:
    said = group.said.get((caller, address))
    return said.reached if said else None


def reached(group: Running, address: str = VIP) -> bool:
    """Whether the second node says of a VIP that it reaches it at the first, where that is now."""
    first, second, _ = ranked(address)
    word, owner = found(group, address, second), group.said.get((first, address))
    if word is None or owner is None or not owner.announced:
        return False
    return (word.node, word.term, word.ports, word.lost) == (first, owner.since, (PORT,), ())


def lost(group: Running, address: str = VIP) -> bool:
    word = found(group, address)
    return word is not None and word.lost == (PORT,)


def wall(network: BalancerGroup) -> Callable[[], object]:
    """The owner's own firewall drops what comes for the VIP. How to take it away."""
    network.nodes[OWNER].run("nft", "-f", "-", stdin=WALL)
    return lambda: network.nodes[OWNER].run("nft", "delete", "table", "ip", "wall")


def unplugged(network: BalancerGroup, node: str) -> Callable[[], object]:
    """The switch loses all that a node sends and is sent, and the node's link stays up. How to mend it."""
    network.switch.run("ip", "link", "set", f"to-{node}", "nomaster")
    return lambda: network.switch.run("ip", "link", "set", f"to-{node}", "master", "lan")


@pytest.mark.parametrize("fault", [wall, lambda network: unplugged(network, OWNER)], ids=["firewall", "switch"])
async def test_what_another_node_does_not_reach_does_not_serve_until_it_does(
    network: BalancerGroup, tmp_path: pathlib.Path, fault: Callable[[BalancerGroup], Callable[[], object]]
) -> None:
    async with served(network, tmp_path, VIP, ELSEWHERE) as group, asyncio.TaskGroup() as tasks:
        onlooker = Onlooker(group, tasks)
        await eventually(lambda: onlooker.reached_from() == (CALLER,), SECONDS)
        assert onlooker.reason() == Reason.SERVING
        mend = fault(network)
        await eventually(lambda: onlooker.reason() == Reason.NOT_REACHABLE, SECONDS)
        judged = onlooker.judged()
        assert judged is not None
        text = f"{CALLER} does not reach {VIP}:{PORT} over lan, which {OWNER} answers for"
        assert text in judged.verdict.serving.message
        assert group.owners(VIP) == [OWNER], "what is found moves nothing"
        assert reached(group, ELSEWHERE)
        mend()
        await eventually(lambda: onlooker.reason() == Reason.SERVING, SECONDS)
        await eventually(lambda: onlooker.reached_from() == (CALLER,), SECONDS)
        onlooker.stop()


async def test_a_node_that_reaches_nothing_says_nothing_of_anybody(
    network: BalancerGroup, tmp_path: pathlib.Path
) -> None:
    async with served(network, tmp_path, VIP, ELSEWHERE, BESIDE) as group, asyncio.TaskGroup() as tasks:
        onlooker = Onlooker(group, tasks)
        reasons: set[str] = set()

        def note_until(is_so: bool) -> bool:
            reasons.add(onlooker.reason())
            return is_so

        await eventually(lambda: onlooker.reached_from() == (CALLER,), SECONDS)
        mend = unplugged(network, CALLER)
        every = (VIP, ELSEWHERE, BESIDE)
        await eventually(lambda: note_until(all(found(group, each) is None for each in every)), SECONDS)
        mend()
        await eventually(lambda: note_until(all(reached(group, each) for each in every)), SECONDS)
        assert reasons == {Reason.SERVING}
        onlooker.stop()


async def test_when_the_callers_link_is_down_another_node_calls(network: BalancerGroup, tmp_path: pathlib.Path) -> None:
    async with served(network, tmp_path, VIP, ELSEWHERE) as group, asyncio.TaskGroup() as tasks:
        onlooker = Onlooker(group, tasks)
        reasons: set[str] = set()

        def is_reached_from(node: str) -> bool:
            reasons.add(onlooker.reason())
            return onlooker.reached_from() == (node,)

        await eventually(lambda: onlooker.reached_from() == (CALLER,), SECONDS)
        network.cut(CALLER, "lan")
        await eventually(lambda: is_reached_from(THIRD), SECONDS)
        network.mend(CALLER, "lan")
        await eventually(lambda: is_reached_from(CALLER), SECONDS)
        assert reasons == {Reason.SERVING}
        onlooker.stop()


async def test_ipv6_is_called_too(network: BalancerGroup, tmp_path: pathlib.Path) -> None:
    sixth, beside, *_ = (vip(n, "v6") for n in range(120) if ranked(vip(n, "v6"))[:2] == [OWNER, CALLER])
    async with running_group(network, tmp_path) as group, network.serving("v6"):
        for address in (sixth, beside):
            await group.wish(address)
        await eventually(lambda: reached(group, sixth) and reached(group, beside), SECONDS)
        drop = f"table ip6 wall {{ chain in {{ type filter hook input priority -150; ip6 daddr {sixth} drop; }}; }}"
        network.nodes[OWNER].run("nft", "-f", "-", stdin=drop)
        await eventually(lambda: lost(group, sixth), SECONDS)
        assert reached(group, beside)
        network.nodes[OWNER].run("nft", "delete", "table", "ip6", "wall")
        await eventually(lambda: reached(group, sixth), SECONDS)


async def test_where_backends_answer_by_themselves_nothing_is_called(
    network: BalancerGroup, tmp_path: pathlib.Path
) -> None:
    async with served(network, tmp_path, ELSEWHERE) as group:
        # Direct forwarding keeps the port.
        real_servers = (RealServer(BACKEND["v4"], PORT, check_port=NODE_PORT),)
        await group.wish(VIP, forwarding=Forwarding.DIRECT, real_servers=real_servers)
        await eventually(lambda: group.owners(VIP) == [OWNER], SECONDS)
        await group.wish(BESIDE)
        await eventually(lambda: reached(group, BESIDE), SECONDS)
        assert found(group) is None
