import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from nats.aio.msg import Msg

from fleetlb.domain.errors import Transient
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.connection import Connection, Dialling
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_nats import ScriptedNats

QUICK = Backoff(initial=0.01, cap=0.05, jitter=0)


def connection_to(nats: ScriptedNats, **options: Any) -> Connection:
    return Connection(Dialling(url=nats.url, name="test", **options), redial=QUICK)


@contextlib.asynccontextmanager
async def running(connection: Connection) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(connection.run())
        yield
        assert not keeper.done()
        keeper.cancel()


async def test_it_connects_and_tells_whether_it_is() -> None:
    nats = ScriptedNats()
    async with nats.listening():
        connection = connection_to(nats)
        assert not connection.connected
        with pytest.raises(Transient, match="not connected"):
            connection.current()
        async with running(connection):
            session = await connection.session()
            assert connection.connected
            assert connection.current() is session
        assert not connection.connected


async def test_an_absent_server_is_waited_for_with_one_line_in_the_log() -> None:
    nats = ScriptedNats()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nats.port = probe.getsockname()[1]
    connection = connection_to(nats)
    attempts = 0
    delay = QUICK.delay

    with structlog.testing.capture_logs() as lines:
        async with running(connection), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(connection.session())
            await eventually(lambda: any("cannot connect" in line["event"] for line in lines))
            await asyncio.sleep(5 * delay(9, 0))
            attempts = len(lines)
            async with nats.listening(nats.port):
                await waiting
                await eventually(lambda: any(line["event"] == "connected to NATS" for line in lines))
                assert connection.connected
                break_off = connection.current()
            assert break_off.ended is not None
    assert attempts == 1
    connected = next(line for line in lines if line["event"] == "connected to NATS")
    assert connected["attempts"] > 1


async def test_a_cut_connection_comes_back_and_tells_those_who_asked() -> None:
    nats = ScriptedNats()
    calls: list[str] = []

    def bad() -> None:
        raise ValueError("bad callback")

    async with nats.listening():
        connection = connection_to(nats)
        connection.on_reconnect(bad)
        connection.on_reconnect(lambda: calls.append("again"))
        async with running(connection):
            first = await connection.session()
            nats.cut()
            await eventually(lambda: calls == ["again"])
            assert first.ended.is_set()
            assert await connection.session() is not first


@pytest.mark.parametrize(
    "error",
    [
        "User Authentication Revoked",
        "User Authentication Expired",
        "Authorization Violation",
        "Maximum Payload Violation",
    ],
)
async def test_no_error_of_the_server_is_the_end(error: str) -> None:
    nats = ScriptedNats()
    async with nats.listening():
        connection = connection_to(nats)
        async with running(connection):
            first = await connection.session()
            nats.say(f"-ERR '{error}'")
            await eventually(lambda: connection.connected and connection.current() is not first)
            assert error.split()[-2].lower() in first.reason.lower()


async def test_refused_credentials_are_tried_again_until_they_are_accepted() -> None:
    nats = ScriptedNats()
    nats.refuse_with = "Authorization Violation"
    async with nats.listening():
        connection = connection_to(nats)
        with structlog.testing.capture_logs() as lines:
            async with running(connection):
                await eventually(lambda: nats.greetings > 5)
                assert not connection.connected
                nats.refuse_with = None
                await eventually(lambda: connection.connected)
        told = [line for line in lines if line["log_level"] == "warning"]
        assert len(told) == 1
        assert "authorization violation" in str(told[0]["error"]).lower()


async def test_an_old_server_is_refused_with_one_line_until_a_good_one_answers() -> None:
    nats = ScriptedNats()
    nats.version = "2.14.2"
    heard: list[str] = []
    async with nats.listening():
        connection = Connection(Dialling(url=nats.url, name="test"), redial=QUICK, on_greeted=heard.append)
        with structlog.testing.capture_logs() as lines:
            async with running(connection):
                await eventually(lambda: nats.greetings > 5)
                assert not connection.connected
                nats.version = "2.14.3"
                await eventually(lambda: connection.connected)
                nats.version = "2.14.2"
                nats.cut()
                await eventually(lambda: len([line for line in lines if "cannot connect" in line["event"]]) == 2)
                assert not connection.connected
    assert "upgrade it to 2.14.3" in heard[0]
    assert "" in heard
    assert heard[-1] == heard[0]
    told = [line for line in lines if "cannot connect" in line["event"]]
    assert [line["error"] for line in told] == [heard[0], heard[0]]
    assert not any("exc_info" in line for line in lines)


async def test_a_good_server_among_old_ones_is_found() -> None:
    old, good = ScriptedNats(), ScriptedNats()
    old.version = "2.10.22"
    async with old.listening(), good.listening():
        connection = Connection(Dialling(url=f"{old.url},{good.url}", name="test"), redial=QUICK)
        async with running(connection):
            for _ in range(5):
                session = await connection.session()
                connection.dial_anew("again")
                await eventually(lambda session=session: connection.connected and connection.current() is not session)  # type: ignore[misc]


async def test_whoever_takes_any_server_says_what_speaks_against_it_and_goes_on() -> None:
    nats = ScriptedNats()
    nats.version = {"not": "a version"}
    async with nats.listening():
        connection = connection_to(nats, takes_any_server=True)
        with structlog.testing.capture_logs() as lines:
            async with running(connection):
                await eventually(lambda: connection.connected)
    (told,) = [line for line in lines if line["log_level"] == "warning" and "server" in line["event"]]
    assert "does not say which version it is" in told["problem"]


async def test_credentials_that_are_not_there_yet_or_broken_are_waited_for(tmp_path: Path) -> None:
    nats = ScriptedNats()
    creds = tmp_path / "nats.creds"
    async with nats.listening():
        connection = connection_to(nats, creds=Keyring(creds))
        with structlog.testing.capture_logs() as lines:
            async with running(connection):
                await eventually(lambda: len(lines) == 1)
                creds.write_text("rubbish")
                await eventually(lambda: len(lines) == 2)
        assert "nats.creds" in str(lines[0]["error"])
        assert "credentials" in str(lines[1]["error"])
        assert nats.greetings == 0


async def test_a_server_that_no_longer_answers_is_left() -> None:
    nats = ScriptedNats()
    async with nats.listening():
        connection = Connection(
            Dialling(url=nats.url, name="test"), redial=QUICK, keepalive_seconds=0.05, answer_seconds=0.1
        )
        async with running(connection):
            first = await connection.session()
            nats.silent = True
            await eventually(first.ended.is_set)
            assert "does not answer" in first.reason
            nats.silent = False
            await eventually(lambda: connection.connected and connection.current() is not first, seconds=15)


async def test_subscriptions_are_made_anew() -> None:
    nats = ScriptedNats()

    async def ignore(_: Msg) -> None:
        return None

    async with nats.listening():
        connection = connection_to(nats)
        await connection.subscribe("before.connecting", ignore)
        async with running(connection):
            first = await connection.session()
            await connection.subscribe("while.connected", ignore, "queue")
            nats.cut()
            await eventually(lambda: connection.connected and connection.current() is not first)
            await connection.current().flush(1)
    subscribed = [line for line in nats.received if line.startswith("SUB")]
    assert sum("before.connecting" in line for line in subscribed) == 2
    assert sum("while.connected queue" in line for line in subscribed) == 2


async def test_a_server_that_greets_and_then_says_nothing_is_given_up() -> None:
    nats = ScriptedNats()
    nats.silent = True
    async with nats.listening():
        connection = connection_to(nats)
        async with running(connection):
            await eventually(lambda: nats.greetings == 1)
            assert not connection.connected


async def test_cancelling_while_waiting_for_a_server_ends_at_once() -> None:
    connection = Connection(Dialling(url="nats://127.0.0.1:1", name="test"))
    async with asyncio.timeout(1):
        async with running(connection):
            await asyncio.sleep(0.05)


async def test_cancelling_at_whatever_step_of_dialling_ends_it() -> None:
    """The client library, and asyncio.wait_for below it, lose a cancellation that comes together with a refusal."""
    async with asyncio.TaskGroup() as tasks:
        for steps in range(80):
            connection = Connection(Dialling(url="nats://127.0.0.1:1", name="test"), redial=QUICK)
            keeper = tasks.create_task(connection.run())
            for _ in range(steps):
                await asyncio.sleep(0)
            keeper.cancel()
            done, _ = await asyncio.wait([keeper], timeout=5)
            assert done == {keeper}, f"cancelled after {steps} steps it goes on"


async def test_who_asks_in_the_moment_of_an_end_gets_the_next_session() -> None:
    """Whoever keeps the connection has not had its turn then: who asks again and again must not keep it from that."""
    nats = ScriptedNats()
    async with nats.listening():
        connection = connection_to(nats)
        async with running(connection):
            ended = await connection.session()
            ended.end("as when a server shuts down")
            following = await connection.session()
            assert following is not ended
            assert not following.ended.is_set()


async def test_who_has_subscribed_is_heard_of_by_the_server() -> None:
    """A ping overtakes what waits to be written, so its answer says nothing of that."""
    nats = ScriptedNats()
    async with nats.listening(), running(connection := connection_to(nats)):
        await connection.session()

        async def hear(_: Msg) -> None:
            raise AssertionError("nothing is said")

        await connection.subscribe("reported.>", hear)
        subscribed = next(at for at, line in enumerate(nats.received) if line.startswith("SUB reported.>"))
        assert "PING" in nats.received[subscribed:], nats.received
