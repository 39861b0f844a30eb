"""Makes this node ready for virtual servers: switches, the pool's route, the way back, and the filter; in that order.

`Surroundings` on the real node. What is ready is remembered, so a virtual server of a known pool that is open to
everybody costs nothing. Must not know IPVS's table.
"""

from collections import Counter

import structlog

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.filtering import Guard, guard_of
from fleetlb_dataplane_programmer.ipvs.owning import prefix_of
from fleetlb_dataplane_programmer.ipvs.packet_filter import PacketFilter, open_filter
from fleetlb_dataplane_programmer.ipvs.routes import LocalRoutes
from fleetlb_dataplane_programmer.ipvs.sysctls import Sysctls


class NodeSurroundings:
    """`Surroundings` of the network namespace of the event loop's thread."""

    def __init__(self, *, manage_sysctls: bool) -> None:
        """Nothing is touched before `start`."""
        self._sysctls = Sysctls(manage=manage_sysctls)
        self._routes = LocalRoutes()
        self._filter: PacketFilter | None = None
        self._admitted: dict[VirtualServerKey, tuple[str, Guard | None]] = {}
        self._in_use: Counter[str] = Counter()
        self._log = structlog.get_logger()

    @property
    def can_filter(self) -> bool:
        """Whether source ranges can be enforced; not known, hence no, before `start`."""
        return self._filter is not None and self._filter.can_filter

    async def start(self) -> None:
        """Take over what the kernel holds of ours. Raises Transient."""
        self._sysctls.start()
        self._filter = await open_filter()

    async def admit(self, server: VirtualServer) -> None:
        """See `Surroundings`."""
        wanted = (str(prefix_of(server)), guard_of(server))
        if self._admitted.get(server.key) == wanted:
            return
        prefix, guard = wanted
        await self._routes.add(prefix)
        await self._opened().change(server.key, guard, prefix)
        self._forget(server.key)
        self._admitted[server.key] = wanted
        self._in_use[prefix] += 1

    async def dismiss(self, key: VirtualServerKey) -> None:
        """See `Surroundings`. The last of a pool takes the pool's route with it."""
        prefix, guard = self._admitted.get(key, ("", None))
        if guard is not None:
            await self._opened().change(key, None)
        self._forget(key)
        if prefix and prefix not in self._in_use:
            await self.complete()

    async def complete(self) -> None:
        """See `Surroundings`."""
        guards = [guard for _, guard in self._admitted.values() if guard is not None]
        await self._opened().sync(set(self._in_use), guards)
        await self._routes.sync(set(self._in_use))

    async def audit(self) -> int:
        """See `Surroundings`."""
        return self._sysctls.audit() + await self._routes.audit() + await self._opened().audit()

    def _opened(self) -> PacketFilter:
        if self._filter is None:
            raise RuntimeError("the surroundings were not started")
        return self._filter

    def _forget(self, key: VirtualServerKey) -> None:
        known = self._admitted.pop(key, None)
        if known is not None:
            self._in_use[known[0]] -= 1
            if not self._in_use[known[0]]:
                del self._in_use[known[0]]
