"""Surroundings of an IPVS node that need nothing: for tests of the kernel's table alone. Remembers what was asked."""

from fleetlb.domain.virtual_servers import Announcement, VirtualServer, VirtualServerKey


class NoSurroundings:
    """Always ready, and writes down in which order things happened, the announcements too."""

    can_filter = True

    def __init__(self) -> None:
        """Nothing was asked."""
        self.history: list[str] = []

    async def start(self) -> None:
        """Ready."""

    async def admit(self, server: VirtualServer) -> None:
        """Ready."""
        self.history.append(f"admit {server.key}")

    async def dismiss(self, key: VirtualServerKey) -> None:
        """Ready."""
        self.history.append(f"dismiss {key}")

    async def complete(self) -> None:
        """Ready."""

    async def audit(self) -> int:
        """Nothing ever drifts."""
        return 0

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        """Noted."""
        self.history.append(f"announce {address}")

    async def withdraw(self, address: str) -> None:
        """Noted."""
        self.history.append(f"withdraw {address}")
