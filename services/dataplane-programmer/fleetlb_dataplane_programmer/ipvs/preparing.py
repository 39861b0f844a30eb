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
        self._unready: set[VirtualServerKey] = set()
        self._in_use: Counter[str] = Counter()
        self._is_complete = self._is_untidy = False
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
        key, wanted = server.key, (str(prefix_of(server)), guard_of(server))
        if self._admitted.get(key) == wanted and key not in self._unready:
            return
        # Before anything is awaited: whoever tidies up meanwhile must know that this is needed.
        self._unready.add(key)
        self._forget(key)
        prefix, guard = self._admitted[key] = wanted
        self._in_use[prefix] += 1
        await self._routes.add(prefix)
        await self._opened().change(key, guard, prefix)
        self._unready.discard(key)
        await self._tidy()

    async def dismiss(self, key: VirtualServerKey) -> None:
        """See `Surroundings`. The last of a pool takes the pool's route with it."""
        _, guard = self._admitted.get(key, ("", None))
        # Before anything is awaited: if it is admitted anew meanwhile, that counts.
        self._forget(key)
        self._unready.discard(key)
        if guard is not None:
            await self._opened().change(key, None)
        await self._tidy()

    async def complete(self) -> None:
        """See `Surroundings`."""
        self._is_complete, self._is_untidy = True, False
        try:
            await self._opened().sync(
                set(self._in_use), [guard for _, guard in self._admitted.values() if guard is not None]
            )
            await self._routes.sync(set(self._in_use))  # anew: more may have come meanwhile
        except BaseException:
            self._is_untidy = True
            raise

    async def _tidy(self) -> None:
        """Remove what belongs to a pool that is no longer used. Not before all is known that is used."""
        if self._is_complete and self._is_untidy:
            await self.complete()

    async def audit(self) -> int:
        """See `Surroundings`."""
        await self._tidy()
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
                self._is_untidy = True
