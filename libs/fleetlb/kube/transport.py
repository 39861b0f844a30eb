"""HTTP to one API server: one shared session with warm connections, bytes in and bytes out.

Why not the library's REST client: it reads proxies and netrc from the environment at every request (0.4 ms of CPU) and
encodes bodies with the slow json module. Must not know kinds of objects, nor decide what to do about an error.
"""

import asyncio
import contextlib
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp.connector import NEEDS_CLEANUP_CLOSED
from aiohttp.typedefs import LooseHeaders
from yarl import URL

import fleetlb
from fleetlb.kube import kubeconfig as kubeconfigs
from fleetlb.kube.credentials import Credentials
from fleetlb.kube.errors import ApiError, error_from, no_verdict

CONNECT_SECONDS = 5.0
"""A server that takes longer to accept is as good as absent."""
KEEP_ALIVE_SECONDS = 60.0
"""Below the API server's own idle timeout of 90 s, so that a warm connection is never one that it just closed."""

_FIXED_HEADERS = {
    "Accept": "application/json",
    # Compressing costs the server more than the bytes are worth inside a data centre.
    "Accept-Encoding": "identity",
    "User-Agent": f"fleetlb/{fleetlb.__version__}",
}
_NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a request."""

    request_seconds: float = 10.0
    """From waiting for a free slot to the last byte of the answer."""
    concurrent_requests: int = 32
    """More in flight would only queue inside the API server; watches are not counted."""


DEFAULT_TIMING = Timing()


class Answer(NamedTuple):
    """A successful answer."""

    status: int
    body: bytes


class Stream:
    """The body of an answer that is still arriving."""

    def __init__(self, response: aiohttp.ClientResponse, what: str) -> None:
        """`what` names the request in errors."""
        self._response = response
        self._what = what

    async def read(self) -> bytes:
        """Whatever has arrived, at least one byte; empty at the end. Raises Unavailable."""
        try:
            return await self._response.content.readany()
        except _NO_ANSWER as problem:
            raise no_verdict(self._what, problem) from problem


class Transport:
    """Requests to one API server."""

    def __init__(
        self, session: aiohttp.ClientSession, loaded: kubeconfigs.Loaded, credentials: Credentials, timing: Timing
    ) -> None:
        """Use `open_transport`."""
        configuration = loaded.configuration
        self._session = session
        self._credentials = credentials
        self._base = configuration.host.rstrip("/")
        self._proxy = configuration.proxy or proxy_of_environment(self._base)
        self._server_name = configuration.tls_server_name
        self._timing = timing
        self._slots = asyncio.Semaphore(timing.concurrent_requests)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)

    async def request(self, method: str, target: str, body: bytes = b"", content_type: str = "") -> Answer:
        """Send one request and read its whole answer. Raises an ApiError; Unavailable means unknown outcome."""
        try:
            async with asyncio.timeout(self._timing.request_seconds), self._slots:
                headers = await self._credentials.headers()
                try:
                    return await self._exchange(method, target, body, content_type, headers)
                except ApiError as refusal:
                    if refusal.status != 401 or not await self._credentials.reload(headers):
                        raise
                return await self._exchange(method, target, body, content_type, await self._credentials.headers())
        except _NO_ANSWER as problem:
            raise no_verdict(_words(method, target), problem) from problem

    async def _exchange(
        self, method: str, target: str, body: bytes, content_type: str, headers: Mapping[str, str]
    ) -> Answer:
        if content_type:
            headers = {**headers, "Content-Type": content_type}
        async with self._send(method, target, headers, self._timeout, body) as response:
            content = await response.read()
            if response.status >= 300:
                raise error_from(_words(method, target), response.status, content, response.headers)
            return Answer(response.status, content)

    @contextlib.asynccontextmanager
    async def stream(self, target: str, read_timeout: float) -> AsyncIterator[Stream]:
        """GET an answer that arrives for a long time; no byte for `read_timeout` seconds raises Unavailable."""
        what = _words("GET", target)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._timing.request_seconds):
                    response = await self._open(target, read_timeout)
                    stack.callback(_abort, response)
                    if response.status >= 300:
                        raise error_from(what, response.status, await response.read(), response.headers)
            except _NO_ANSWER as problem:
                raise no_verdict(what, problem) from problem
            yield Stream(response, what)

    async def _open(self, target: str, read_timeout: float) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=read_timeout)
        headers = await self._credentials.headers()
        response = await self._send("GET", target, headers, timeout)
        if response.status == 401 and await self._credentials.reload(headers):
            response.close()
            response = await self._send("GET", target, await self._credentials.headers(), timeout)
        return response

    def _send(
        self,
        method: str,
        target: str,
        headers: LooseHeaders,
        timeout: aiohttp.ClientTimeout,
        body: bytes = b"",
    ) -> aiohttp.client._RequestContextManager:
        return self._session.request(
            method,
            URL(self._base + target, encoded=True),
            data=body or None,
            headers=headers,
            timeout=timeout,
            proxy=self._proxy,
            server_hostname=self._server_name,
            allow_redirects=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        # Seen with CPython 3.11.2, raised when a TLS transport that is closed already is aborted once more.
        with contextlib.suppress(AttributeError):
            await self._session.close()
        for _ in range(3):  # an aborted TLS connection closes its socket a few turns of the loop later
            await asyncio.sleep(0)


async def open_transport(kubeconfig: Path | None, timing: Timing = DEFAULT_TIMING) -> Transport:
    """Read the credentials and make a session; contacts nobody yet. Raises KubeconfigUnusable."""

    async def load() -> kubeconfigs.Loaded:
        return await kubeconfigs.load(kubeconfig)

    loaded = await load()
    connector = aiohttp.TCPConnector(
        limit=0,
        ssl=_tls(loaded.configuration) if loaded.configuration.host.startswith("https:") else True,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        socket_factory=_socket,
        # Connections of cancelled requests: aborted after two seconds rather than waiting half a minute for the peer.
        enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
    )
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=256 * 1024)
    return Transport(session, loaded, Credentials(loaded, load, fixed=_FIXED_HEADERS), timing)


def proxy_of_environment(base: str) -> str | None:
    """The proxy that the usual variables name for a server, as kubectl would use it: never for loopback."""
    parts = urllib.parse.urlsplit(base)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _abort(response: aiohttp.ClientResponse) -> None:
    """Close a stream at once: neither drained, which could take for ever, nor waiting for the peer's goodbye."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()


def _words(method: str, target: str) -> str:
    """How errors name a request: without its query, where continue tokens are long."""
    return f"{method} {target.partition('?')[0]}"


def _tls(configuration: kubeconfigs.Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.disable_strict_ssl_verification:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose half-open connection is noticed in half a minute: a watch may otherwise be silent for minutes."""
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if option := getattr(socket, name, None):
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
