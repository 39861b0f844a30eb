"""Ask one child whether it is ready. Blocking, with short timeouts, and always with an answer: None or what is wrong.

It knows HTTP, TLS and unix sockets, and nothing of who is asked.
"""

import contextlib
import http.client
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One GET that answers 200 when its server is ready."""

    url: str
    token: str = ""
    authority: Path | None = None
    """Certificates to trust for https; without, whatever loopback shows is taken."""
    socket: Path | None = None
    """Dial this unix socket instead of the url's host and port."""
    timeout: float = 2.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Dial the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def trouble(probe: Probe) -> str | None:
    """None if the server is ready; otherwise why it is not."""
    try:
        status, body = get(probe)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return f"{probe.url}: {problem}"
    if status == http.HTTPStatus.OK:
        return None
    return f"{probe.url}: {status} {body[:300].decode(errors='replace').strip()}"


def get(probe: Probe) -> tuple[int, bytes]:
    """Status and body of one GET."""
    target = urlsplit(probe.url)
    headers = {"Authorization": f"Bearer {probe.token}"} if probe.token else {}
    with contextlib.closing(_connection(probe)) as connection:
        connection.request("GET", target.path or "/", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _connection(probe: Probe) -> http.client.HTTPConnection:
    """The right kind of connection for the probe."""
    target = urlsplit(probe.url)
    if probe.socket is not None:
        return _UnixConnection(probe.socket, probe.timeout)
    host, port = target.hostname or "127.0.0.1", target.port or 80
    if target.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=probe.timeout)
    return http.client.HTTPSConnection(host, port, timeout=probe.timeout, context=_trust(probe.authority))


def _trust(authority: Path | None) -> ssl.SSLContext:
    """What is given, or anybody; reading the system's own authorities would cost more than the whole probe."""
    if authority is not None:
        return ssl.create_default_context(cafile=authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
