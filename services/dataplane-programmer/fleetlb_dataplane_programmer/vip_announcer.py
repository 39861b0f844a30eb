"""The port to whatever tells the network where VIPs live. An engine calls it; it must know neither kernel nor proxy.

Order (P4): a VIP is announced once a virtual server of it is programmed and read back with a usable real server, and
withdrawn before the last of its virtual servers is removed.
"""

from typing import Protocol

from fleetlb.domain.virtual_servers import Announcement


class VipAnnouncer(Protocol):
    """Tells the network where VIPs live."""

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """This node carries the VIP and has a usable real server for it. May be called again; the last call counts.

        `network`: of its pool, as a CIDR; empty: it belongs to none. `pool`: whose own attributes its route carries;
        empty: it carries its group's. Raises Transient.
        """

    async def withdraw(self, address: str) -> None:
        """The VIP is about to be removed from this node. May be called for one never announced. Raises Transient."""

    async def complete(self) -> None:
        """Everything that this node carries from before was announced once: what else is, nobody wishes for."""


class RoutedVips:
    """`VipAnnouncer` where the network sends whole pools to this node, or its kernel answers for them on the link."""

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """Nothing to tell."""

    async def withdraw(self, address: str) -> None:
        """Nothing to tell."""

    async def complete(self) -> None:
        """Nothing to tell."""
