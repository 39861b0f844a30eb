"""Ready, not ready, and why."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleetlb_cli.local import probes
from fleetlb_cli.local.probes import Probe


@contextmanager
def answering(server: socket.socket, answer: bytes) -> Iterator[list[bytes]]:
    """A server of one request."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(4096))
            connection.sendall(answer)

    server.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    yield asked
    thread.join(10)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/readyz"


def test_200_is_ready(server: socket.socket) -> None:
    with answering(server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as asked:
        assert probes.trouble(Probe(url=url_of(server), token="t")) is None
    assert asked[0].startswith(b"GET /readyz HTTP/1.1")
    assert b"Authorization: Bearer t" in asked[0]


def test_anything_else_is_told(server: socket.socket) -> None:
    with answering(server, b"HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\nbus: off"):
        assert "503 bus: off" in (probes.trouble(Probe(url=url_of(server))) or "")


def test_nonsense_is_trouble(server: socket.socket) -> None:
    with answering(server, b"SSH-2.0-x\r\n"):
        assert probes.trouble(Probe(url=url_of(server))) is not None


def test_nobody_there_is_trouble(server: socket.socket, tmp_path: Path) -> None:
    url = url_of(server)
    server.close()
    assert "refused" in (probes.trouble(Probe(url=url)) or "")
    assert "No such file" in (probes.trouble(Probe(url="http://x/ready", socket=tmp_path / "none")) or "")


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with answering(listening, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
            assert probes.trouble(Probe(url="http://x/ready", socket=tmp_path / "s")) is None
