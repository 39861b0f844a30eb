"""Somebody looks at a routed group all the while: who answers for VIPs on the link, where the router sends what is for
them, what each node's BIRD tells, and what the nodes' kernels have.

Nobody looks at two places at one time. So what was seen of an announcement says that the node announced some time
between two moments, and it is held against the node only if its kernel had nothing all through.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from fleetlb.testkit.namespaces import Namespace
from tests.stage import ipvs_counts
from tests.stage.asking import Asker
from tests.stage.balancer_group import NODES
from tests.stage.routed_group import RoutedGroup

LATE_SECONDS = 15.0
"""A router may have a route for so long that its node tells no more: longer than the hold time."""
_LOOK_SECONDS = 0.15
_TOLD = 10
_LAST = 10


class Claim(NamedTuple):
    """Some time from `begin` to `end` a node announced a VIP, by what somebody saw."""

    node: str
    vip: str
    begin: float
    end: float
    by: str


class Lacking:
    """When the nodes' kernels had no virtual server for some VIPs."""

    def __init__(self, vips: Iterable[str]) -> None:
        """No kernel was looked at yet."""
        self._vips = tuple(vips)
        self._times: dict[tuple[str, str], list[list[float]]] = {}
        self._lacks: set[tuple[str, str]] = set()

    def note(self, node: str, has: Collection[str], began: float, ended: float) -> None:
        """A look at a node's kernel, which took from `began` to `ended`, found virtual servers for these VIPs."""
        for key in ((node, vip) for vip in self._vips):
            if key[1] in has:
                self._lacks.discard(key)
            elif key in self._lacks:
                self._times[key][-1][1] = began
            else:
                self._lacks.add(key)
                self._times.setdefault(key, []).append([ended, ended])

    def refutes(self, claim: Claim) -> bool:
        """Whether there was none all through the time of a claim, and before and after it."""
        times = self._times.get((claim.node, claim.vip), ())
        return any(begin <= claim.begin and claim.end <= end for begin, end in times)


class Watch:
    """It looks. Use `run` as a task."""

    def __init__(self, network: RoutedGroup, onlooker: Namespace, linked: Sequence[str], routed: Sequence[str]) -> None:
        """`onlooker`: a host on the link, that asks. `linked`, `routed`: VIPs on layer 2 and by BGP."""
        self._network, self._routed, self.onlooker = network, routed, onlooker
        self.askers = {address: Asker(onlooker, "lan", address) for address in linked}
        self.silent: set[str] = set()
        """Nodes whose BIRD is not asked: it does not run, or is stopped."""
        self.kept: dict[str, dict[str, tuple[str, ...]]] = {}
        """What is to stay as it is in the kernel of a node, by VIP."""
        self.looks = 0
        self._lacking = Lacking((*linked, *routed))
        self._claims: list[Claim] = []
        self._changed: list[str] = []

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as tasks:
            for asker in self.askers.values():
                tasks.create_task(asker.run())
            while True:
                self._look()
                self.looks += 1
                await asyncio.sleep(_LOOK_SECONDS)

    def answering(self, address: str) -> list[str]:
        """Who answered the last questions for a VIP on layer 2, of which there are enough."""
        questions = self.askers[address].questions[-_LAST:]
        return sorted({self._network.macs.get(mac, "a stranger") for each in questions for mac in each.who})

    def answered_since(self, address: str, since: float) -> set[str]:
        """Everybody who answered a question for a VIP on layer 2 that was asked since."""
        return {self._network.macs.get(mac, "a stranger") for mac in self.askers[address].answered_by(since)}

    @property
    def answers(self) -> int:
        """Questions that were answered."""
        return sum(bool(question.who) for asker in self.askers.values() for question in asker.questions)

    @property
    def routes(self) -> int:
        """How often a node was seen to be a router's way."""
        return len(self._claims)

    def broken(self, begun: float) -> list[str]:
        """What was promised and not so, with seconds since `begun`; the first of each kind."""
        twice = [
            f"P3 after {question.at - begun:.2f} s: a question for {address} was answered by "
            f"{', '.join(sorted(self._network.macs.get(mac, '?') for mac in question.who))}"
            for address, asker in self.askers.items()
            for question in asker.overlaps()
        ]
        unprogrammed = [
            f"P4 after {claim.begin - begun:.2f} to {claim.end - begun:.2f} s: {claim.node} announces {claim.vip}, "
            f"says {claim.by}, and its kernel has no virtual server"
            for claim in (*self._claims, *self._answers())
            if self._lacking.refutes(claim)
        ]
        return [*twice[:_TOLD], *unprogrammed[:_TOLD], *self._changed[:_TOLD]]

    def _answers(self) -> Iterator[Claim]:
        for address, asker in self.askers.items():
            for question in asker.questions:
                for at, mac in question.answers:
                    yield Claim(
                        self._network.macs.get(mac, "a stranger"), address, question.at, at, "its answer to ARP"
                    )

    def _look(self) -> None:
        for node in NODES:
            began = time.monotonic()
            found = ipvs_counts.virtual_servers(self._network.nodes[node])
            self._lacking.note(node, found, began, time.monotonic())
            for address, servers in self.kept.get(node, {}).items():
                if found.get(address) != servers:
                    self._changed.append(f"P5: {node} did not fail, and has {found.get(address)} for {address}")
        for node in NODES:
            if node not in self.silent:
                self._claims.extend(self._told_by(node))
        ways, now = self._network.ways(), time.monotonic()
        for address in self._routed:
            for node in ways.get(address, ()):
                self._claims.append(Claim(node, address, now - LATE_SECONDS, now, "the router's kernel"))

    def _told_by(self, node: str) -> Iterator[Claim]:
        began, told = time.monotonic(), set[str]()
        with contextlib.suppress(OSError):  # it is about to begin
            told = self._network.told_by(node)
        for address in told.intersection(self._routed):
            yield Claim(node, address, began, time.monotonic(), "its BIRD")
