import os

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

import fleetlb
from fleetlb.runtime.health import Health, health_app


def test_without_any_gate_it_is_not_ready() -> None:
    health = Health("demo")
    assert not health.ready
    assert [closed.gate for closed in health.closed] == ["start"]


def test_it_is_ready_when_every_gate_is_open_and_not_before() -> None:
    health = Health("demo")
    bus, caches = health.gate("bus"), health.gate("caches", "not synced")
    bus.open()
    assert not health.ready
    assert [(closed.gate, closed.reason) for closed in health.closed] == [("caches", "not synced")]
    caches.open()
    assert health.ready
    bus.close("NATS is away")
    assert [(closed.gate, closed.reason) for closed in health.closed] == [("bus", "NATS is away")]


def test_a_gate_may_be_open_until_there_is_an_objection() -> None:
    health = Health("demo")
    gate = health.open_gate("nats-server")
    assert health.ready
    gate.mind("too old")
    assert [(closed.gate, closed.reason) for closed in health.closed] == [("nats-server", "too old")]
    gate.mind("")
    assert health.ready


def test_a_gate_is_made_once() -> None:
    health = Health("demo")
    health.gate("bus").open()
    assert health.gate("bus").is_open
    assert health.gate("bus").reason == ""


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_pages_answer(path: str) -> None:
    health = Health("demo")
    health.gate("bus", "not connected")
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    async with TestClient(TestServer(health_app(health, registry))) as client:
        answer = await client.get(path)
        match path:
            case "/healthz":
                assert answer.status == 200
                expected = {"service": "demo", "version": fleetlb.__version__, "pid": os.getpid()}
                assert await answer.json() == expected
            case "/readyz":
                assert answer.status == 503
                closed = [{"gate": "bus", "reason": "not connected"}]
                assert await answer.json() == {"ready": False, "closed": closed}
                health.gate("bus").open()
                again = await client.get(path)
                assert (again.status, await again.json()) == (200, {"ready": True, "closed": []})
            case "/metrics":
                assert answer.status == 200
                assert answer.headers["Content-Type"].startswith("text/plain")
                assert "things_total 1.0" in await answer.text()
                again = await client.get(path, headers={"Accept": "application/openmetrics-text"})
                assert again.headers["Content-Type"].startswith("application/openmetrics-text")
                assert (await again.text()).endswith("# EOF\n")
