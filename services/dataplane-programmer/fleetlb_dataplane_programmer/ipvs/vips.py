"""Which VIPs may be announced: those with a programmed virtual server that had a usable real server. Pure.

A VIP whose real servers all went away stays announced (its clients are refused at once instead of waiting); it is
withdrawn before the last of its virtual servers is removed (P4).
"""

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class Vips:
    """The programmed virtual servers of each VIP. They are few, and VIPs are many: tuples."""

    def __init__(self) -> None:
        """None."""
        self._keys: dict[str, tuple[VirtualServerKey, ...]] = {}

    def note_programmed(self, server: VirtualServer) -> bool:
        """A virtual server is in the kernel. True if its VIP is to be announced now."""
        key = server.key
        keys = self._keys.get(key.address, ())
        if key in keys or not (keys or any(real.weight > 0 for real in server.real_servers)):
            return False
        self._keys[key.address] = (*keys, key)
        return not keys

    def leave(self, key: VirtualServerKey) -> bool:
        """A virtual server is about to be removed. Whether its VIP must be withdrawn before, however often asked."""
        keys = tuple(other for other in self._keys.get(key.address, ()) if other != key)
        if keys:
            self._keys[key.address] = keys
        else:
            self._keys.pop(key.address, None)
        return not keys
