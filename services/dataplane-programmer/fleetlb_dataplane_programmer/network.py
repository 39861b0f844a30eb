"""The ways in which this node tells the network where VIPs live, as far as its settings give it any.

One that is not set up is not imported: what it needs may not be installed, and its metrics would say nothing.
"""

from collections.abc import Callable, Iterable

from fleetlb.domain.routing import RouterSession
from fleetlb.domain.virtual_servers import Announcement, VirtualServer
from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer.instructions import OnInstructed
from fleetlb_dataplane_programmer.settings import Settings
from fleetlb_dataplane_programmer.vip_announcer import VipAnnouncer

ServingOn = Callable[[str], Iterable[VirtualServer]]
"""The virtual servers of a VIP that have real servers."""


def announcements_of(settings: Settings) -> list[str]:
    """In which ways a node with these settings can announce VIPs."""
    ways = {Announcement.LAYER2: bool(settings.layer2_interfaces), Announcement.BGP: settings.bird_socket is not None}
    return [way.value for way, is_set_up in ways.items() if is_set_up]


class Network:
    """All of them together."""

    def __init__(self, process: Process, settings: Settings) -> None:
        """Not started."""
        self.ways: dict[Announcement, VipAnnouncer] = {}
        self.heeders: list[OnInstructed] = []
        """Who wants to hear what a manager has to say to the group."""
        self._layer2 = self._bgp = None
        if settings.layer2_interfaces:
            from fleetlb_dataplane_programmer.layer2.plane import Layer2Plane

            self._layer2 = Layer2Plane(process, settings)
            self.ways[Announcement.LAYER2] = self._layer2.participant
            self.heeders.append(self._layer2.heed)
        if settings.bird_socket is not None:
            from fleetlb_dataplane_programmer.bgp.plane import BgpPlane

            self._bgp = BgpPlane(process, settings)
            self.ways[Announcement.BGP] = self._bgp.announcer
            self.heeders.append(self._bgp.announcer.heed)

    def call_others(self, serving_on: ServingOn) -> None:
        """Call VIPs of other nodes, too, where the settings say so. Before `start`."""
        if self._layer2 is not None:
            self._layer2.call_others(serving_on)

    def start(self) -> None:
        """Begin to tell what the node carries."""
        if self._layer2 is not None:
            self._layer2.start()
        if self._bgp is not None:
            self._bgp.start()

    def tell_sessions(self, tell: Callable[[tuple[RouterSession, ...]], None]) -> None:
        """Who wants to hear how the sessions with routers are. Before `start`."""
        if self._bgp is not None:
            self._bgp.tell = tell

    def give_way(self, draining: bool) -> None:
        """To other nodes on layer 2; to routers it is said by who hears what is said to the group."""
        if self._layer2 is not None:
            self._layer2.participant.give_way("drain", draining)

    def announced(self) -> int:
        """How many VIPs are announced now."""
        on_links = len(self._layer2.participant.owned) if self._layer2 is not None else 0
        return on_links + (self._bgp.announcer.announced if self._bgp is not None else 0)
