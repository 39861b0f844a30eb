"""The kernel as the data plane of a node process: its engine, its gate of readiness, and what it holds already."""

from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer.completing import Holdings
from fleetlb_dataplane_programmer.emptying import Connections
from fleetlb_dataplane_programmer.engine import Engine, OnConnected, OnOutcome, OnRepaired
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.preparing import NodeSurroundings
from fleetlb_dataplane_programmer.probing import Sources
from fleetlb_dataplane_programmer.settings import Settings
from fleetlb_dataplane_programmer.vip_announcer import VipAnnouncer


class IpvsPlane:
    """See `Plane`."""

    def __init__(self, process: Process, settings: Settings, announcer: VipAnnouncer) -> None:
        """Not started."""
        self._process, self._settings, self._announcer = process, settings, announcer
        self._gate = process.health.gate("ipvs")
        self._surroundings = NodeSurroundings(manage_sysctls=settings.manage_sysctls)
        self.holdings: Holdings = lambda: self._engine.holdings()
        self.connections: Connections = lambda: self._engine.connections()
        self.probe_sources: Sources = {}  # what the node itself dials never meets the packet filter

    def engine(self, on_outcome: OnOutcome, on_connected: OnConnected, on_repaired: OnRepaired) -> Engine:
        """The engine, made once."""

        def on_trouble(trouble: str) -> None:
            if trouble:
                self._gate.close(trouble)
            else:
                self._gate.open()
            on_connected(not trouble)

        self._engine = IpvsEngine(
            on_outcome,
            self._surroundings,
            announcer=self._announcer,
            on_trouble=on_trouble,
            on_repaired=on_repaired,
            terms=Terms(max_maglev=self._settings.max_maglev_servers),
        )
        return self._engine

    async def start(self) -> None:
        """Begin to serve."""
        self._process.spawn(self._engine.run(), "ipvs engine")
