"""Multicast groups of an interface, joined by sockets: through a switch that snoops MLD, only who joined hears them.

VIPs with the same last three bytes share a group. The kernel bounds the groups of one socket by `net.core.optmem_max`,
so there are as many sockets as it takes. The sockets belong to the network namespace of the calling thread.
"""

import collections
import contextlib
import errno
import socket
import struct


class Memberships:
    """The groups that are needed, and those that are joined."""

    def __init__(self) -> None:
        """None, on no interface."""
        self._index = 0
        self._needed: collections.Counter[bytes] = collections.Counter()
        self._unsettled: dict[bytes, None] = {}
        self._joined: dict[bytes, socket.socket] = {}
        self._sockets: list[socket.socket] = []
        self._roomy: list[socket.socket] = []
        """Sockets that may have room for another group."""

    def need(self, group: bytes) -> None:
        """One more VIP needs the group; `settle` joins it."""
        self._needed[group] += 1
        self._unsettled[group] = None

    def release(self, group: bytes) -> None:
        """One VIP fewer needs it."""
        self._needed[group] -= 1
        if self._needed[group] <= 0:
            del self._needed[group]
        self._unsettled[group] = None

    def open(self, index: int) -> None:
        """From now on they are joined on the interface with this number; on the same one they are still."""
        if index != self._index:
            self.close()
            self._index = index
            self._unsettled = dict.fromkeys(self._needed)

    def close(self) -> None:
        """Leave all of them; what is needed stays known."""
        for opened in self._sockets:
            opened.close()
        self._index = 0
        self._joined, self._sockets, self._roomy = {}, [], []

    def settle(self, limit: int) -> bool:
        """Join and leave at most so many; whether there is more to do. Raises OSError; what failed is tried again."""
        if not self._index:
            return False
        for _ in range(min(limit, len(self._unsettled))):
            group = next(reversed(self._unsettled))  # from the front, each look would pass over all that was removed
            self._settle(group)
            del self._unsettled[group]
        return bool(self._unsettled)

    def _settle(self, group: bytes) -> None:
        is_needed = group in self._needed
        if is_needed and group not in self._joined:
            self._joined[group] = self._join(group)
        elif not is_needed and group in self._joined:
            holder = self._joined.pop(group)
            with contextlib.suppress(OSError):  # the interface is gone, and the membership with it
                holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, self._request(group))
            if holder not in self._roomy:
                self._roomy.append(holder)

    def _join(self, group: bytes) -> socket.socket:
        while True:
            is_new = not self._roomy
            if is_new:
                self._sockets.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
                self._roomy.append(self._sockets[-1])
            try:
                self._roomy[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
            except OSError as problem:
                if is_new or problem.errno not in (errno.ENOMEM, errno.ENOBUFS):
                    raise
                self._roomy.pop()
            else:
                return self._roomy[-1]

    def _request(self, group: bytes) -> bytes:
        return group + struct.pack("@I", self._index)
