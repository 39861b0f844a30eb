"""Ports and loopback ranges that no other fleet on this machine uses.

A claim is an abstract unix socket: known to the whole network namespace, exactly as loopback addresses are, and gone
with its process however that ends. This module must not know what the ports are for.
"""

import random
import socket
from collections.abc import Iterable

LOWEST, HIGHEST = 18000, 28999
"""Below the kernel's range for outgoing connections, which could take a port while its owner restarts."""


class Claims:
    """What one fleet holds, until `close` or its death."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def take(self, name: str) -> bool:
        """Claim a name for this fleet. False: another fleet holds it."""
        if name in self._held:
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0fleetlb/{name}")
        except OSError:
            claim.close()
            return False
        self._held[name] = claim
        return True

    def take_first(self, kind: str, candidates: Iterable[int]) -> int | None:
        """The first number of a kind that nobody holds yet, not even this fleet."""
        for number in candidates:
            name = f"{kind}/{number}"
            if name not in self._held and self.take(name):
                return number
        return None

    def take_port(self) -> int:
        """A TCP port of 127.0.0.1 that is free now and stays this fleet's."""
        candidates = random.sample(range(LOWEST, HIGHEST + 1), 500)  # not secret
        port = self.take_first("port", (number for number in candidates if is_free(number)))
        if port is None:
            raise OSError(f"no free TCP port between {LOWEST} and {HIGHEST}")
        return port

    def close(self) -> None:
        """Give everything back."""
        for claim in self._held.values():
            claim.close()
        self._held.clear()


def is_free(port: int) -> bool:
    """True if a server could listen on 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that is free now, for one short-lived server."""
    while not is_free(port := random.randint(LOWEST, HIGHEST)):  # noqa: S311 - not secret
        continue
    return port
