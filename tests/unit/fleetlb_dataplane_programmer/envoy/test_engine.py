"""Wishes in, outcomes out, over a real gRPC stream with a model of Envoy at the other end."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.engine import Engine, Outcome, State
from fleetlb_dataplane_programmer.envoy.delta import Retry
from fleetlb_dataplane_programmer.envoy.engine import EnvoyEngine
from tests.unit.fleetlb_dataplane_programmer.envoy.grpc_envoy import connected
from tests.unit.fleetlb_dataplane_programmer.envoy.model_envoy import ModelEnvoy

KEY = VirtualServerKey("127.77.0.5", 443, Protocol.TCP)
SERVER = VirtualServer(key=KEY, real_servers=(RealServer("10.0.0.1", 30443),))
MOVED = msgspec.structs.replace(SERVER, real_servers=(RealServer("10.0.0.2", 30443),))
OTHER = VirtualServer(key=VirtualServerKey("127.77.0.6", 53, Protocol.UDP))
SCTP = VirtualServer(key=VirtualServerKey("127.77.0.7", 9, Protocol.SCTP))


class Bench:
    """An engine and everything it said."""

    def __init__(self, socket: pathlib.Path) -> None:
        self.socket = socket
        self.outcomes: list[tuple[VirtualServerKey, Outcome]] = []
        self.presence: list[bool] = []
        self.engine = EnvoyEngine(
            socket,
            lambda key, outcome: self.outcomes.append((key, outcome)),
            on_connected=self.presence.append,
            retry=Retry(initial_seconds=0.02, cap_seconds=0.02),
        )

    def told(self, key: VirtualServerKey, state: State, token: int) -> bool:
        return any(k == key and (o.state, o.token) == (state, token) for k, o in self.outcomes)

    async def tell(self, key: VirtualServerKey, state: State, token: int) -> None:
        await eventually(lambda: self.told(key, state, token))


@contextlib.asynccontextmanager
async def running(socket: pathlib.Path) -> AsyncIterator[Bench]:
    bench = Bench(socket)
    await bench.engine.start()
    try:
        yield bench
    finally:
        await bench.engine.stop()


@pytest.fixture
async def bench(tmp_path: pathlib.Path) -> AsyncIterator[Bench]:
    """A running engine that no Envoy has found yet."""
    async with running(tmp_path / "ads") as made:
        yield made


def test_it_is_an_engine(tmp_path: pathlib.Path) -> None:
    engine: Engine = Bench(tmp_path / "ads").engine

    assert engine.name == "envoy"
    assert engine.capabilities == {"tcp", "udp", "affinity", "source-ranges", "proxy-protocol"}


async def test_outcomes_wait_for_an_envoy_and_name_the_token(bench: Bench) -> None:
    bench.engine.apply(SERVER, 7)
    bench.engine.complete()
    assert bench.outcomes == []

    async with connected(ModelEnvoy(), bench.socket):
        await bench.tell(KEY, State.PROGRAMMED, 7)

        bench.engine.apply(MOVED, 8)
        assert len(bench.outcomes) == 1, "never told from within the call"
        await bench.tell(KEY, State.PROGRAMMED, 8)

        bench.engine.remove(KEY, 9)
        await bench.tell(KEY, State.REMOVED, 9)
    assert [(o.state, o.token) for _, o in bench.outcomes] == [
        (State.PROGRAMMED, 7),
        (State.PROGRAMMED, 8),
        (State.REMOVED, 9),
    ]


async def test_the_same_wish_with_a_new_token_is_told_again(bench: Bench) -> None:
    bench.engine.complete()
    async with connected(ModelEnvoy(), bench.socket):
        for token in (1, 2, 2):
            bench.outcomes.clear()
            bench.engine.apply(SERVER, token)
            assert bench.outcomes == []
            await bench.tell(KEY, State.PROGRAMMED, token)


async def test_nothing_reaches_envoy_before_the_wishes_are_complete(bench: Bench) -> None:
    envoy = ModelEnvoy()
    bench.engine.apply(SERVER, 1)
    async with connected(envoy, bench.socket):
        await eventually(lambda: bench.engine.connected)
        assert envoy.received == []
        bench.engine.complete()
        await bench.tell(KEY, State.PROGRAMMED, 1)
        assert envoy.listeners.keys() == {str(KEY)}


async def test_a_restarted_engine_sends_nothing_and_tells_all(tmp_path: pathlib.Path) -> None:
    envoy = ModelEnvoy()
    for token in (1, 2):
        async with running(tmp_path / "ads") as bench:
            bench.engine.apply(SERVER, token)
            bench.engine.apply(OTHER, token)
            bench.engine.complete()
            envoy.received.clear()
            async with connected(envoy, bench.socket):
                await bench.tell(KEY, State.PROGRAMMED, token)
                await bench.tell(OTHER.key, State.PROGRAMMED, token)
    assert envoy.received == []


async def test_what_is_no_longer_wished_for_after_a_restart_goes(tmp_path: pathlib.Path) -> None:
    envoy = ModelEnvoy()
    async with running(tmp_path / "ads") as before, connected(envoy, before.socket):
        before.engine.complete()
        before.engine.apply(SERVER, 1)
        before.engine.apply(OTHER, 1)
        await eventually(lambda: envoy.listeners.keys() == {str(KEY), str(OTHER.key)})
    async with running(tmp_path / "ads") as after, connected(envoy, after.socket):
        after.engine.apply(OTHER, 1)
        after.engine.complete()
        await eventually(lambda: envoy.listeners.keys() == {str(OTHER.key)})


async def test_a_refusal_is_told_with_its_cure_and_retried(bench: Bench) -> None:
    envoy = ModelEnvoy()
    envoy.busy = {str(KEY)}
    bench.engine.complete()
    async with connected(envoy, bench.socket):
        bench.engine.apply(SERVER, 1)
        bench.engine.apply(OTHER, 1)
        await bench.tell(KEY, State.REJECTED, 1)
        await bench.tell(OTHER.key, State.PROGRAMMED, 1)
        [message] = {outcome.message for _, outcome in bench.outcomes if outcome.state is State.REJECTED}
        assert "another process on this node holds the address and port" in message

        envoy.busy.clear()
        await bench.tell(KEY, State.PROGRAMMED, 1)
    rejections = [outcome for _, outcome in bench.outcomes if outcome.state is State.REJECTED]
    assert len(rejections) == 1, "the same refusal is told once"


async def test_what_no_envoy_could_serve_is_rejected_without_one(bench: Bench) -> None:
    bench.engine.apply(SCTP, 1)
    assert bench.outcomes == []
    await bench.tell(SCTP.key, State.REJECTED, 1)


async def test_an_unfit_wish_leaves_what_stands_alone(bench: Bench) -> None:
    envoy = ModelEnvoy()
    bench.engine.complete()
    async with connected(envoy, bench.socket):
        bench.engine.apply(SERVER, 1)
        await bench.tell(KEY, State.PROGRAMMED, 1)
        before = dict(envoy.endpoints)
        bench.engine.apply(msgspec.structs.replace(SERVER, real_servers=(RealServer("nonsense", 1),)), 2)
        await bench.tell(KEY, State.REJECTED, 2)
        assert envoy.endpoints == before
        assert not bench.told(KEY, State.PROGRAMMED, 2)


async def test_an_unfit_wish_replaced_at_once_is_never_told(bench: Bench) -> None:
    bench.engine.complete()
    async with connected(ModelEnvoy(), bench.socket):
        bench.engine.apply(msgspec.structs.replace(SERVER, real_servers=(RealServer("nonsense", 1),)), 1)
        bench.engine.apply(SERVER, 2)
        await bench.tell(KEY, State.PROGRAMMED, 2)
    assert [outcome.state for _, outcome in bench.outcomes] == [State.PROGRAMMED]


async def test_the_envoy_that_came_last_decides_and_the_one_before_takes_over(bench: Bench) -> None:
    old, new = ModelEnvoy(), ModelEnvoy()
    new.busy = {str(KEY)}
    bench.engine.complete()
    async with connected(old, bench.socket):
        bench.engine.apply(SERVER, 1)
        await bench.tell(KEY, State.PROGRAMMED, 1)
        async with connected(new, bench.socket):
            await bench.tell(KEY, State.REJECTED, 1)
            bench.engine.apply(OTHER, 2)
            await bench.tell(OTHER.key, State.PROGRAMMED, 2)
            await eventually(lambda: str(OTHER.key) in old.listeners)
            bench.outcomes.clear()
        await bench.tell(KEY, State.PROGRAMMED, 1)
        assert bench.engine.connected


async def test_presence_is_told(bench: Bench) -> None:
    for _ in range(2):
        async with connected(ModelEnvoy(), bench.socket):
            await eventually(lambda: bench.engine.connected)
        await eventually(lambda: not bench.engine.connected)
    assert bench.presence == [True, False, True, False]


async def test_run_serves_until_cancelled(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path / "ads")
    bench.engine.apply(SERVER, 1)
    bench.engine.complete()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(bench.engine.run())
        async with connected(ModelEnvoy(), bench.socket):
            await bench.tell(KEY, State.PROGRAMMED, 1)
        serving.cancel()
    await eventually(lambda: not bench.engine.connected)
