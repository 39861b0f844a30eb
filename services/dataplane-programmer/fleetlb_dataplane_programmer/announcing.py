"""Tells the network where VIPs live, each in the way of its pool: on layer 2, by BGP, or not at all.

`VipAnnouncer` of the node process. Which node answers on layer 2 is decided by `ownership`; BGP is told of whatever the
node carries. What no way was set up for is said once, and carried all the same. Must not know engines.
"""

import structlog

from fleetlb.domain.virtual_servers import Announcement
from fleetlb_dataplane_programmer.vip_announcer import VipAnnouncer

_WITHOUT = {
    Announcement.LAYER2: "set FLEETLB_LAYER2_INTERFACES to the interfaces that face its clients or their router",
    Announcement.BGP: "set FLEETLB_BIRD_SOCKET and FLEETLB_BIRD_DIRECTORY to those of this node's BIRD",
}


class Announcing:
    """`VipAnnouncer` of several ways; a VIP is announced in one of them at a time."""

    def __init__(self, ways: dict[Announcement, VipAnnouncer]) -> None:
        """`ways`: those that this node is set up for."""
        self._ways = ways
        self._used: dict[str, tuple[VipAnnouncer, ...]] = {}
        """By which ways a VIP is announced, or may be for all that is known; the wanted one last."""
        self._missed: set[Announcement] = set()
        self._log = structlog.get_logger()

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """See `VipAnnouncer`. Another way than before begins before that ends, so that it is always announced."""
        way = self._ways.get(announcement)
        others = tuple(each for each in self._used.get(address, ()) if each is not way)
        if way is not None:
            self._used[address] = (*others, way)
            await way.announce(address, announcement, network, pool)
        elif announcement is not Announcement.NONE:
            self._say_missing(announcement)
        await self._withdraw(address, others)

    async def withdraw(self, address: str) -> None:
        """See `VipAnnouncer`."""
        await self._withdraw(address, self._used.get(address, ()))

    async def _withdraw(self, address: str, ways: tuple[VipAnnouncer, ...]) -> None:
        for way in ways:
            await way.withdraw(address)
            rest = tuple(each for each in self._used.get(address, ()) if each is not way)
            if rest:
                self._used[address] = rest
            else:
                self._used.pop(address, None)

    async def complete(self) -> None:
        """See `VipAnnouncer`."""
        for way in self._ways.values():
            await way.complete()

    def _say_missing(self, announcement: Announcement) -> None:
        if announcement not in self._missed:
            self._missed.add(announcement)
            cure = _WITHOUT.get(announcement, "")
            self._log.error("VIPs of a pool are not announced by this node", announcement=announcement, cure=cure)
