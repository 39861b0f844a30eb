"""What a node may say that calls VIPs of others: which it reaches, and which it does not though its own link is well.

A VIP that is not answered proves nothing alone: the fault may be the caller's. So a failure counts only if

1. something else was answered right after it, over the same interface: another VIP, or another port (a witness);
2. the node that announces the VIP has been reached from here before: there may be no way between two nodes at all;
3. it was so `FAILURES` times in a row.

What was not answered and had no witness makes all void that was found of that VIP: this node cannot tell. So nobody who
reaches nothing ever says that something is not reached. Pure; every operation is O(ports of the VIP).
"""

from collections.abc import Collection

import msgspec

from fleetlb.domain.announcing import MAX_PORTS, VipReached
from fleetlb_dataplane_programmer.ownership.duties import Announced

FAILURES = 3
"""In a row, each of them with a witness, before a port counts as lost."""

Door = tuple[str, int]
"""A VIP and a TCP port of it."""


class _Port(msgspec.Struct):
    failures: int = 0
    is_reached: bool = False
    was_called: bool = False

    @property
    def is_lost(self) -> bool:
        return self.failures >= FAILURES

    @property
    def is_in_doubt(self) -> bool:
        return not self.was_called or 0 < self.failures < FAILURES


class _Vip(msgspec.Struct):
    announced: Announced
    ports: dict[int, _Port]
    """The one that was called longest ago first."""
    word: VipReached | None = None


class Findings:
    """Of one node, over one interface."""

    def __init__(self, over: str) -> None:
        """Nothing was called yet. `over`: the interface's name, for people."""
        self._over = over
        self._vips: dict[str, _Vip] = {}
        self._answered: dict[Door, None] = {}
        """What was answered when it was called last, the latest last."""
        self._met: set[str] = set()
        """Nodes that were reached once."""

    def begin(self, address: str, announced: Announced, ports: Collection[int]) -> int:
        """The VIP is to be called at who announces it, at one of these ports: which; 0: there is none."""
        wanted = sorted(ports)[:MAX_PORTS]
        vip = self._vips.get(address)
        if vip is None or vip.announced != announced:
            self.forget(address)
            vip = self._vips[address] = _Vip(announced, {})
        for port in [port for port in vip.ports if port not in wanted]:
            del vip.ports[port]
            self._answered.pop((address, port), None)
        for port in wanted:
            vip.ports.setdefault(port, _Port())
        return next(iter(vip.ports), 0)

    def forget(self, address: str) -> None:
        """The VIP is called from here no more."""
        vip = self._vips.pop(address, None)
        for port in vip.ports if vip else ():
            self._answered.pop((address, port), None)

    def witness(self, door: Door) -> Door | None:
        """What else was answered last, to be called now that this one was not."""
        return next((other for other in reversed(self._answered) if other != door), None)

    def note_witness(self, door: Door, *, answered: bool) -> None:
        """What became of calling a witness."""
        self._answered.pop(door, None)
        if answered and door[0] in self._vips:
            self._answered[door] = None

    def note_answered(self, door: Door, now: int, micros: int) -> None:
        """The connection was taken. `now`: microseconds since 1970; `micros`: how long that took."""
        address, number = door
        if (vip := self._vips.get(address)) is None or (port := vip.ports.pop(number, None)) is None:
            return
        vip.ports[number] = port
        port.failures, port.is_reached, port.was_called = 0, True, True
        self._met.add(vip.announced.node)
        self.note_witness(door, answered=True)
        self._speak(vip, now, micros)

    def note_unanswered(self, door: Door, now: int, *, is_witnessed: bool) -> None:
        """Nobody took the connection. `is_witnessed`: something else was answered right after that, or this was, by a
        refusal."""
        address, number = door
        self._answered.pop(door, None)
        if (vip := self._vips.get(address)) is None or (port := vip.ports.get(number)) is None:
            return
        port.was_called = True
        if not is_witnessed or vip.announced.node not in self._met:
            for each in vip.ports.values():
                each.failures, each.is_reached = 0, False
            vip.word = None
            return
        port.failures += 1
        if port.is_lost:
            port.is_reached = False
            vip.ports[number] = vip.ports.pop(number)  # others have their turn
            self._speak(vip, now, 0)

    def is_in_doubt(self, address: str) -> bool:
        """Whether the VIP is to be called again soon: a port has not been called, or did not answer a moment ago."""
        vip = self._vips.get(address)
        return vip is not None and any(port.is_in_doubt for port in vip.ports.values())

    def word(self, address: str) -> VipReached | None:
        """What is to be said of a VIP; None: nothing. The same object until it changes."""
        vip = self._vips.get(address)
        return vip.word if vip else None

    def _speak(self, vip: _Vip, now: int, micros: int) -> None:
        ports = tuple(sorted(number for number, port in vip.ports.items() if port.is_reached))
        lost = tuple(sorted(number for number, port in vip.ports.items() if port.is_lost))
        if vip.word is not None and (vip.word.ports, vip.word.lost) == (ports, lost):
            return
        vip.word = VipReached(
            node=vip.announced.node,
            term=vip.announced.term,
            ports=ports,
            lost=lost,
            over=self._over,
            since=now,
            micros=micros,
        )
