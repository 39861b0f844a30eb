"""gRPC around the sessions: reads Envoy's requests, writes pushes, on a unix socket.

It must not know wishes or outcomes; what to say is the session's business.
"""

import asyncio
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import prometheus_client
import structlog

from fleetlb.domain.errors import FleetlbError
from fleetlb_dataplane_programmer.envoy.delta import Push, Request, Session
from fleetlb_dataplane_programmer.envoy.descriptors import message
from fleetlb_dataplane_programmer.envoy.resources import KINDS, TYPE_URLS, Kind

CONNECTED = prometheus_client.Gauge("fleetlb_envoy_connected", "Envoys connected to this programmer.")
PUSHED = prometheus_client.Counter("fleetlb_envoy_pushed_resources_total", "Resources sent to Envoy.", ["kind"])
REMOVED = prometheus_client.Counter("fleetlb_envoy_removed_resources_total", "Removals sent to Envoy.", ["kind"])
REFUSED = prometheus_client.Counter("fleetlb_envoy_refused_pushes_total", "Pushes that Envoy refused.", ["kind"])
for _kind in Kind:  # from zero on, or the first refusal would be no increase
    REFUSED.labels(_kind.name.lower())

_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # missing from the stubs
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# The longest path that fits a unix socket address.
_MAX_SOCKET_PATH = 107
_END_SECONDS = 2.0
# So many turns of the loop lie between the end of a stream and grpc's own end of it.
_TURNS = 5
# The first request of a stream lists all names that Envoy has; gRPC's default of 4 MB would end at some ten thousand.
_OPTIONS = (("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))

Attach = Callable[[Callable[[], None]], Session]
Detach = Callable[[Session], None]


class AdsServer:
    """The aggregated discovery service, delta flavour, for Envoys on this node."""

    def __init__(self, socket: pathlib.Path, attach: Attach, detach: Detach) -> None:
        """`attach(wake)` gives the session of a new stream; it calls `wake` when there may be something to send."""
        self._socket = socket
        self._attach = attach
        self._detach = detach
        self._server: grpc.aio.Server | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self._log = structlog.get_logger().bind(engine="envoy")

    async def start(self) -> None:
        """Listen on the socket. Raises FleetlbError if it cannot."""
        path = str(self._socket)
        if len(path.encode()) > _MAX_SOCKET_PATH:
            raise FleetlbError(f"the path of the ADS socket is longer than {_MAX_SOCKET_PATH} bytes: {path}")
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            message("envoy.service.discovery.v3.DeltaDiscoveryRequest").FromString,
            message("envoy.service.discovery.v3.DeltaDiscoveryResponse").SerializeToString,
        )
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),)
        )
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as problem:
            raise FleetlbError(f"cannot listen on the ADS socket {path}: {problem}") from problem
        await server.start()
        self._server = server
        logging.getLogger("grpc._cython.cygrpc").addFilter(is_no_cancellation)

    async def stop(self) -> None:
        """End all streams at once, and wait for that: grpc prints a stack trace for any that the loop ends."""
        if self._server is None:
            return
        await self._server.stop(None)
        self._server = None
        if self._streams:
            await asyncio.wait(self._streams, timeout=_END_SECONDS)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def _stream(self, _requests: Any, context: Any) -> None:
        request = await context.read()
        if request is _EOF:
            return  # it never said what it is
        wake = asyncio.Event()
        session = self._attach(wake.set)
        CONNECTED.inc()
        if (task := asyncio.current_task()) is not None:
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send(session, wake, context), name="ads sender")
                while request is not _EOF:
                    self._receive(session, request)
                    wake.set()
                    request = await context.read()
                sender.cancel()
        except Exception:
            self._log.exception("a stream of envoy failed; it will connect again")
            raise
        finally:
            CONNECTED.dec()
            self._detach(session)

    def _receive(self, session: Session, request: Any) -> None:
        kind = KINDS.get(request.type_url)
        if kind is None:
            self._log.warning("envoy asks for a type that is not served", type_url=request.type_url)
            return
        taken = _request(kind, request)
        if taken.error is not None:
            REFUSED.labels(kind.name.lower()).inc()
            self._log.warning("envoy refused a push", kind=kind.name.lower(), error=taken.error[:2048])
        session.receive(taken, asyncio.get_running_loop().time())

    async def _send(self, session: Session, wake: asyncio.Event, context: Any) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wake.clear()
            for push in session.poll(loop.time()):
                await context.write(_response(push))
                PUSHED.labels(push.kind.name.lower()).inc(len(push.resources))
                REMOVED.labels(push.kind.name.lower()).inc(len(push.removed))
            due = session.next_due()
            timer = None if due is None else loop.call_at(due, wake.set)
            try:
                await wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a record of grpc's is worth a line: it calls the end of a stream whose Envoy is gone an error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _request(kind: Kind, request: Any) -> Request:
    return Request(
        kind=kind,
        nonce=request.response_nonce,
        error=request.error_detail.message if request.HasField("error_detail") else None,
        versions=dict(request.initial_resource_versions),
    )


def _response(push: Push) -> Any:
    type_url = TYPE_URLS[push.kind]
    return message("envoy.service.discovery.v3.DeltaDiscoveryResponse")(
        type_url=type_url,
        nonce=push.nonce,
        resources=[
            {"name": name, "version": resource.version, "resource": {"type_url": type_url, "value": resource.body}}
            for name, resource in push.resources
        ],
        removed_resources=push.removed,
    )
