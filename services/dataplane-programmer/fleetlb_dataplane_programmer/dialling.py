"""Opens one connection and says what became of it. Knows no schedule, no virtual server and no message."""

import asyncio
import contextlib
import enum
import errno
import socket
from collections.abc import Iterator

from fleetlb.domain.addresses import Family, family_of

OUT_OF_MEANS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
)
"""Errors that say something of this host, and nothing of the other."""
_FROM_THE_HOST = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class Reach(enum.Enum):
    """What became of dialling."""

    REACHED = "reached"
    REFUSED = "refused"
    """The host itself said no: it lives."""
    UNREACHABLE = "unreachable"
    """Somebody on the way said no, or there is no way."""
    SILENT = "silent"

    @property
    def was_heard(self) -> bool:
        """Whether the host itself gave a sign of life."""
        return self is Reach.REACHED or self is Reach.REFUSED


async def reach(address: str, port: int, seconds: float) -> Reach:
    """Open a TCP connection, within so many seconds, and close it. Raises OSError if this host lacks the means."""
    with open_socket(address, socket.SOCK_STREAM) as dialled:
        return await connect(dialled, address, port, seconds)


async def connect(dialled: socket.socket, address: str, port: int, seconds: float) -> Reach:
    """Connect a TCP socket. Raises OSError if this host lacks the means."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(dialled, (address, port))
    except TimeoutError:
        return Reach.SILENT
    except OSError as problem:
        if problem.errno in OUT_OF_MEANS:
            raise
        return Reach.REFUSED if problem.errno in _FROM_THE_HOST else Reach.UNREACHABLE
    return Reach.REACHED


@contextlib.contextmanager
def open_socket(address: str, kind: socket.SocketKind, protocol: int = 0) -> Iterator[socket.socket]:
    """A socket of the address's family that does not block. Raises OSError if this host lacks the means."""
    family = socket.AF_INET6 if family_of(address) is Family.IPV6 else socket.AF_INET
    with socket.socket(family, kind, protocol) as made:
        made.setblocking(False)
        yield made
