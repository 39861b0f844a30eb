"""Opens one connection, may ask one question on it, and says what became of it. Knows no schedule, no virtual server
and no message.
"""

import asyncio
import contextlib
import enum
import errno
import re
import socket
from collections.abc import Iterator

from fleetlb.domain.addresses import Family, family_of

OUT_OF_MEANS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
)
"""Errors that say something of this host, and nothing of the other."""
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: %b\r\nUser-Agent: fleetlb\r\nConnection: close\r\n\r\n"
_YES = re.compile(rb"HTTP/1\.[01] 200[ \r]")
_LONG_ENOUGH = len(b"HTTP/1.1 200 ")
_MUCH = 4096
_FROM_THE_HOST = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class Reach(enum.Enum):
    """What became of dialling."""

    REACHED = "reached"
    REFUSED = "refused"
    """The host itself said no: it lives."""
    DECLINED = "declined"
    """The host took the connection, and gave another answer than yes, or none in time."""
    UNREACHABLE = "unreachable"
    """Somebody on the way said no, or there is no way."""
    SILENT = "silent"

    @property
    def was_heard(self) -> bool:
        """Whether the host itself gave a sign of life."""
        return self in (Reach.REACHED, Reach.REFUSED, Reach.DECLINED)


async def reach(address: str, port: int, seconds: float) -> Reach:
    """Open a TCP connection, within so many seconds, and close it. Raises OSError if this host lacks the means."""
    with open_socket(address, socket.SOCK_STREAM) as dialled:
        return await connect(dialled, address, port, seconds)


async def ask_health(address: str, port: int, seconds: float) -> Reach:
    """Whether `GET /healthz` is answered by 200 within so many seconds, as kube-proxy does at a health check node port
    on whose node a ready pod is. Raises OSError if this host lacks the means."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    with open_socket(address, socket.SOCK_STREAM) as dialled:
        reached = await connect(dialled, address, port, seconds)
        if reached is not Reach.REACHED:
            return reached
        try:
            async with asyncio.timeout_at(end):
                return Reach.REACHED if await _says_yes(dialled, address) else Reach.DECLINED
        except OSError as problem:  # a timeout is one too
            if problem.errno in OUT_OF_MEANS:
                raise
            return Reach.DECLINED


async def _says_yes(dialled: socket.socket, address: str) -> bool:
    """The status line is enough; what follows it is read with it where it comes at once, to part in good order."""
    loop = asyncio.get_running_loop()
    host = f"[{address}]" if family_of(address) is Family.IPV6 else address
    await loop.sock_sendall(dialled, REQUEST % host.encode())
    answer = b""
    while len(answer) < _LONG_ENOUGH:
        received = await loop.sock_recv(dialled, _MUCH)
        if not received:
            break
        answer += received
    return _YES.match(answer) is not None


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
