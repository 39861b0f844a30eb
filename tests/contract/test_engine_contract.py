"""One suite for every engine: the fake must not promise what a real data plane does not keep."""

import asyncio
import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from typing import Protocol as Port

import msgspec
import pytest

from fleetlb.domain.capabilities import Capability
from fleetlb.domain.virtual_servers import Scheduler, VirtualServer, VirtualServerKey
from fleetlb.testkit.envoy_process import ENVOY, EnvoyProcess
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb.testkit.surroundings import NoSurroundings
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer import envoy_admin
from fleetlb_dataplane_programmer.engine import Engine, Outcome, State
from fleetlb_dataplane_programmer.engine_fake import FakeEngine
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap, command
from fleetlb_dataplane_programmer.envoy.engine import EnvoyEngine
from fleetlb_dataplane_programmer.ipvs.engine import IpvsEngine, Terms
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from fleetlb_dataplane_programmer.ipvs.translating import virtual_server_key

# A /24 of loopback per process, so that concurrent runs do not meet.
_HOSTS = (f"127.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250}.{host}" for host in itertools.cycle(range(1, 255)))

Outcomes = list[tuple[VirtualServerKey, Outcome]]


class Plane(Port):
    """A data plane that outlives its engines."""

    async def programmer(self, outcomes: Outcomes) -> Engine:
        """A new engine on it, in place of the one before."""

    async def holds(self) -> frozenset[VirtualServerKey]:
        """What it serves."""


class FakePlane:
    def __init__(self) -> None:
        self._plane: dict[VirtualServerKey, VirtualServer] = {}

    async def programmer(self, outcomes: Outcomes) -> Engine:
        return FakeEngine(lambda key, outcome: outcomes.append((key, outcome)), self._plane)

    async def holds(self) -> frozenset[VirtualServerKey]:
        return frozenset(self._plane)


class EnvoyPlane:
    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        made = bootstrap(node="node-1", group="test", ads_socket=folder / "ads", admin=str(folder / "admin"))
        self.envoy = EnvoyProcess(folder, made, functools.partial(command, ENVOY, concurrency=1))
        self._engine: EnvoyEngine | None = None

    async def programmer(self, outcomes: Outcomes) -> Engine:
        await self.stop()
        self._engine = EnvoyEngine(self._folder / "ads", lambda key, outcome: outcomes.append((key, outcome)))
        await self._engine.start()
        return self._engine

    async def holds(self) -> frozenset[VirtualServerKey]:
        held = await envoy_admin.listeners(str(self._folder / "admin"))
        assert held is not None
        return held

    async def stop(self) -> None:
        if self._engine is not None:
            await self._engine.stop()


@contextlib.asynccontextmanager
async def _envoy_plane() -> AsyncIterator[EnvoyPlane]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="flb"))  # a unix socket's path must be short
    plane = EnvoyPlane(folder)
    try:
        await plane.envoy.start()
        yield plane
    finally:
        await plane.stop()
        await plane.envoy.stop()
        shutil.rmtree(folder)


class IpvsPlane:
    def __init__(self, namespace: Namespace, tasks: asyncio.TaskGroup) -> None:
        self._namespace, self._tasks = namespace, tasks
        self._engine: IpvsEngine | None = None
        self._running: asyncio.Task[None] | None = None

    async def programmer(self, outcomes: Outcomes) -> Engine:
        await self.stop()
        self._engine = IpvsEngine(
            lambda key, outcome: outcomes.append((key, outcome)),
            NoSurroundings(),
            open_kernel=self._open,
            terms=Terms(max_maglev=1),
        )
        self._running = self._tasks.create_task(self._engine.run())
        return self._engine

    async def holds(self) -> frozenset[VirtualServerKey]:
        with contextlib.closing(self._open()) as kernel:
            return frozenset(key for service in kernel.services() if (key := virtual_server_key(service.key)))

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    def _open(self) -> Kernel:
        with self._namespace.entered():
            return Kernel()


@contextlib.asynccontextmanager
async def _ipvs_plane() -> AsyncIterator[IpvsPlane]:
    namespace = await asyncio.to_thread(Namespace, "node")  # it has a loop of its own
    async with asyncio.TaskGroup() as tasks:
        plane = IpvsPlane(namespace, tasks)
        yield plane
        await plane.stop()
    await asyncio.to_thread(namespace.close)


@pytest.fixture(
    params=[
        "fake",
        pytest.param("envoy", marks=pytest.mark.integration),
        pytest.param("ipvs", marks=pytest.mark.ipvs),
    ]
)
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    if request.param == "fake":
        yield FakePlane()
        return
    async with _ipvs_plane() if request.param == "ipvs" else _envoy_plane() as real:
        yield real


def _server(*real_servers: str, protocol: str = "tcp") -> VirtualServer:
    server = a_virtual_server(f"{next(_HOSTS)}:20443/{protocol}", real_servers or ("127.0.0.1:9",))
    return msgspec.structs.replace(server, prefix="127.192.0.0/10")


def _told(outcomes: Outcomes, key: VirtualServerKey, token: int) -> State | None:
    """The last state told of a wish."""
    states = [outcome.state for about, outcome in outcomes if about == key and outcome.token == token]
    return states[-1] if states else None


def _is_programmed(outcomes: Outcomes, key: VirtualServerKey, token: int) -> bool:
    return _told(outcomes, key, token) is State.PROGRAMMED


async def _until_held(plane: Plane, *keys: VirtualServerKey) -> None:
    async with asyncio.timeout(5):
        while await plane.holds() != frozenset(keys):  # noqa: ASYNC110 (only the data plane knows)
            await asyncio.sleep(0.01)


async def test_a_wish_is_programmed_and_told_with_its_token(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    tcp, udp = _server(), _server(protocol="udp")
    engine.apply(tcp, 11)
    engine.apply(udp, 12)
    await eventually(lambda: _told(outcomes, tcp.key, 11) and _told(outcomes, udp.key, 12))
    assert {outcome.state for _, outcome in outcomes} == {State.PROGRAMMED}
    await _until_held(plane, tcp.key, udp.key)


async def test_a_change_is_told_with_the_token_of_the_change(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    server = _server()
    for token, changed in enumerate(
        [
            server,
            msgspec.structs.replace(server, real_servers=a_virtual_server(real_servers=["127.0.0.1:10"]).real_servers),
            msgspec.structs.replace(server, real_servers=()),
            msgspec.structs.replace(server, scheduler=Scheduler.MAGLEV),
            msgspec.structs.replace(server, source_ranges=("192.0.2.0/24",)),
            msgspec.structs.replace(server, source_ranges=("192.0.2.0/24", "198.51.100.0/24")),
            server,
        ],
        start=1,
    ):
        engine.apply(changed, token)
        await eventually(functools.partial(_is_programmed, outcomes, server.key, token))


async def test_the_same_wish_under_a_new_token_is_told_again(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    server = _server()
    for token in (1, 2, 3):
        engine.apply(server, token)
        await eventually(functools.partial(_is_programmed, outcomes, server.key, token))


async def test_of_two_wishes_at_once_the_later_is_told(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    server = _server()
    engine.apply(server, 1)
    engine.apply(msgspec.structs.replace(server, real_servers=()), 2)
    await eventually(lambda: _told(outcomes, server.key, 2) is State.PROGRAMMED)
    assert outcomes[-1][1].token == 2


async def test_a_removal_is_done_and_told_also_for_a_key_never_heard_of(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    server, stranger = _server(), _server()
    engine.apply(server, 1)
    await eventually(lambda: _told(outcomes, server.key, 1))
    engine.remove(server.key, 2)
    engine.remove(stranger.key, 3)
    await eventually(lambda: _told(outcomes, server.key, 2) and _told(outcomes, stranger.key, 3))
    assert [outcome.state for _, outcome in outcomes[1:]] == [State.REMOVED, State.REMOVED]
    await _until_held(plane)
    engine.apply(server, 4)
    await eventually(lambda: _told(outcomes, server.key, 4) is State.PROGRAMMED)


async def test_nothing_is_done_or_told_before_it_is_complete(plane: Plane) -> None:
    first: Outcomes = []
    engine = await plane.programmer(first)
    engine.complete()
    old = _server()
    engine.apply(old, 1)
    await eventually(lambda: _told(first, old.key, 1))

    second: Outcomes = []
    engine = await plane.programmer(second)
    new = _server()
    engine.apply(new, 1)
    await asyncio.sleep(0.1)  # nothing can be waited for: nothing happens
    assert await plane.holds() == {old.key}
    assert second == []
    engine.complete()
    await eventually(lambda: _told(second, new.key, 1))
    await _until_held(plane, new.key)


async def test_a_new_programmer_is_told_of_what_stands_and_what_is_gone(plane: Plane) -> None:
    first: Outcomes = []
    engine = await plane.programmer(first)
    engine.complete()
    kept, dropped = _server(), _server()
    engine.apply(kept, 1)
    engine.apply(dropped, 2)
    await eventually(lambda: _told(first, kept.key, 1) and _told(first, dropped.key, 2))

    second: Outcomes = []
    engine = await plane.programmer(second)
    engine.apply(kept, 7)
    engine.remove(dropped.key, 8)
    engine.complete()
    await eventually(lambda: _told(second, kept.key, 7) and _told(second, dropped.key, 8))
    assert dict(second) == {
        kept.key: Outcome(state=State.PROGRAMMED, token=7),
        dropped.key: Outcome(state=State.REMOVED, token=8),
    }
    await _until_held(plane, kept.key)


async def test_what_is_refused_leaves_others_alone(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    refused, good = _server(), _server()
    if isinstance(engine, FakeEngine):
        engine.rejecting[refused.key] = "cannot bind"
    if isinstance(engine, IpvsEngine):  # nothing is bound there, but there is room for one virtual server with mh
        filler = msgspec.structs.replace(_server(), scheduler=Scheduler.MAGLEV)
        engine.apply(filler, 9)
        await eventually(lambda: _told(outcomes, filler.key, 9) is State.PROGRAMMED)
        refused = msgspec.structs.replace(refused, scheduler=Scheduler.MAGLEV)
    with socket.create_server((refused.key.address, refused.key.port)):
        engine.apply(refused, 1)
        engine.apply(good, 2)
        await eventually(lambda: _told(outcomes, good.key, 2) and _told(outcomes, refused.key, 1))
    assert _told(outcomes, good.key, 2) is State.PROGRAMMED
    (rejection,) = [outcome for key, outcome in outcomes if key == refused.key]
    assert rejection.state is State.REJECTED
    assert ("scheduler mh" if isinstance(engine, IpvsEngine) else "cannot bind") in rejection.message


async def test_SRC_5_what_is_asked_for_is_programmed_by_who_says_to_be_able_and_refused_by_others(plane: Plane) -> None:
    outcomes: Outcomes = []
    engine = await plane.programmer(outcomes)
    engine.complete()
    for token, (capability, asked) in enumerate(
        {
            "source-ranges": msgspec.structs.replace(_server(), source_ranges=("192.0.2.0/24",)),
            "proxy-protocol": msgspec.structs.replace(_server(), proxy_protocol=True),
        }.items()
    ):
        engine.apply(asked, token)
        told = functools.partial(_told, outcomes, asked.key, token)
        await eventually(told)
        assert told() is (State.PROGRAMMED if capability in engine.capabilities else State.REJECTED)


async def test_engines_say_what_they_can_do(plane: Plane) -> None:
    engine = await plane.programmer([])
    assert engine.name
    assert {"tcp", "udp"} <= engine.capabilities <= set(Capability)
