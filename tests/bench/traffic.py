"""Open connections and a stream of datagrams while backends are added, drained and removed, and the programmer ends.

The same as tests/ipvs/test_traffic.py holds to, in figures.
"""

import asyncio
import contextlib
from collections.abc import Iterable

import msgspec

from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, parse_key
from fleetlb.testkit.balancer_network import Connection, Network, network
from tests.bench.driving import Driven, WatchedKernel, driving
from tests.bench.findings import Findings, Goal
from tests.bench.yardstick import Yardstick

VIP, NODE_PORT = "10.77.0.1", 31000
_DRAIN_SECONDS = 600
_SOURCE_PORT = 4445
_PAUSE_SECONDS = 0.005
_AT_LEAST = 10
REMOVED = 2
"""The backend that is removed without a drain in the end."""


class Outcome(msgspec.Struct):
    """What became of the clients."""

    connections: int
    changes: int = 0
    restarts: int = 0
    share: int = 0
    """Connections to the backend that was removed without a drain."""
    cut_of_share: int = 0
    reset: int = 0
    """Connections to others that broke, at any time."""
    answered: int = 0
    lost: int = 0


def measure(connections: int, yardstick: Yardstick) -> Findings:
    """All of it, once."""
    yardstick.wait_for_quiet()
    with network() as net:
        found = asyncio.run(_run(net, connections))
    what = f"{found.connections} open connections, {found.changes} changes, {found.restarts} restarts"
    return Findings(
        title="Connections and datagrams while everything around them changes",
        columns=("clients", "broken or lost"),
        rows=[
            (f"{what}: connections not of the removed backend", str(found.reset)),
            (f"the {found.share} connections of the backend removed without a drain", str(found.cut_of_share)),
            (f"{found.answered + found.lost} datagrams of one flow, one at a time", str(found.lost)),
        ],
        goals=[
            Goal(name="connections reset that were not the removed backend's", measured=found.reset, bound=0),
            Goal(name="datagrams lost", measured=found.lost, bound=0),
        ],
        notes=["Backends are added, drained, taken back and removed; the programmer ends without a word and starts."],
    )


def _server(protocol: str, port: int, backends: Iterable[int], drain_seconds: int) -> VirtualServer:
    return VirtualServer(
        key=parse_key(f"{VIP}:{port}/{protocol}"),
        real_servers=tuple(sorted(RealServer(Network.real_address(b), NODE_PORT) for b in backends)),
        scheduler=Scheduler.ROUND_ROBIN,
        prefix="10.77.0.0/16",
        drain_seconds=drain_seconds,
    )


def _tcp(*backends: int, drain_seconds: int = _DRAIN_SECONDS) -> VirtualServer:
    return _server("tcp", 80, backends, drain_seconds)


def _udp(*backends: int) -> VirtualServer:
    return _server("udp", 53, backends, 0)


async def _run(net: Network, connections: int) -> Outcome:
    found = Outcome(connections)

    def programming(*servers: VirtualServer) -> contextlib.AbstractAsyncContextManager[Driven[WatchedKernel]]:
        return driving(servers, lambda: _kernel_of(net), round_seconds=0.5)

    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        await stack.enter_async_context(net.echoing(NODE_PORT, NODE_PORT))
        async with programming(_tcp(1, 2), _udp(1)) as driven:
            await driven.all_told()
            open_ones = [await stack.enter_async_context(net.connection(VIP, 80)) for _ in range(connections)]
            names = [await connection.ask() for connection in open_ones]
            streaming = tasks.create_task(_stream(net, found))
            await _more(found)
        for _ in range(2):
            found.restarts += 1
            async with programming(_tcp(1, 2), _udp(1)) as driven:
                await driven.all_told()
                await _change(driven, found)
        found.reset += await _broken(open_ones, names)
        async with programming(_tcp(1, 2), _udp(1)) as driven:
            await driven.all_told()
            await driven.change(_tcp(1, drain_seconds=0))
            found.changes += 1
            await _judge_share(open_ones, names, found)
        await _more(found)
        streaming.cancel()
    return found


async def _change(driven: Driven[WatchedKernel], found: Outcome) -> None:
    """Each backend comes, drains and is taken back; the one of the datagrams' flow stays."""
    changes = [_tcp(*backends) for backends in ((1, 2, 3), (2, 3), (1, 2, 3), (1,), (1, 2))]
    changes += [_udp(*backends) for backends in ((1, 2, 3), (1, 3), (1,))]
    for change in changes:
        await driven.change(change)
        found.changes += 1


async def _judge_share(open_ones: list[Connection], names: list[str], found: Outcome) -> None:
    pairs = list(zip(open_ones, names, strict=True))
    of_removed = [(one, name) for one, name in pairs if name.startswith(f"{REMOVED} ")]
    others = [(one, name) for one, name in pairs if not name.startswith(f"{REMOVED} ")]
    found.reset += await _broken([one for one, _ in others], [name for _, name in others])
    found.share = len(of_removed)
    found.cut_of_share = await _broken([one for one, _ in of_removed], [name for _, name in of_removed])


async def _broken(open_ones: list[Connection], names: list[str]) -> int:
    """How many do not get the answer of the backend that they began with."""
    answers = await asyncio.gather(*(one.ask() for one in open_ones), return_exceptions=True)
    return sum(answer != name for answer, name in zip(answers, names, strict=True))


async def _stream(net: Network, found: Outcome) -> None:
    while True:
        try:
            await net.ask_udp(VIP, 53, source_port=_SOURCE_PORT)
            found.answered += 1
        except OSError:  # a TimeoutError is one
            found.lost += 1
        await asyncio.sleep(_PAUSE_SECONDS)


async def _more(found: Outcome) -> None:
    """Return when some more datagrams have had their fate."""
    enough = found.answered + found.lost + _AT_LEAST
    while found.answered + found.lost < enough:
        await asyncio.sleep(_PAUSE_SECONDS)


def _kernel_of(net: Network) -> WatchedKernel:
    with net.nodes[0].entered():
        return WatchedKernel()
