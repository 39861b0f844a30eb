"""What a node counts of its sessions, in the default registry. Labels are peers of the group's spec, and no others."""

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge

from fleetlb_dataplane_programmer.bgp.reading import Session

SESSION_UP = Gauge("fleetlb_bgp_session_up", "1 for a router that this node tells its VIPs to, else 0.", ["peer"])
ADVERTISED = Gauge("fleetlb_bgp_advertised_routes", "Routes that a router is told by this node.", ["peer"])
CONFIGURED = Counter("fleetlb_bgp_configurations_total", "Times that BIRD was asked to read its configuration anew.")
REPAIRS = Counter("fleetlb_bgp_repairs_total", "Times that BIRD, or a file of its, was not as it was left.")


class SessionGauges:
    """Shows the sessions of this node."""

    def __init__(self) -> None:
        """Nothing is shown."""
        self._shown: frozenset[str] = frozenset()

    def show(self, sessions: Mapping[str, Session]) -> None:
        """These, by peer, and no others."""
        self._forget(self._shown - sessions.keys())
        for peer, session in sessions.items():
            SESSION_UP.labels(peer).set(session.is_up)
            ADVERTISED.labels(peer).set(session.advertised if session.is_up else 0)
        self._shown = frozenset(sessions)

    def _forget(self, peers: Iterable[str]) -> None:
        for peer in peers:
            SESSION_UP.remove(peer)
            ADVERTISED.remove(peer)
