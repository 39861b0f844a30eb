"""BGP as part of a node process: the BIRD that the settings name, and what the node is among routers."""

import contextlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.routing import BgpSpeaking, RouterSession, router_id_of
from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer.bgp.announcing import BgpAnnouncer
from fleetlb_dataplane_programmer.bgp.configuring import SESSIONS_FILE
from fleetlb_dataplane_programmer.bgp.control import BirdControl
from fleetlb_dataplane_programmer.bgp.files import outlives_reboot
from fleetlb_dataplane_programmer.bgp.reading import Session
from fleetlb_dataplane_programmer.bgp.routes import RouteOf
from fleetlb_dataplane_programmer.bgp.speaking import BirdSpeaker, OnSessions, Place
from fleetlb_dataplane_programmer.settings import Settings

_DISCARD = 9
"""A port: nothing is sent there."""
_TOO_EARLY = (
    "after a reboot BIRD will announce VIPs before they are programmed; set FLEETLB_BIRD_DIRECTORY to a directory below"
    " /run that is made at boot, and have BIRD include that"
)


class BgpPlane:
    """Tells routers by the BIRD of this node."""

    def __init__(self, process: Process, settings: Settings) -> None:
        """Not started. Raises ValueError if the settings name no BIRD."""
        if settings.bird_socket is None or settings.bird_directory is None:
            raise ValueError("the settings name no BIRD")
        self._process, self._settings = process, settings
        self._control, self._directory = BirdControl(settings.bird_socket), settings.bird_directory
        self.announcer = BgpAnnouncer(
            settings.node,
            self._speaker,
            has_left=(settings.bird_directory / SESSIONS_FILE).exists,
            router_id=self._router_id,
            on_trouble=process.health.open_gate("bgp").mind,
            on_sessions=lambda sessions: self.tell(words_on(sessions)),
        )
        self.tell: Callable[[tuple[RouterSession, ...]], None] = lambda _: None
        """Hears how the sessions are, after every look at them; to be set before `start`."""

    def start(self) -> None:
        """Begin to tell routers what the node carries."""
        with contextlib.suppress(OSError):
            if outlives_reboot(self._directory.resolve(), Path("/proc/self/mounts").read_text()):
                structlog.get_logger().warning(_TOO_EARLY, directory=str(self._directory))
        self._process.spawn(self.announcer.run(), "bgp")

    def _speaker(self, speaking: BgpSpeaking, on_sessions: OnSessions, route_of: RouteOf) -> BirdSpeaker:
        place = Place(
            node=self._settings.node,
            router_id=self._router_id(speaking),
            directory=self._directory,
            passwords=self._settings.bgp_passwords,
        )
        return BirdSpeaker(speaking, self._control, place, route_of=route_of, on_sessions=on_sessions)

    def _router_id(self, speaking: BgpSpeaking) -> str:
        return router_id_of(speaking.router_id, self._settings.node, own_ends(speaking, self._settings.node))


def words_on(sessions: Mapping[str, Session]) -> tuple[RouterSession, ...]:
    """What there is to say of sessions: nothing that changes as long as one stays down."""
    return tuple(
        RouterSession(
            peer=peer,
            up=each.is_up,
            routes=each.advertised if each.is_up else 0,
            problem="" if each.is_up else (each.problem or "it is not established")[:256],
        )
        for peer, each in sorted(sessions.items())
    )


def own_ends(speaking: BgpSpeaking, node: str) -> list[str]:
    """The node's own IPv4 addresses towards its peers, in their order; those to which it has no way are left out.

    An address that it has otherwise may be that of a bridge, which other nodes have as well.
    """
    found = []
    for peer in speaking.peers_of(node):
        if family_of(peer.address) is Family.IPV4:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect((peer.address, _DISCARD))
                found.append(peer.source_address or asking.getsockname()[0])
    return found
