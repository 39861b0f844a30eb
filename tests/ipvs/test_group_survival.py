"""Connections that outlive a node, and a group that is upgraded under load: real BIRD and IPVS, by `mh` and `direct`.

The lab's clock runs with its load, so nothing here measures time.
"""

import asyncio
import contextlib
import itertools
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.stage import ipvs_counts
from tests.stage.backends_on_link import BackendsOnLink, client
from tests.stage.balancer_group import NODES, Running, vip
from tests.stage.failures import POWER_OFF, Place
from tests.stage.routed_group import BESIDE_ROUTER, BY_BGP, RoutedGroup, running_routed_group, speaking

pytestmark = pytest.mark.timeout(240)
SECONDS, ANSWER_SECONDS = 90.0, 30.0
ROUTED, LINKED = "10.77.0.1", vip(1)
ALL = list(NODES)
CONNECTIONS, SURVIVE = 96, 0.97
HOLD_SECONDS = 3
"""As short as it may be. BFD would take the lab's pauses for failures."""


@pytest.fixture
def network(tmp_path: pathlib.Path) -> Iterator[RoutedGroup]:
    """The namespaces; the test's thread is at the hub."""
    with RoutedGroup(tmp_path / "birds") as network:
        yield network


@pytest.fixture
def backends(network: RoutedGroup) -> Iterator[BackendsOnLink]:
    """Three, which hold the VIPs of both pools."""
    with BackendsOnLink(network, BY_BGP.pools["v4"], BESIDE_ROUTER.pools["v4"]) as backends:
        yield backends


@pytest.fixture
async def group(network: RoutedGroup, backends: BackendsOnLink, tmp_path: pathlib.Path) -> AsyncIterator[Running]:
    """Three nodes; the router knows all of them as ways to the one VIP, and one answers for the other."""
    folder = tmp_path / "group"
    folder.mkdir()
    async with backends.answering(), running_routed_group(network, folder) as group:
        await group.wish(ROUTED, way=BY_BGP, **backends.served)
        await group.wish(LINKED, way=BESIDE_ROUTER, **backends.served)
        group.bgp = speaking(hold_seconds=HOLD_SECONDS)
        await group.drain()
        await until_whole(network, group)
        yield group


async def becomes(condition: Callable[[], object]) -> None:
    """Wait until it is so; to look costs the lab dear."""
    await eventually(condition, SECONDS, poll_seconds=0.1)


async def until_whole(network: RoutedGroup, group: Running) -> None:
    """Wait until every node does its part."""
    first = max(NODES, key=lambda node: weight(node, LINKED))
    await becomes(lambda: group.owners(LINKED) == [first] and network.next_hops(ROUTED) == ALL)


class Connection:
    """One of the client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self) -> str:
        """Which backend it is with; empty if it was cut."""
        with contextlib.suppress(OSError):  # a TimeoutError is one
            self._writer.write(b"who\n")
            async with asyncio.timeout(ANSWER_SECONDS):
                return (await self._reader.readline()).decode().strip()
        return ""


def carried(network: RoutedGroup) -> dict[str, set[tuple[str, int]]]:
    """The clients' ends of the connections to the routed VIP, by node."""
    return {name: ipvs_counts.connections(node, ROUTED) for name, node in network.nodes.items()}


async def surviving(connections: list[Connection], names: list[str]) -> float:
    """The share of connections that still are with their backend; all ask at once."""
    answers = await asyncio.gather(*(each.ask() for each in connections))
    return sum(answer == name for answer, name in zip(answers, names, strict=True)) / len(names)


async def test_connections_outlive_the_loss_of_a_node_and_its_return(
    network: RoutedGroup, group: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the number of ways changes, the router sends flows of all nodes elsewhere, not only of the lost one."""
    async with contextlib.AsyncExitStack() as stack:
        connections = [
            Connection(*await stack.enter_async_context(network.connection(ROUTED, client(number))))
            for number in range(1, CONNECTIONS + 1)
        ]
        names = [await each.ask() for each in connections]
        assert len(set(names)) == 3
        before = carried(network)
        assert [way for way in NODES if len(before[way]) < CONNECTIONS / 6] == []
        place = Place(network, group, "node-1")
        POWER_OFF.fail(place)
        await surviving(connections, names)
        await becomes(lambda: network.next_hops(ROUTED) == ["node-2", "node-3"])
        lost = await surviving(connections, names)
        after = carried(network)
        moved = sum(len(after[node] - before[node]) for node in ("node-2", "node-3"))
        assert moved > len(before["node-1"]), "those of other nodes as well"
        await POWER_OFF.mend(place)
        await becomes(lambda: "node-1" in network.next_hops(ROUTED))
        assert f"{ROUTED}:80" in network.nodes["node-1"].run("ipvsadm", "-Ln"), "announced last (P4)"
        await until_whole(network, group)
        returned = await surviving(connections, names)
    with capsys.disabled():
        print(
            f"\n{CONNECTIONS} connections over three nodes: {lost:.1%} outlived the loss of one, "
            f"for which {moved} went over another; {returned:.1%} its return"
        )
    assert lost >= SURVIVE
    assert returned >= SURVIVE


class Dialling:
    """Somebody connects, asks and hangs up, again and again."""

    def __init__(self, network: RoutedGroup, address: str) -> None:
        self._network, self._address = network, address
        self.answered, self.failed = 0, list[str]()

    async def run(self) -> None:
        """For ever."""
        for number in itertools.cycle(range(1, 200)):
            try:
                async with self._network.connection(self._address, client(number)) as connection:
                    answer = await Connection(*connection).ask()
            except OSError as problem:
                self.failed.append(repr(problem))
            else:
                self.failed += [] if answer else ["cut"]
                self.answered += bool(answer)
            await asyncio.sleep(0.02)


async def upgrade(network: RoutedGroup, group: Running, node: str) -> None:
    """As docs/upgrade.md has it."""

    def is_empty() -> bool:
        return f"10.10.0.{node[-1]} " not in network.routes(ROUTED) and node not in group.owners(LINKED)

    await group.drain(node)
    await becomes(lambda: is_empty() and len(group.owners(LINKED)) == 1)
    group.programmers[node].stop()
    group.programmers[node].start()
    await becomes(lambda: '"ready":true' in network.readiness(node))
    assert is_empty(), "it knows that it is to stay so"
    await group.drain()
    await until_whole(network, group)


async def test_a_group_that_is_upgraded_node_by_node_fails_no_request(network: RoutedGroup, group: Running) -> None:
    async with asyncio.TaskGroup() as tasks:
        dialling = [Dialling(network, address) for address in (ROUTED, LINKED)]
        running = [tasks.create_task(each.run()) for each in dialling]
        for node in NODES:
            await upgrade(network, group, node)
        for task in running:
            task.cancel()
    assert [each.failed for each in dialling] == [[], []]
    assert all(each.answered > 50 for each in dialling)
