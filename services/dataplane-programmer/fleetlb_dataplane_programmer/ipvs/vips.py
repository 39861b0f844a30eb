"""Which VIPs may be announced: those with a programmed virtual server that had a usable real server. Pure.

A VIP whose real servers all went away stays announced (its clients are refused at once instead of waiting); it is
withdrawn before the last of its virtual servers is removed (P4).
"""

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class Vips:
    """Counts the programmed virtual servers of each VIP."""

    def __init__(self) -> None:
        """None."""
        self._keys: dict[str, set[VirtualServerKey]] = {}

    def note_programmed(self, server: VirtualServer) -> bool:
        """A virtual server is in the kernel. True if its VIP is to be announced now."""
        keys = self._keys.get(server.key.address)
        if keys is None:
            if not any(real.weight > 0 for real in server.real_servers):
                return False
            self._keys[server.key.address] = {server.key}
            return True
        keys.add(server.key)
        return False

    def leave(self, key: VirtualServerKey) -> bool:
        """A virtual server is about to be removed. Whether its VIP must be withdrawn before, however often asked."""
        keys = self._keys.get(key.address, set())
        keys.discard(key)
        if not keys:
            self._keys.pop(key.address, None)
        return not keys
