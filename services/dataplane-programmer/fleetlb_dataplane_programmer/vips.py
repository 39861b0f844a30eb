"""Which VIPs may be announced: those with a programmed virtual server that had a usable real server. Pure.

A VIP whose real servers all went away stays announced: its clients are refused at once instead of waiting. Where its
tenant would rather have none than dead ones (`FailurePolicy.CLOSED`) it is withdrawn instead, so that another node may
have a way to some. It is withdrawn before the last of its virtual servers is removed (P4).
"""

import enum

from fleetlb.domain.virtual_servers import Announcement, FailurePolicy, VirtualServer, VirtualServerKey


class Step(enum.Enum):
    """What is to be done about a VIP, however often asked."""

    NOTHING = "nothing"
    ANNOUNCE = "announce"
    WITHDRAW = "withdraw"


class Vips:
    """The programmed virtual servers of each VIP. They are few, and VIPs are many: tuples."""

    def __init__(self) -> None:
        """None."""
        self._keys: dict[str, tuple[VirtualServerKey, ...]] = {}
        self._announced: dict[str, tuple[Announcement, str, str]] = {}
        """How, of which network, and with the attributes of which pool."""
        self._leaving: set[str] = set()
        """To be withdrawn, though they have virtual servers."""

    def note_programmed(self, server: VirtualServer) -> Step:
        """A virtual server is programmed."""
        address = server.key.address
        keys = self._keys.get(address, ())
        is_usable = any(real.weight > 0 for real in server.real_servers)
        if not is_usable and (server.failure_policy is FailurePolicy.CLOSED or not keys):
            return self._note_unusable(server.key)
        self._leaving.discard(address)
        if server.key not in keys:
            self._keys[address] = (*keys, server.key)
        return Step.NOTHING if self._announced.get(address) == _manner_of(server) else Step.ANNOUNCE

    def note_announced(self, server: VirtualServer) -> None:
        """The VIP of a virtual server is announced as it asks."""
        if server.key.address in self._keys:
            self._announced[server.key.address] = _manner_of(server)

    def note_withdrawn(self, address: str) -> None:
        """A VIP is announced no more."""
        self._leaving.discard(address)

    def leave(self, key: VirtualServerKey) -> bool:
        """A virtual server is about to be removed. Whether its VIP must be withdrawn before, however often asked."""
        return not self._drop(key)

    def _note_unusable(self, key: VirtualServerKey) -> Step:
        was_announced = key.address in self._announced
        if self._drop(key):
            return Step.NOTHING
        if was_announced:
            self._leaving.add(key.address)
        return Step.WITHDRAW if key.address in self._leaving else Step.NOTHING

    def _drop(self, key: VirtualServerKey) -> bool:
        """Whether others keep its VIP."""
        keys = tuple(other for other in self._keys.get(key.address, ()) if other != key)
        if keys:
            self._keys[key.address] = keys
        else:
            self._keys.pop(key.address, None)
            self._announced.pop(key.address, None)
        return bool(keys)


def _manner_of(server: VirtualServer) -> tuple[Announcement, str, str]:
    return server.announcement, server.prefix, server.attributes_pool
