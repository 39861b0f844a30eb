"""Against real sockets, as far as the loopback can play a network."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from fleetlb_dataplane_programmer.dialling import Reach, ask_health, reach


@contextlib.contextmanager
def _bound(address: str = "127.0.0.1", *, backlog: int | None = None) -> Iterator[int]:
    """A port held by the test, that takes connections if it has a backlog."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as held:
        held.bind((address, 0))
        if backlog is not None:
            held.listen(backlog)
        yield held.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_who_takes_connections_is_reached(address: str) -> None:
    with _bound(address, backlog=8) as port:
        assert await reach(address, port, 1.0) is Reach.REACHED


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_port_where_nobody_listens_is_refused_by_its_host(address: str) -> None:
    with _bound(address) as port:
        assert await reach(address, port, 1.0) is Reach.REFUSED


async def test_a_full_queue_keeps_silent() -> None:
    with _bound(backlog=0) as port, contextlib.ExitStack() as stack:
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        assert await reach("127.0.0.1", port, 0.1) is Reach.SILENT


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ECONNREFUSED, Reach.REFUSED),
        (errno.EHOSTUNREACH, Reach.UNREACHABLE),
        (errno.ENETUNREACH, Reach.UNREACHABLE),
        (errno.ETIMEDOUT, Reach.SILENT),
    ],
)
async def test_only_what_the_host_itself_says_is_a_sign_of_life(
    number: int, expected: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise OSError(number, "said the network")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", failing, raising=False)
    assert await reach("127.0.0.1", 9, 1.0) is expected
    assert expected.was_heard is (expected is Reach.REFUSED)
    assert await ask_health("127.0.0.1", 9, 1.0) is expected


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
async def test_a_lack_of_means_is_raised(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> socket.socket:
        raise OSError(number, "lacking")

    monkeypatch.setattr("socket.socket", lacking)
    with pytest.raises(OSError, match="lacking") as caught:
        await reach("127.0.0.1", 9, 1.0)
    assert caught.value.errno == number


async def test_who_is_reached_sees_a_connection_that_ends_in_order() -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.put(await reader.read())  # raises ConnectionResetError if it does not
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await reach("127.0.0.1", server.sockets[0].getsockname()[1], 1.0) is Reach.REACHED
        async with asyncio.timeout(5):
            assert await seen.get() == b""


class Says:
    """A node that answers as told, and remembers what it was asked."""

    def __init__(self, *pieces: bytes, stays: bool = False) -> None:
        self.pieces = pieces
        self.stays = stays
        self.requests: list[bytes] = []
        self.goodbyes: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if self.stays:
                await self.goodbyes.put(await reader.read())
        finally:
            writer.close()

    async def asked(self, seconds: float = 5.0, address: str = "127.0.0.1") -> Reach:
        server = await asyncio.start_server(self, address, 0)
        async with server:
            return await ask_health(address, server.sockets[0].getsockname()[1], seconds)


KUBE_PROXY = (
    b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
    b"X-Load-Balancing-Endpoint-Weight: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([KUBE_PROXY % b"200 OK"], Reach.REACHED),
        ([KUBE_PROXY % b"503 Service Unavailable"], Reach.DECLINED),
        ([b"HTTP/1.0 200 Fine\r\n\r\n"], Reach.REACHED),
        ([b"HTTP/1.1 200\r\n\r\n"], Reach.REACHED),
        ([b"HTT", b"P/1.1 2", b"00 OK\r\n"], Reach.REACHED),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], Reach.DECLINED),
        ([b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n"], Reach.DECLINED),
        ([b"HTTP/1.1 2000 OK\r\n"], Reach.DECLINED),
        ([b"HTTP/2.0 200 OK\r\n"], Reach.DECLINED),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], Reach.DECLINED),
        ([b"HTTP/1.1 2"], Reach.DECLINED),
        ([], Reach.DECLINED),
    ],
    ids=repr,
)
async def test_ETP_4_only_200_is_a_yes(pieces: list[bytes], expected: Reach) -> None:
    assert await Says(*pieces).asked() is expected
    assert expected.was_heard


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", b"127.0.0.1"), ("::1", b"[::1]")])
async def test_it_asks_for_healthz_as_a_client_of_http_does(address: str, host: bytes) -> None:
    node = Says(KUBE_PROXY % b"200 OK", stays=True)
    assert await node.asked(address=address) is Reach.REACHED
    (request,) = node.requests
    assert request.startswith(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n")
    async with asyncio.timeout(5):
        assert await node.goodbyes.get() == b"", "and parts in good order"


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 "]])
async def test_ETP_4_no_answer_in_time_is_a_no_of_a_living_host(pieces: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await Says(*pieces, stays=True).asked(0.2) is Reach.DECLINED
    assert 0.15 < loop.time() - began < 2.0


async def test_where_nobody_listens_nobody_is_asked() -> None:
    with _bound() as port:
        assert await ask_health("127.0.0.1", port, 1.0) is Reach.REFUSED
    with _bound(backlog=0) as port, contextlib.ExitStack() as stack:
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        assert await ask_health("127.0.0.1", port, 0.1) is Reach.SILENT
