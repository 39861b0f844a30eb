"""Dials a virtual server as a client would, and says whether a real server answers. Knows no schedule and no message.

A proxy accepts a connection before it has a real server for it, so an accepted connection proves nothing. Proof is
what only a real server can cause: data, or the end of the stream after ours has ended. Where a real server stays
silent on both, it is enough that the connection stands and that a real server takes a connection of our own.
UDP proves less: VIP and real server are taken to answer unless their hosts say that nobody listens.
What a virtual server lets in only some clients for is asked from an address that its engine lets in too.
"""

import asyncio
import contextlib
import enum
import socket
from collections.abc import Mapping

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of
from fleetlb.domain.virtual_servers import RealServer, VirtualServer
from fleetlb_dataplane_programmer.dialling import OUT_OF_MEANS, Reach, connect, open_socket, reach
from fleetlb_dataplane_programmer.health import target_of


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a probe waits, in seconds."""

    connect: float = 1.0
    first_try: float = 0.05
    """For one real server, before others are tried beside it."""
    settle: float = 0.005
    """A proxy without a real server closes at once; at least so long after the connection stands."""
    answer: float = 1.0
    """For data or the end of the stream."""
    refusal: float = 0.025
    """For word that nobody listens on a UDP port."""
    sample: int = 16
    """Real servers tried per probe at most; the next probe begins elsewhere."""


Sources = Mapping[Family, str]
"""Where probes must come from, by family of the VIP, to be let in whatever the source ranges are."""


async def probe(
    server: VirtualServer,
    *,
    turn: int = 0,
    sources: Sources = {},  # noqa: B006 (never written)
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> bool | None:
    """Whether a real server answers; None if this host lacks the means to tell. `turn` chooses where to begin."""
    takers = [real_server for real_server in server.real_servers if real_server.weight > 0]
    if not takers:
        return None
    start = turn % len(takers)
    sample = (takers[start:] + takers[:start])[: patience.sample]
    try:
        if server.key.protocol is Protocol.SCTP:
            return await _probe_sctp(server, patience)
        if server.forwarding.keeps_client_address:
            return await _probe_beside(server, sample, patience)
        if server.key.protocol is Protocol.UDP:
            return await _probe_udp(server, sample, patience)
        source = sources.get(family_of(server.key.address)) if server.source_ranges else None
        return await _probe_tcp(server, sample, source, patience)
    except OSError as problem:
        if problem.errno in OUT_OF_MEANS:
            return None
        raise


async def _probe_sctp(server: VirtualServer, patience: Patience) -> bool | None:
    """The kernel alone carries SCTP, and it does not answer for a real server: an association is one with it."""
    if server.forwarding.keeps_client_address:
        return None
    with open_socket(server.key.address, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as dialled:
        return await connect(dialled, server.key.address, server.key.port, patience.connect) is Reach.REACHED


async def _probe_beside(server: VirtualServer, sample: list[RealServer], patience: Patience) -> bool:
    """Where real servers answer the client themselves, what this node dials through the VIP cannot come back to it."""
    if server.key.protocol is Protocol.UDP:
        return await _any_takes(sample, patience.refusal)
    return await _reach(sample, patience) is Reach.REACHED


async def _probe_tcp(server: VirtualServer, sample: list[RealServer], source: str | None, patience: Patience) -> bool:
    loop = asyncio.get_running_loop()
    began = loop.time()
    reached = await _reach(sample, patience)
    settle = max(patience.settle, min(3 * (loop.time() - began), patience.answer))
    with open_socket(server.key.address, socket.SOCK_STREAM) as dialled:
        if source is not None:
            dialled.bind((source, 0))
        if await connect(dialled, server.key.address, server.key.port, patience.connect) is not Reach.REACHED:
            return False
        early = await _received(dialled, settle)
        if early is not None:
            return early is _Received.DATA
        with contextlib.suppress(OSError):
            dialled.shutdown(socket.SHUT_WR)
        late = await _received(dialled, patience.answer)
    if late is _Received.DATA:
        return True
    # A proxy that was refused by every real server closes too, and later than `settle` if they are far away.
    return reached is Reach.REACHED or (late is _Received.END and reached is Reach.SILENT)


class _Received(enum.Enum):
    DATA = "data"
    END = "end"


async def _received(connection: socket.socket, seconds: float) -> _Received | None:
    """What came first, None if nothing came."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            return _Received.DATA if await loop.sock_recv(connection, 1) else _Received.END
    except TimeoutError:
        return None
    except OSError:
        return _Received.END


async def _reach(sample: list[RealServer], patience: Patience) -> Reach:
    """Dial the first; if it does not answer shortly, all others beside it."""
    first = await _dial(sample[0], patience.first_try)
    if first is Reach.REACHED or (first is Reach.REFUSED and len(sample) == 1):
        return first
    rest = sample if first is Reach.SILENT else sample[1:]
    async with asyncio.TaskGroup() as tasks:
        dials = [tasks.create_task(_dial(real_server, patience.connect), name="probe dial") for real_server in rest]
        reached = await _first_reached(dials)
        for dial in dials:
            dial.cancel()
    if reached:
        return Reach.REACHED
    outcomes = {first, *(dial.result() for dial in dials if not dial.cancelled())}
    return Reach.REFUSED if Reach.REFUSED in outcomes else Reach.SILENT


async def _first_reached(dials: "list[asyncio.Task[Reach]]") -> bool:
    for finished in asyncio.as_completed(dials):
        if await finished is Reach.REACHED:
            return True
    return False


async def _dial(real_server: RealServer, seconds: float) -> Reach:
    try:
        target = target_of(real_server)
        reached = await reach(target.address, target.port, seconds)
    except OSError:
        return Reach.SILENT  # no means: dialling the VIP will say so
    return Reach.REFUSED if reached is Reach.UNREACHABLE else reached


async def _probe_udp(server: VirtualServer, sample: list[RealServer], patience: Patience) -> bool:
    key = server.key
    is_closed, is_reached = await asyncio.gather(
        _is_refused(key.address, key.port, patience.refusal), _any_takes(sample, patience.refusal)
    )
    return is_reached and not is_closed


async def _any_takes(sample: list[RealServer], seconds: float) -> bool:
    for target in map(target_of, sample):
        if not await _is_refused(target.address, target.port, seconds):
            return True
    return False


async def _is_refused(address: str, port: int, seconds: float) -> bool:
    """Whether a host says that nobody listens on a UDP port."""
    loop = asyncio.get_running_loop()
    try:
        with open_socket(address, socket.SOCK_DGRAM) as dialled:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(dialled, (address, port))
                dialled.send(b"")
                await loop.sock_recv(dialled, 1)
    except TimeoutError:
        return False
    except OSError as problem:
        if problem.errno in OUT_OF_MEANS:
            raise
        return True
    return False
