"""Measures what clients miss when a balancer node fails, on layer 2 and by BGP, in the lab: real nodes, a real link.

    deploy/lab/run.sh .venv/bin/python -m tests.bench.failover [--runs 20] [--only layer2|bgp] [--failures WORDS ...]

A client sends a datagram every 10 ms, one flow, and always that node fails which carries it; then all becomes as it was
before. On layer 2 somebody else asks every 20 ms who has the address. The lab's kernel is a process of this machine:
figures are worth something only where nothing else runs.
"""

import argparse
import asyncio
import contextlib
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.bgp.configuring import session_of
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.stage import failures, ipvs_counts
from tests.stage.asking import Asker, overlapping
from tests.stage.backends_on_link import BackendsOnLink
from tests.stage.balancer_group import NODES, PORT, Running, Way, vip
from tests.stage.failures import Failure, Place
from tests.stage.flows import Flow, Loss
from tests.stage.routed_group import BESIDE_ROUTER, BY_BGP, RoutedGroup, running_routed_group, speaking
from tests.stage.routers import BirdProcess

SECONDS, WATCH_SECONDS, COUNT_SECONDS = 60.0, 3.0, 0.5
SEND_SECONDS, ASK_SECONDS = 0.01, 0.02
SOURCE = ("10.10.0.9", 4444)
COLUMNS = (
    "announced by",
    "failure",
    "runs",
    "nobody serves (ms), p50",
    "p99",
    "datagrams lost, most",
    "lost on return, most",
    "another answers (ms), p50",
    "p99",
    "answered by two",
    "overlap (ms), most",
)
WORDS = 2
"""Columns that hold no numbers."""


class Takeover(NamedTuple):
    """What those see who ask for an address on the link."""

    seconds: float
    """Until somebody else answered."""
    answered_by_two: int
    """Questions."""
    overlap: float
    """Seconds for which two answered, when the node failed or when it came back, the longer one."""


class Run(NamedTuple):
    """What a failure and its end did to the client."""

    loss: Loss
    of_return: Loss
    takeover: Takeover | None


class Announced(Protocol):
    """A VIP, and how the network learns where it is."""

    name: str
    address: str
    way: Way
    failures: tuple[Failure, ...]

    async def carrier(self) -> str:
        """The node that the client's flow goes over."""

    def is_avoided(self, node: str, since: float) -> bool:
        """Whether the network has learned to send nothing to a node."""

    def is_whole(self) -> bool:
        """Whether every node does its part."""

    def takeover(self, node: str, failed: float, mended: float, whole: float) -> Takeover | None:
        """What is known of it, by these times."""


class OnLink:
    """By layer 2."""

    name, address, way = "layer 2", vip(1), BESIDE_ROUTER
    failures: tuple[Failure, ...] = (
        failures.POWER_OFF,
        failures.HANG,
        failures.LINK_DOWN,
        failures.HUB_CUT,
        failures.PROGRAMMER_KILLED,
        failures.PROGRAMMER_STOPPED,
    )

    def __init__(self, group: Running, asker: Asker) -> None:
        self._group, self._asker = group, asker
        self._first = max(NODES, key=lambda node: weight(node, self.address))

    async def carrier(self) -> str:
        """The owner."""
        return self._first

    def is_avoided(self, node: str, since: float) -> bool:
        """Whether another answers."""
        return bool(self._asker.answered_by(since) - {self._mac(node)})

    def is_whole(self) -> bool:
        """Whether it is as in the beginning, by all words."""
        last = {mac for question in self._asker.questions[-10:] for mac in question.who}
        return last == {self._mac(self._first)} and self._group.owners(self.address) == [self._first]

    def takeover(self, node: str, failed: float, mended: float, whole: float) -> Takeover | None:
        """As it was answered."""
        during, after = (
            [question for question in self._asker.questions if since <= question.at < until]
            for since, until in ((failed, mended), (mended, whole))
        )
        answers = [answer for question in during for answer in question.answers]
        others = min(at for at, mac in answers if mac != self._mac(node))
        overlaps = (overlapping([answer for q in questions for answer in q.answers]) for questions in (during, after))
        twice = sum(len(question.who) > 1 for question in (*during, *after))
        return Takeover(others - failed, twice, max(overlaps))

    def _mac(self, node: str) -> bytes:
        return next(mac for mac, name in self._group.network.macs.items() if name == node)


class Routed:
    """By BGP, with BFD."""

    name, address, way = "BGP", "10.77.0.1", BY_BGP
    failures: tuple[Failure, ...] = (
        failures.POWER_OFF,
        failures.HANG,
        failures.LINK_DOWN,
        failures.PROGRAMMER_KILLED,
        failures.PROGRAMMER_STOPPED,
        failures.BIRD_KILLED,
        failures.BIRD_STOPPED,
    )

    def __init__(self, network: RoutedGroup) -> None:
        self._network = network

    async def carrier(self) -> str:
        """The one to which packets come."""
        nodes = self._network.nodes
        before = {name: ipvs_counts.packets(node) for name, node in nodes.items()}
        await asyncio.sleep(COUNT_SECONDS)
        return max(nodes, key=lambda name: ipvs_counts.packets(nodes[name]) - before[name])

    def is_avoided(self, node: str, since: float) -> bool:
        """Whether it is no way any more."""
        return node not in self._network.next_hops(self.address)

    def is_whole(self) -> bool:
        """Whether each node is one, and BFD watches it."""
        watched = self._network.bird.ask("show bfd sessions").count(" Up ")
        return watched == len(NODES) and self._network.next_hops(self.address) == list(NODES)

    def takeover(self, node: str, failed: float, mended: float, whole: float) -> Takeover | None:
        """Nobody asks."""
        return None


UNNOTICED = (failures.PROGRAMMER_KILLED, failures.PROGRAMMER_STOPPED)
"""By BGP: the kernel and BIRD go on."""


async def become(condition: Callable[[], object]) -> None:
    """Wait until it is so; to look costs the lab dear."""
    await eventually(condition, SECONDS, poll_seconds=0.1)


async def one(network: RoutedGroup, group: Running, announced: Announced, failure: Failure, flow: Flow) -> Run:
    """A failure, and its end; afterwards all is as before."""
    place = Place(network, group, node := await announced.carrier())
    failed = time.monotonic()
    failure.fail(place)
    await asyncio.sleep(WATCH_SECONDS)  # to ask meanwhile would disturb what is measured
    await become(lambda: (announced.way is BY_BGP and failure in UNNOTICED) or announced.is_avoided(node, failed))
    await become(flow.is_answered)
    mended = time.monotonic()
    await failure.mend(place)
    await become(lambda: '"ready":true' in network.readiness(node))
    await become(announced.is_whole)
    await become(flow.is_answered)
    whole = time.monotonic()
    losses = flow.loss(failed, mended), flow.loss(mended, whole)
    if announced.way is BY_BGP:
        await forget_errors(network.birds[node])
        await become(announced.is_whole)
    return Run(*losses, announced.takeover(node, failed, mended, whole))


async def forget_errors(bird: BirdProcess) -> None:
    """A session waits longer after each error, up to a minute: no failure is to hear of the one before."""
    session = session_of("tor")
    bird.ask(f"restart {session}")
    await become(lambda: bird.is_established(session))


def row(announced: Announced, failure: Failure, runs: Sequence[Run]) -> str:
    """Of the table."""
    cells = [announced.name, failure.name, str(len(runs)), *_percentiles([run.loss.seconds for run in runs])]
    cells += [str(max(run.loss.datagrams for run in runs)), str(max(run.of_return.datagrams for run in runs))]
    if takeovers := [run.takeover for run in runs if run.takeover]:
        cells += _percentiles([takeover.seconds for takeover in takeovers])
        cells.append(str(sum(takeover.answered_by_two for takeover in takeovers)))
        cells.append(f"{max(takeover.overlap for takeover in takeovers) * 1000:.0f}")
    else:
        cells += ["–"] * 4
    return _line(cells)


def head() -> str:
    """Of the table."""
    return f"{_line(COLUMNS)}\n|{'---|' * WORDS}{'--:|' * (len(COLUMNS) - WORDS)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percentiles(seconds: Sequence[float]) -> list[str]:
    """The 50th and the 99th, in milliseconds."""
    ordered = sorted(seconds)
    return [f"{ordered[min(len(ordered) - 1, round(len(ordered) * share))] * 1000:.0f}" for share in (0.5, 0.99)]


@contextlib.asynccontextmanager
async def asking(onlooker: Namespace, address: str) -> AsyncIterator[Asker]:
    """Another host than the client asks, for the answers refresh what it knows."""
    async with asyncio.TaskGroup() as tasks:
        asker = Asker(onlooker, "lan", address, ASK_SECONDS)
        running = tasks.create_task(asker.run())
        yield asker
        running.cancel()


async def measure(
    network: RoutedGroup, backends: BackendsOnLink, onlooker: Namespace, asked: argparse.Namespace
) -> None:
    """Print the table of what is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            backends.answering(OnLink.address, Routed.address),
            running_routed_group(network, pathlib.Path(folder)) as group,
            asking(onlooker, OnLink.address) as asker,
        ):
            group.bgp = speaking(bfd=True)
            await group.drain()
            print(head(), flush=True)
            for announced in (OnLink(group, asker), Routed(network)):
                chosen = [each for each in announced.failures if any(word in each.name for word in asked.failures)]
                if asked.only not in ("", announced.way.announcement.value) or not chosen:
                    continue
                await group.wish(announced.address, way=announced.way, protocol="udp", **backends.served)
                await become(announced.is_whole)
                with Flow(network.client, (announced.address, PORT), SOURCE, SEND_SECONDS) as flow:
                    await become(flow.is_answered)
                    for failure in chosen:
                        done = [await one(network, group, announced, failure, flow) for _ in range(asked.runs)]
                        print(row(announced, failure, done), flush=True)


def main() -> None:
    """Of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", choices=[OnLink.way.announcement.value, Routed.way.announcement.value], default="")
    parser.add_argument(
        "--failures", nargs="+", default=[""], metavar="WORDS", help="those whose name holds one of them"
    )
    options = parser.parse_args()
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        RoutedGroup(pathlib.Path(folder), bfd=True) as network,
        BackendsOnLink(network, OnLink.way.pools["v4"], Routed.way.pools["v4"]) as backends,
        Namespace("onlooker") as onlooker,
    ):
        network.plug(network.switch, "lan", onlooker, ("10.10.0.8/24",))
        asyncio.run(measure(network, backends, onlooker, options))


if __name__ == "__main__":
    main()
