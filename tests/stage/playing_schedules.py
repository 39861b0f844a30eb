"""Plays a schedule on a routed group, heals everything in the end, and tells what was promised and not so.

Each way of announcing has three VIPs: one that nobody touches, one whose real servers get other weights, and one that
comes and goes.
"""

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator, Collection, Iterator, Set
from typing import NamedTuple

import msgspec

from fleetlb.domain.virtual_servers import RealServer
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.stage import failures, ipvs_counts, schedules
from tests.stage.backends_on_link import BackendsOnLink
from tests.stage.balancer_group import NODES, PORT, Running, Way, vip
from tests.stage.failures import Failure, Place
from tests.stage.flows import Flow
from tests.stage.routed_group import BESIDE_ROUTER, BY_BGP, RoutedGroup, running_routed_group, speaking
from tests.stage.routers import is_unchanged
from tests.stage.schedules import Schedule, Step
from tests.stage.watching_group import Watch

SECONDS = 120.0
"""In which all becomes as it should be; the lab's clock runs with its load."""
FAILURES: dict[str, Failure] = {
    "power-off": failures.POWER_OFF,
    "hang": failures.HANG,
    "link-down": failures.LINK_DOWN,
    "hub-cut": failures.HUB_CUT,
    "programmer-killed": failures.PROGRAMMER_KILLED,
    "programmer-stopped": failures.PROGRAMMER_STOPPED,
    "bird-killed": failures.BIRD_KILLED,
    "bird-stopped": failures.BIRD_STOPPED,
}
_WITHOUT_BIRD = frozenset({"power-off", "hang", "bird-killed", "bird-stopped"})
_BOOT_SECONDS = 4.0
"""A machine takes longer to begin than routers take to miss it."""
_BAD = ("netem", "delay", "150ms", "loss", "2%")
_ASKED_SECONDS, _FLOW_SECONDS = 0.1, 0.05
_LATE_MILLISECONDS = 500
"""A router under load looks at its clock so late at most; routes that are compared are seconds old."""
_PORTS = (4444, 4445)


def owner_of(address: str) -> str:
    """Who is to answer for a VIP on layer 2 when all is well."""
    return max(NODES, key=lambda node: weight(node, address))


class Vips(NamedTuple):
    """Of one way."""

    kept: str
    changed: str
    coming: str


LINKED = Vips(*(next(vip(n) for n in range(1, 60) if owner_of(vip(n)) == node) for node in NODES))
"""Each belongs to another node."""
ROUTED = Vips("10.77.0.1", "10.77.0.2", "10.77.0.3")
_WAYS: tuple[tuple[Vips, Way], ...] = ((LINKED, BESIDE_ROUTER), (ROUTED, BY_BGP))


class Wishes:
    """What the nodes are to serve."""

    def __init__(self, group: Running, backends: BackendsOnLink) -> None:
        """Nothing yet."""
        self._group, self._served = group, backends.served
        self._revision = self._weight = 1
        self.is_come = False

    async def begin(self) -> None:
        """Wish for what is there always."""
        for vips, way in _WAYS:
            for address in (vips.kept, vips.changed):
                await self._group.wish(address, way=way, protocol="udp", **self._served)

    async def change(self, word: str) -> None:
        """Have both ways' VIPs follow a step."""
        self._revision += 1
        self._weight = self._weight % 5 + 1 if word == "weight" else self._weight
        self.is_come = word == "come" if word != "weight" else self.is_come
        for vips, way in _WAYS:
            address = vips.changed if word == "weight" else vips.coming
            fields = {**self._served, **({"real_servers": self._weighed()} if word == "weight" else {})}
            await self._group.wish(
                address, serves=word != "go", revision=self._revision, way=way, protocol="udp", **fields
            )

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """What each kernel is to have."""
        plain = tuple(f"{each.address} weight 1" for each in self._served["real_servers"])
        weighed = tuple(f"{each.address} weight {each.weight}" for each in self._weighed())
        found: dict[str, tuple[str, ...]] = {}
        for vips, _ in _WAYS:
            found |= {vips.kept: plain, vips.changed: weighed} | ({vips.coming: plain} if self.is_come else {})
        return found

    def _weighed(self) -> tuple[RealServer, ...]:
        first, *others = self._served["real_servers"]
        return msgspec.structs.replace(first, weight=self._weight), *others


class Player:
    """Somebody to whom a group is given, with all that is needed to trouble it."""

    def __init__(self, network: RoutedGroup, group: Running, wishes: Wishes, watch: Watch, flows: list[Flow]) -> None:
        self._network, self._group, self._wishes, self.watch = network, group, wishes, watch
        self._onlooker, self._flows = watch.onlooker, flows
        self._failing: dict[str, tuple[str, float]] = {}
        self._bad_links: set[str] = set()
        self._draining: set[str] = set()
        self.played: list[str] = []
        """When what was done."""
        self._begun = time.monotonic()

    async def play(self, schedule: Schedule) -> None:
        """Raises AssertionError with whatever was promised and not so, and the line that plays it again."""
        try:
            await self._play(schedule)
            broken = self.watch.broken(self._begun)
        except AssertionError as problem:
            broken = [*self.watch.broken(self._begun), str(problem)]
        if broken:
            raise AssertionError(
                "\n".join((*broken, *self.played, f"to see it again: make schedules REPLAY='{schedule}'"))
            )

    async def _play(self, schedule: Schedule) -> None:
        await self._become_whole("before anything happened")
        self._begun = time.monotonic()
        self.watch.kept = {node: self._kept_in(node) for node in NODES}
        routes = self._network.routes(ROUTED.kept)
        for step in schedule.calm:
            await self._do(step)
        await self._become_whole("after wishes have changed, while nothing failed")
        answered = self.watch.answered_since(LINKED.kept, self._begun)
        assert answered == {owner_of(LINKED.kept)}, f"P5: {LINKED.kept} was answered for by {answered}"
        after = self._network.routes(ROUTED.kept)
        assert is_unchanged((after,), (routes,), _LATE_MILLISECONDS), (
            f"P5: the routes of {ROUTED.kept} are new:\n{after}\nin place of\n{routes}"
        )
        for step in schedule.rough:
            await self._do(step)
        await self._heal()
        await self._become_whole("after all was healed")
        self._note("all is whole")

    async def _do(self, step: Step) -> None:
        self._note(str(step))
        node = f"node-{step.node}"
        if step.word in FAILURES:
            self._fail(node, step.word)
        elif step.word in schedules.BAD_LINKS:
            self._spoil(node)
        elif step.word in schedules.WISHES:
            await self._wishes.change(step.word)
        elif step.word == "mend":
            await self._mend(node)
        elif step.word == "clear":
            self._clear(node)
        else:
            self._draining ^= {node}
            await self._group.drain(*sorted(self._draining))
        await asyncio.sleep(step.pause)

    def _note(self, what: str) -> None:
        self.played.append(f"after {time.monotonic() - self._begun:.2f} s: {what}")

    def _fail(self, node: str, word: str) -> None:
        self.watch.kept.pop(node, None)
        if word in _WITHOUT_BIRD:
            self.watch.silent.add(node)
        FAILURES[word].fail(Place(self._network, self._group, node))
        self._failing[node] = (word, time.monotonic())

    async def _mend(self, node: str) -> None:
        word, since = self._failing.pop(node)
        if word == "power-off":
            await asyncio.sleep(max(0.0, since + _BOOT_SECONDS - time.monotonic()))
        await FAILURES[word].mend(Place(self._network, self._group, node))
        self.watch.silent.discard(node)

    def _spoil(self, node: str) -> None:
        self._bad_links.add(node)
        for place, device in self._ends(node):
            place.run("tc", "qdisc", "add", "dev", device, "root", *_BAD)

    def _clear(self, node: str) -> None:
        self._bad_links.remove(node)
        for place, device in self._ends(node):
            place.run("tc", "qdisc", "del", "dev", device, "root")

    def _ends(self, node: str) -> Iterator[tuple[Namespace, str]]:
        """Those of a node's link to the hub; without a node those of the links of everybody outside, so that a question
        that comes late comes to all nodes at one time."""
        if node in NODES:
            yield from ((self._network.hub, f"to-{node}"), (self._network.nodes[node], "hub"))
            return
        for place in (self._network.client, self._network.router, self._onlooker):
            yield from ((self._network.switch, f"to-{place.name}"), (place, "lan"))

    async def _heal(self) -> None:
        self._note("all is healed")
        for node in sorted(self._failing):
            await self._mend(node)
        for node in sorted(self._bad_links):
            self._clear(node)
        self._draining.clear()
        await self._group.drain()

    def _kept_in(self, node: str) -> dict[str, tuple[str, ...]]:
        found = ipvs_counts.virtual_servers(self._network.nodes[node])
        return {address: found[address] for address in (LINKED.kept, ROUTED.kept)}

    async def _become_whole(self, when: str) -> None:
        """Wait until nothing is missing."""
        deadline = time.monotonic() + SECONDS
        while missing := next(self._lacks(), ""):
            assert time.monotonic() < deadline, f"{when}, for {SECONDS:.0f} s: {missing}"
            await asyncio.sleep(_ASKED_SECONDS)

    def _lacks(self) -> Iterator[str]:
        """What is not as it should be when all is well."""
        wanted = self._wishes.wanted
        yield from self._lacks_on_link(wanted)
        yield from self._lacks_of_router(wanted.keys())
        yield from self._lacks_of_nodes(wanted)
        for flow, address in zip(self._flows, (LINKED.kept, ROUTED.kept), strict=True):
            if not flow.is_answered():
                yield f"a client's flow to {address} is not answered"

    def _lacks_on_link(self, wanted: Collection[str]) -> Iterator[str]:
        for address in LINKED:
            owners = [owner_of(address)] if address in wanted else []
            if (found := self.watch.answering(address)) != owners:
                yield f"{address} is answered for by {found}, not {owners}"
            if (said := self._group.owners(address)) != owners:
                yield f"{address} is said to be answered for by {said}, not {owners}"

    def _lacks_of_router(self, wanted: Set[str]) -> Iterator[str]:
        ways = self._network.ways()
        for address in ROUTED:
            if (hops := ways.get(address, [])) != (list(NODES) if address in wanted else []):
                yield f"the router's ways to {address} are {hops}"
        for node in NODES:
            if (told := self._network.told_by(node)) != wanted & set(ROUTED):
                yield f"the BIRD of {node} tells of {told}"
        if (watched := self._network.bird.ask("show bfd sessions").count(" Up ")) != len(NODES):
            yield f"BFD watches {watched} nodes"

    def _lacks_of_nodes(self, wanted: dict[str, tuple[str, ...]]) -> Iterator[str]:
        for node, place in self._network.nodes.items():
            if (has := ipvs_counts.virtual_servers(place)) != wanted:
                yield f"the kernel of {node} has {has}, not {wanted}"
            if '"ready":true' not in (said := self._network.readiness(node)):
                yield f"{node} is not ready: {said}"


@contextlib.asynccontextmanager
async def player(
    network: RoutedGroup, backends: BackendsOnLink, onlooker: Namespace, folder: pathlib.Path
) -> AsyncIterator[Player]:
    """A group at work, watched, with a client's flow to a VIP of each way."""
    async with (
        backends.answering(*LINKED, *ROUTED),
        running_routed_group(network, folder) as group,
        asyncio.TaskGroup() as tasks,
    ):
        wishes, watch = Wishes(group, backends), Watch(network, onlooker, LINKED, ROUTED)
        group.bgp = speaking(bfd=True)
        await group.drain()
        await wishes.begin()
        watching = tasks.create_task(watch.run())
        with contextlib.ExitStack() as stack:
            flows = [
                stack.enter_context(Flow(network.client, (address, PORT), ("10.10.0.9", port), _FLOW_SECONDS))
                for address, port in zip((LINKED.kept, ROUTED.kept), _PORTS, strict=True)
            ]
            yield Player(network, group, wishes, watch, flows)
        watching.cancel()
