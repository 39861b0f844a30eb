"""Is the process alive, and is it ready? Readiness is the sum of named gates; nothing else decides it.

`/healthz` is answered by the event loop itself, so an answer proves that the loop turns. This module must not know
what a gate stands for.
"""

import os

import msgspec
from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry

import fleetlb
from fleetlb.runtime.scraping import scrape


class Gate:
    """One condition of readiness; closed until opened."""

    def __init__(self, reason: str) -> None:
        """Closed, for a reason."""
        self._reason: str | None = reason

    @property
    def is_open(self) -> bool:
        """Whether the condition holds."""
        return self._reason is None

    @property
    def reason(self) -> str:
        """Why it is closed; empty when it is open."""
        return self._reason or ""

    def open(self) -> None:
        """The condition holds."""
        self._reason = None

    def close(self, reason: str) -> None:
        """The condition does not hold (any more)."""
        self._reason = reason

    def mind(self, objection: str) -> None:
        """Closed while there is an objection, open without one (an empty text)."""
        self._reason = objection or None


class ClosedGate(msgspec.Struct, frozen=True):
    """One reason not to be ready."""

    gate: str
    reason: str


class Health:
    """The gates of one process. Without any gate it is not ready: its set-up has not come that far."""

    def __init__(self, service: str) -> None:
        """No gates yet."""
        self.service = service
        self._gates: dict[str, Gate] = {}

    def gate(self, name: str, reason: str = "not reached yet") -> Gate:
        """The gate of this name, made closed if it is new."""
        if name not in self._gates:
            self._gates[name] = Gate(reason)
        return self._gates[name]

    def open_gate(self, name: str) -> Gate:
        """The gate of this name, which is open unless somebody closes it."""
        gate = self.gate(name)
        gate.open()
        return gate

    @property
    def closed(self) -> tuple[ClosedGate, ...]:
        """Every reason not to be ready, in the order in which the gates were made."""
        if not self._gates:
            return (ClosedGate("start", "starting"),)
        return tuple(ClosedGate(name, gate.reason) for name, gate in self._gates.items() if not gate.is_open)

    @property
    def ready(self) -> bool:
        """Whether every gate is open."""
        return not self.closed


def health_app(health: Health, registry: CollectorRegistry = REGISTRY) -> web.Application:
    """The three pages of a service."""

    async def healthz(_: web.Request) -> web.Response:
        return _json({"service": health.service, "version": fleetlb.__version__, "pid": os.getpid()}, 200)

    async def readyz(_: web.Request) -> web.Response:
        closed = health.closed
        return _json({"ready": not closed, "closed": closed}, 503 if closed else 200)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await scrape(registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
