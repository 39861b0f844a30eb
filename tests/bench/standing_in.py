"""A kernel that is always right and holds nothing: it answers from what the caller remembers. Measures Python alone."""

from collections.abc import Callable, Iterable, Sequence

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.entries import Destination, Load, Service, ServiceKey
from fleetlb_dataplane_programmer.ipvs.exchange import Failure
from fleetlb_dataplane_programmer.ipvs.translating import translate, virtual_server_key
from fleetlb_dataplane_programmer.ipvs.wire import Operation
from tests.bench.tables import kernel_text

IDLE = Load()


class StandIn:
    """In the place of `Kernel`."""

    def __init__(
        self, find: Callable[[VirtualServerKey], VirtualServer | None], every: Callable[[], Iterable[VirtualServer]]
    ) -> None:
        """`find` and `every` give what is wished for."""
        self._find, self._every = find, every
        self.rounds = 0

    def close(self) -> None:
        """Nothing is open."""

    def apply(self, operations: Sequence[Operation]) -> list[Failure]:
        """Refuses nothing."""
        return []

    def head(self) -> bytes:
        """See `Kernel`: never empty."""
        return b"TCP  0A4D0001:01BB lc\n"

    def text(self) -> bytes:
        """As the kernel would show it."""
        self.rounds += 1
        return kernel_text(self._every())

    def services(self) -> list[Service]:
        """None, as on a node that has just started."""
        return []

    def service(self, key: ServiceKey) -> Service | None:
        """As wished for."""
        server = self._wished(key)
        return translate(server).service if server is not None else None

    def destinations(self, key: ServiceKey) -> list[tuple[Destination, Load]]:
        """As wished for."""
        server = self._wished(key)
        return [(held, IDLE) for held in translate(server).destinations.values()] if server is not None else []

    def _wished(self, key: ServiceKey) -> VirtualServer | None:
        name = virtual_server_key(key)
        return None if name is None else self._find(name)
