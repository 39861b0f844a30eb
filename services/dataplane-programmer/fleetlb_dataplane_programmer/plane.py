"""What carries a node's packets, as the node's process sees it: one class for each engine, chosen by the settings."""

from typing import Protocol

from fleetlb.domain.capabilities import EngineName
from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer.completing import Holdings
from fleetlb_dataplane_programmer.emptying import Connections
from fleetlb_dataplane_programmer.engine import Engine, OnConnected, OnOutcome, OnRepaired
from fleetlb_dataplane_programmer.probing import Sources
from fleetlb_dataplane_programmer.settings import Settings
from fleetlb_dataplane_programmer.vip_announcer import VipAnnouncer


class Plane(Protocol):
    """An engine with its gates of readiness. The data plane outlives it."""

    holdings: Holdings
    connections: Connections
    probe_sources: Sources

    def engine(self, on_outcome: OnOutcome, on_connected: OnConnected, on_repaired: OnRepaired) -> Engine:
        """The engine, made once. `on_repaired` hears how much that others had changed was mended."""

    async def start(self) -> None:
        """Begin to serve; to be called after `engine`. Raises FleetlbError."""


def plane_for(process: Process, settings: Settings, announcer: VipAnnouncer) -> Plane:
    """The plane that the settings name. An engine that is not used is not imported: it may not be installed.

    What Envoy carries is not announced.
    """
    if settings.engine is EngineName.IPVS:
        from fleetlb_dataplane_programmer.ipvs.plane import IpvsPlane

        return IpvsPlane(process, settings, announcer)
    from fleetlb_dataplane_programmer.envoy.plane import EnvoyPlane

    return EnvoyPlane(process, settings)
