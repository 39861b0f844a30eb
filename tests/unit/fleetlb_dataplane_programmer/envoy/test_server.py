"""The gRPC edge: what is refused, what is ignored, and what happens to a stream that breaks."""

import asyncio
import logging
import pathlib
import socket as socket_module
from collections.abc import AsyncIterator

import pytest

from fleetlb.domain.errors import FleetlbError
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.envoy.delta import Retry, Session
from fleetlb_dataplane_programmer.envoy.server import AdsServer, is_no_cancellation
from fleetlb_dataplane_programmer.envoy.store import Store
from tests.unit.fleetlb_dataplane_programmer.envoy.grpc_envoy import REQUEST, connected, stream
from tests.unit.fleetlb_dataplane_programmer.envoy.model_envoy import ModelEnvoy


class Desk:
    """Hands out sessions on one store, and counts them."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.complete = True
        self.attached = 0
        self.present = 0
        self.fails = False

    def attach(self, wake: object) -> Session:
        self.attached += 1
        self.present += 1
        return Session(self.store, self._stands, retry=Retry())

    def detach(self, session: Session) -> None:
        self.present -= 1

    def _stands(self, name: str, standing: object, message: str) -> None:
        if self.fails:
            raise RuntimeError("a bug")


@pytest.fixture
def desk() -> Desk:
    """No stream yet."""
    return Desk()


@pytest.fixture
async def socket(desk: Desk, tmp_path: pathlib.Path) -> AsyncIterator[pathlib.Path]:
    """A listening server."""
    path = tmp_path / "ads"
    server = AdsServer(path, desk.attach, desk.detach)
    await server.start()
    yield path
    await server.stop()


async def test_a_fresh_envoy_is_greeted(desk: Desk, socket: pathlib.Path) -> None:
    envoy = ModelEnvoy()
    async with connected(envoy, socket):
        await eventually(lambda: len(envoy.received) == 2)
    await eventually(lambda: desk.present == 0)


async def test_a_stream_that_says_nothing_gets_no_session(desk: Desk, socket: pathlib.Path) -> None:
    async with stream(socket) as call:
        await call.done_writing()
        assert await call.read() is not None
    assert desk.attached == 0


async def test_a_type_that_is_not_served_is_ignored(desk: Desk, socket: pathlib.Path) -> None:
    async with stream(socket) as call:
        await call.write(REQUEST(type_url="type.googleapis.com/envoy.config.route.v3.RouteConfiguration"))
        await call.write(REQUEST(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster"))
        answer = await call.read()
        assert answer.type_url.endswith("Cluster")
        await call.done_writing()
    await eventually(lambda: desk.present == 0)


async def test_a_bug_ends_its_stream_and_the_next_one_is_served(desk: Desk, socket: pathlib.Path) -> None:
    desk.store.put("a", None)
    desk.fails = True
    async with stream(socket) as call:
        await call.write(REQUEST(type_url="type.googleapis.com/envoy.config.listener.v3.Listener"))
        await eventually(lambda: desk.attached == 1 and desk.present == 0)
    desk.fails = False
    envoy = ModelEnvoy()
    async with connected(envoy, socket):
        await eventually(lambda: envoy.received)


async def test_a_socket_left_by_a_crash_is_taken_over(desk: Desk, tmp_path: pathlib.Path) -> None:
    with socket_module.socket(socket_module.AF_UNIX) as left:
        left.bind(str(tmp_path / "ads"))
    server = AdsServer(tmp_path / "ads", desk.attach, desk.detach)
    await server.start()
    envoy = ModelEnvoy()
    async with connected(envoy, tmp_path / "ads"):
        await eventually(lambda: envoy.received)
    await server.stop()


@pytest.mark.parametrize("name", ["x" * 200, "missing/ads"], ids=["too long", "no folder"])
async def test_a_socket_that_cannot_be_is_refused_with_its_path(desk: Desk, tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(FleetlbError, match=r"ads|xxx"):
        await AdsServer(tmp_path / name, desk.attach, desk.detach).start()


async def test_stop_without_start_is_nothing(desk: Desk, tmp_path: pathlib.Path) -> None:
    await AdsServer(tmp_path / "ads", desk.attach, desk.detach).stop()


@pytest.mark.parametrize(
    ("problem", "kept"),
    [
        pytest.param(asyncio.CancelledError(), False, id="a-stream-whose-envoy-is-gone"),
        pytest.param(RuntimeError("broken"), True, id="a-failure"),
        pytest.param(None, True, id="a-plain-line"),
    ],
)
def test_the_end_of_a_stream_is_no_error_in_the_log(problem: BaseException | None, kept: bool) -> None:
    told = (type(problem), problem, None) if problem else None
    record = logging.LogRecord("grpc._cython.cygrpc", logging.ERROR, __file__, 1, "not handled", None, told)
    assert is_no_cancellation(record) is kept
