"""Against real sockets, as far as the loopback can play a network."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from fleetlb_dataplane_programmer.dialling import Reach, reach


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
