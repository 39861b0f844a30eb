"""Layer 2 as part of a node process: its interfaces, its part in who answers, and a connection of their own.

A burst of wishes fills the other connection for seconds, and a lease must be renewed meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable

from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer.instructions import is_out
from fleetlb_dataplane_programmer.layer2.calling import Caller
from fleetlb_dataplane_programmer.layer2.finding import Finder
from fleetlb_dataplane_programmer.layer2.interface import Layer2Interface
from fleetlb_dataplane_programmer.layer2.switches import LinkSwitches
from fleetlb_dataplane_programmer.ownership.findings import Findings
from fleetlb_dataplane_programmer.ownership.living import Lease
from fleetlb_dataplane_programmer.ownership.taking_part import Participant
from fleetlb_dataplane_programmer.settings import Settings

_MARGIN = 0.1
"""Of a lease, by which its holder stops earlier than the others take over: clocks may differ so much in their rate."""
_AUDIT_SECONDS = 1.0
_TWICE = "another process runs under this node's name and began later; give one of them another FLEETLB_NODE"


class Layer2Plane:
    """Answers for VIPs on the interfaces that the settings name."""

    def __init__(self, process: Process, settings: Settings) -> None:
        """Not started."""
        self._process, self._settings = process, settings
        seconds, names = settings.layer2_lease_seconds, settings.layer2_interfaces
        lease = Lease(seconds=seconds, margin=_MARGIN * seconds)
        self.participant = Participant(settings.node, settings.group, names=names, lease=lease)
        self._troubles: dict[str, str] = {}
        self._gate = process.health.open_gate("layer2")
        self._interfaces = [self._interface(name) for name in names]
        self._switches = [LinkSwitches(name, manage=settings.manage_sysctls) for name in names]
        self.participant.links = self._interfaces
        self._finder: Finder | None = None

    def call_others(self, serving_on: Callable[[str], Iterable[VirtualServer]]) -> None:
        """Find whether VIPs of other nodes are reached from here, unless the settings say otherwise. Before `start`."""
        if not self._settings.layer2_probes:
            return
        first = self._settings.layer2_interfaces[0]
        self._finder = Finder(
            Caller(first),
            Findings(first),
            duty=self.participant.to_be_called,
            serving_on=serving_on,
            say=self.participant.say_reached,
            now_us=self._process.tracing.now,
        )
        self.participant.on_news = self._finder.look_at

    def start(self) -> None:
        """Begin to answer for what the node comes to own."""
        for switches in self._switches:
            switches.start()
        for name, interface in zip(self._settings.layer2_interfaces, self._interfaces, strict=True):
            self._process.spawn(interface.run(), f"layer 2 on {name}")
        self._process.spawn(self.participant.run(), "ownership of VIPs")
        self._process.spawn(self._follow(), "bus of ownership")
        self._process.spawn(self._audit(), "switches of layer 2")
        if self._finder is not None:
            self._process.spawn(self._finder.run(), "calls to VIPs of other nodes")

    def heed(self, said: GroupInstructed) -> None:
        """The manager says which nodes the group has. Returns at once."""
        self.participant.stay_out(is_out(said, self._settings.node))

    def _interface(self, name: str) -> Layer2Interface:
        def on_trouble(trouble: str) -> None:
            self._note(name, trouble)
            self.participant.give_way(f"interface {name}", not interface.is_usable)

        interface = Layer2Interface(name, may_answer=self.participant.may_answer, on_trouble=on_trouble)
        return interface

    def _note(self, what: str, trouble: str) -> None:
        self._troubles[what] = trouble
        self._gate.mind("; ".join(f"{what}: {text}" for what, text in self._troubles.items() if text))

    async def _follow(self) -> None:
        bus = JetStreamBus(self._settings.dialling("ownership"))
        await bus.begin(self._process.tasks)
        await self.participant.follow(bus)

    async def _audit(self) -> None:
        while True:
            await asyncio.sleep(_AUDIT_SECONDS)
            self._note(self._settings.node, _TWICE if self.participant.is_fenced else "")
            for switches in self._switches:
                switches.audit()
