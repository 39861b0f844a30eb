"""The health check of a container, against real little servers."""

import http.server
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from fleetlb.runtime.asking import own_url, trouble


class _Answer(http.server.BaseHTTPRequestHandler):
    """200 at /readyz, 503 elsewhere."""

    def do_GET(self) -> None:
        well = self.path == "/readyz"
        body = b"yes" if well else b"not reached yet"
        self.send_response(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Answer)
    with serving(server):
        yield server.server_port


def test_a_service_that_is_ready_is_well(port: int) -> None:
    assert trouble([], {"FLEETLB_HTTP_ADDRESS": f"0.0.0.0:{port}"}) is None


def test_another_answer_is_told(port: int) -> None:
    assert trouble([f"http://127.0.0.1:{port}/healthz"], {}) == "503 not reached yet"


def test_nobody_there_is_told() -> None:
    assert "Connection refused" in (trouble(["http://127.0.0.1:1/readyz"], {}) or "")


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "envoy")
    with serving(socketserver.UnixStreamServer(path, _Answer)):
        assert trouble([path, "/readyz"], {}) is None
        assert trouble([path, "/other"], {}) == "503 not reached yet"
    assert "No such file" in (trouble([str(tmp_path / "nobody"), "/ready"], {}) or "")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("", "http://127.0.0.1:8080/readyz"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000/readyz"),
        ("[::]:9000", "http://[::1]:9000/readyz"),
        ("192.0.2.7:8080", "http://192.0.2.7:8080/readyz"),
    ],
)
def test_the_address_that_a_service_listens_on_is_asked(address: str, url: str) -> None:
    assert own_url({"FLEETLB_HTTP_ADDRESS": address}) == url


def test_a_port_that_is_free_to_choose_cannot_be_asked() -> None:
    assert trouble([], {"FLEETLB_HTTP_ADDRESS": "127.0.0.1:0"}) == (
        "FLEETLB_HTTP_ADDRESS=127.0.0.1:0 has no fixed port: set it to host:port"
    )


def test_it_is_a_program_of_the_standard_library_alone(port: int) -> None:
    file = Path(__file__).resolve().parents[4] / "libs" / "fleetlb" / "runtime" / "asking.py"
    for path, code in (("/readyz", 0), ("/other", 1)):
        command = [sys.executable, "-I", "-S", str(file), f"http://127.0.0.1:{port}{path}"]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code
