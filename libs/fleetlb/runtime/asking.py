"""Asks a process of this machine whether it is well: the health check of a container, which has no shell and no curl.

    python -m fleetlb.runtime.asking                      /readyz of the service that FLEETLB_HTTP_ADDRESS is about
    python -m fleetlb.runtime.asking http://HOST:PORT/PATH      or https://, whatever certificate is shown
    python -m fleetlb.runtime.asking SOCKET PATH          HTTP over a unix socket

Exit code 0 after a 200, 1 after anything else, with the reason. Standard library only, and nothing of fleetlb: other
images have it as a file.
"""

import contextlib
import http.client
import os
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2.0
_DEFAULT_ADDRESS = "0.0.0.0:8080"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Dial the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def own_url(environ: Mapping[str, str]) -> str:
    """Where the service with this environment says whether it is ready. Raises ValueError."""
    address = environ.get("FLEETLB_HTTP_ADDRESS") or _DEFAULT_ADDRESS
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) == 0:
        raise ValueError(f"FLEETLB_HTTP_ADDRESS={address} has no fixed port: set it to host:port")
    host = host.strip("[]")
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}/readyz" if ":" in host else f"http://{host}:{port}/readyz"


def trouble(arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """None if it is well; otherwise why it is not."""
    try:
        status, body = _get(arguments, environ)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return str(problem) or type(problem).__name__
    return None if status == http.HTTPStatus.OK else f"{status} {body[:300].decode(errors='replace').strip()}"


def _get(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, bytes]:
    if len(arguments) == 2:
        connection: http.client.HTTPConnection = _UnixConnection(arguments[0])
        path = arguments[1]
    else:
        target = urlsplit(arguments[0] if arguments else own_url(environ))
        connection = _connection(target.scheme, target.hostname or "", target.port)
        path = target.path or "/"
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def main() -> int:
    """Ask once."""
    problem = trouble(sys.argv[1:], os.environ)
    if problem is not None:
        print(problem)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
