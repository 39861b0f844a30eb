"""What a virtual server needs on the node besides the kernel's IPVS table. The engine calls it and `VipAnnouncer`.

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
