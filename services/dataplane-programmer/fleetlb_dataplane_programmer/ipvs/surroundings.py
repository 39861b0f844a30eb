"""What a virtual server needs on the node besides the kernel's IPVS table. Two ports; the engine calls them in order.

A virtual server is opened as: admit, program, announce; and closed as: withdraw, remove, dismiss.
"""

from typing import Protocol

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class Surroundings(Protocol):
    """Routes, the return path and the filter of source addresses."""

    @property
    def can_filter(self) -> bool:
        """Whether source ranges can be enforced."""

    async def start(self) -> None:
        """Take over what the kernel holds of ours; nothing that is right is written. Raises Transient."""

    async def admit(self, server: VirtualServer) -> None:
        """Make the node ready for a virtual server, which must not carry traffic before. O(1) when it is ready already.

        Raises Transient.
        """

    async def dismiss(self, key: VirtualServerKey) -> None:
        """The virtual server is gone. Raises Transient."""

    async def complete(self) -> None:
        """All wishes are admitted: remove what is ours and not needed. Raises Transient."""

    async def audit(self) -> int:
        """Look for drift, mend it, and return how much there was. Raises Transient."""


class VipAnnouncer(Protocol):
    """Tells the network where VIPs live."""

    async def announce(self, address: str) -> None:
        """This node carries the VIP and has a usable real server for it. May be called again. Raises Transient."""

    async def withdraw(self, address: str) -> None:
        """The VIP is about to be removed from this node. May be called for one never announced. Raises Transient."""


class RoutedVips:
    """`VipAnnouncer` where the network sends whole pools to this node, or its kernel answers for them on the link."""

    async def announce(self, address: str) -> None:
        """Nothing to tell."""

    async def withdraw(self, address: str) -> None:
        """Nothing to tell."""
