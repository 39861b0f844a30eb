"""Probes against real sockets: the VIP is played by a listener of the test, as a proxy would behave."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import msgspec
import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.virtual_servers import RealServer
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.probing import Patience, probe

QUICK = Patience(connect=0.3, first_try=0.05, settle=0.03, answer=0.3, refusal=0.05)

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _listening(behaviour: Behaviour) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await behaviour(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    await writer.drain()
    await reader.read(1)


async def _close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def _reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def _ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Deaf to the end of the stream."""
    await asyncio.sleep(1.0)


async def _close_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy whose every real server refused, far away."""
    await asyncio.sleep(QUICK.settle * 3)


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port where nobody listens, held so that nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def blackhole_port() -> Iterator[int]:
    """A port whose queue of connections is full: new ones get no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def _probe(vip: int, *real_servers: int, turn: int = 0, patience: Patience = QUICK) -> bool | None:
    server = a_virtual_server(f"127.0.0.1:{vip}/tcp", [f"127.0.0.1:{port}" for port in real_servers])
    return await probe(server, turn=turn, patience=patience)


@pytest.mark.parametrize(
    ("at_the_vip", "expected"),
    [
        pytest.param(_echo, True, id="closes after us"),
        pytest.param(_greet, True, id="speaks first"),
        pytest.param(_ignore, True, id="deaf to half-close, but a real server takes connections"),
        pytest.param(_close_late, True, id="closes late, and a real server takes connections"),
        pytest.param(_close_at_once, False, id="accepts and closes"),
        pytest.param(_reset_at_once, False, id="accepts and resets"),
    ],
)
async def test_with_a_real_server_that_takes_connections(at_the_vip: Behaviour, expected: bool) -> None:
    async with _listening(at_the_vip) as vip, _listening(_echo) as real_server:
        assert await _probe(vip, real_server) is expected


@pytest.mark.parametrize(
    ("at_the_vip", "expected"),
    [
        pytest.param(_greet, True, id="data comes from a real server only"),
        pytest.param(_ignore, False, id="an accepted connection proves nothing"),
        pytest.param(_close_late, False, id="the end may be the proxy's own"),
        pytest.param(_close_at_once, False, id="accepts and closes"),
    ],
)
async def test_with_real_servers_that_refuse(at_the_vip: Behaviour, expected: bool, refused_port: int) -> None:
    async with _listening(at_the_vip) as vip:
        assert await _probe(vip, refused_port) is expected


async def test_an_end_counts_where_the_way_of_our_own_is_barred(blackhole_port: int) -> None:
    """A proxy would wait longer than we do for a real server that keeps silent: the end is a real server's."""
    async with _listening(_echo) as vip:
        assert await _probe(vip, blackhole_port) is True


async def test_silence_everywhere_is_no_answer(blackhole_port: int) -> None:
    async with _listening(_ignore) as vip:
        assert await _probe(vip, blackhole_port) is False


async def test_nobody_at_the_vip(refused_port: int, blackhole_port: int) -> None:
    async with _listening(_echo) as real_server:
        assert await _probe(refused_port, real_server) is False
        assert await _probe(blackhole_port, real_server) is False


@pytest.mark.parametrize("turn", [0, 1, 2])
async def test_one_good_real_server_among_bad_ones_is_found(turn: int, refused_port: int, blackhole_port: int) -> None:
    async with _listening(_ignore) as vip, _listening(_ignore) as good:
        assert await _probe(vip, refused_port, blackhole_port, good, turn=turn) is True


async def test_turns_begin_with_another_real_server() -> None:
    met: list[str] = []

    def noting(name: str) -> Behaviour:
        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.append(name)
            await reader.read(1)

        return note

    async with _listening(_greet) as vip, _listening(noting("a")) as one, _listening(noting("b")) as other:
        for turn in range(4):
            await _probe(vip, one, other, turn=turn)
    assert sorted(met) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_real_servers_are_dialled_where_they_can_be_seen(protocol: str, refused_port: int) -> None:
    async with _listening(_ignore) as vip_tcp, _listening(_ignore) as tcp, _udp() as vip_udp, _udp() as udp:
        vip, seen = (vip_tcp, tcp) if protocol == "tcp" else (vip_udp, udp)
        kept_port = (RealServer("127.0.0.1", refused_port, check_port=seen),)
        server = msgspec.structs.replace(a_virtual_server(f"127.0.0.1:{vip}/{protocol}"), real_servers=kept_port)
        assert await probe(server, patience=QUICK) is True


async def test_no_more_real_servers_are_dialled_than_agreed(refused_port: int) -> None:
    async with _listening(_ignore) as vip, _listening(_echo) as good:
        backends = [refused_port, good]
        patience = Patience(**{name: getattr(QUICK, name) for name in ("connect", "settle", "answer")}, sample=1)
        assert {await _probe(vip, *backends, turn=turn, patience=patience) for turn in (0, 1)} == {True, False}


async def test_a_quick_answer_takes_no_longer_than_the_settling() -> None:
    loop = asyncio.get_running_loop()
    async with _listening(_echo) as vip, _listening(_echo) as real_server:
        began = loop.time()
        assert await _probe(vip, real_server, patience=Patience()) is True
        assert loop.time() - began < 0.2


@contextlib.asynccontextmanager
async def _udp(address: str = "127.0.0.1") -> AsyncIterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind((address, 0))
        yield bound.getsockname()[1]


async def test_udp_is_taken_to_answer_unless_every_host_says_that_nobody_listens(refused_port: int) -> None:
    async with _udp() as vip, _udp() as silent:
        nobody = f"127.0.0.1:{refused_port}"
        for backends, expected in (
            ([f"127.0.0.1:{silent}"], True),
            ([nobody], False),
            ([nobody, f"127.0.0.1:{silent}"], True),
        ):
            server = a_virtual_server(f"127.0.0.1:{vip}/udp", backends)
            assert [await probe(server, turn=turn, patience=QUICK) for turn in (0, 1)] == [expected] * 2


async def test_udp_needs_somebody_at_the_vip(refused_port: int) -> None:
    async with _udp() as silent:
        server = a_virtual_server(f"127.0.0.1:{refused_port}/udp", [f"127.0.0.1:{silent}"])
        assert await probe(server, patience=QUICK) is False


async def test_udp_over_ipv6() -> None:
    async with _udp("::1") as vip, _udp("::1") as silent:
        assert await probe(a_virtual_server(f"[::1]:{vip}/udp", [f"[::1]:{silent}"]), patience=QUICK) is True


@pytest.mark.parametrize(("ranges", "comes_from"), [(("192.0.2.0/24",), "127.0.0.9"), ((), "127.0.0.1")])
async def test_only_what_lets_in_some_is_probed_from_where_probes_are_let_in(
    ranges: tuple[str, ...], comes_from: str
) -> None:
    seen: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await _echo(reader, writer)

    async with _listening(note) as vip, _listening(_echo) as backend:
        server = a_virtual_server(f"127.0.0.1:{vip}/tcp", [f"127.0.0.1:{backend}"])
        guarded = msgspec.structs.replace(server, source_ranges=ranges)
        for sources, expected in (({Family.IPV4: "127.0.0.9"}, comes_from), ({}, "127.0.0.1")):
            assert await probe(guarded, sources=sources, patience=QUICK) is True
            assert seen.pop() == expected


async def test_a_probe_that_cannot_come_from_there_says_nothing() -> None:
    async with _listening(_echo) as vip, _listening(_echo) as backend:
        server = a_virtual_server(f"127.0.0.1:{vip}/tcp", [f"127.0.0.1:{backend}"])
        guarded = msgspec.structs.replace(server, source_ranges=("192.0.2.0/24",))
        assert await probe(guarded, sources={Family.IPV4: "192.0.2.1"}, patience=QUICK) is None


async def test_without_real_servers_there_is_no_word() -> None:
    assert await probe(a_virtual_server(real_servers=()), patience=QUICK) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL])
async def test_a_host_that_lacks_means_says_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> socket.socket:
        raise OSError(number, "lacking")

    monkeypatch.setattr("socket.socket", lacking)
    for protocol in ("tcp", "udp"):
        assert await probe(a_virtual_server(f"127.0.0.1:9/{protocol}", ["127.0.0.1:9"]), patience=QUICK) is None


async def test_a_cancelled_probe_leaves_no_socket_behind(blackhole_port: int) -> None:
    async with _listening(_ignore) as vip:
        server = a_virtual_server(f"127.0.0.1:{vip}/tcp", [f"127.0.0.1:{blackhole_port}"])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await probe(server)
