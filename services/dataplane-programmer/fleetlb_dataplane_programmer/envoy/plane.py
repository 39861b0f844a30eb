"""Envoy as the data plane of a node process: its engine, its gates of readiness, and what it holds already."""

from fleetlb.runtime.process import Process
from fleetlb_dataplane_programmer import envoy_admin
from fleetlb_dataplane_programmer.completing import Holdings
from fleetlb_dataplane_programmer.emptying import Connections
from fleetlb_dataplane_programmer.engine import Engine, OnConnected, OnOutcome, OnRepaired
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from fleetlb_dataplane_programmer.envoy.engine import EnvoyEngine
from fleetlb_dataplane_programmer.probing import Sources
from fleetlb_dataplane_programmer.settings import Settings


async def _uncounted() -> int | None:
    """What Envoy could tell is cut out of its statistics, which would grow with every virtual server."""
    return None


class EnvoyPlane:
    """See `Plane`."""

    def __init__(self, process: Process, settings: Settings) -> None:
        """Not started."""
        if settings.ads_socket is None:
            raise ValueError("the engine envoy needs an ADS socket")
        self._process = process
        self._socket = settings.ads_socket
        self._envoy, self._listening = process.health.gate("envoy"), process.health.gate("ads-socket")
        self.holdings: Holdings = lambda: envoy_admin.listeners(settings.envoy_admin)
        self.connections: Connections = _uncounted
        self.probe_sources: Sources = PROBE_SOURCES

    def engine(self, on_outcome: OnOutcome, on_connected: OnConnected, on_repaired: OnRepaired) -> Engine:
        """The engine, made once. Nobody else can change what an Envoy holds, so nothing is ever repaired."""
        del on_repaired

        def connected(is_connected: bool) -> None:
            if is_connected:
                self._envoy.open()
            else:
                self._envoy.close("no Envoy is connected")
            on_connected(is_connected)

        self._engine = EnvoyEngine(self._socket, on_outcome, on_connected=connected)
        return self._engine

    async def start(self) -> None:
        """Listen for Envoy. Raises FleetlbError."""
        await self._engine.start()
        self._process.stack.push_async_callback(self._engine.stop)
        self._listening.open()
