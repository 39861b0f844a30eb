import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import TooLarge
from fleetlb.runtime.connection import Connection, Dialling
from fleetlb.runtime.session import Session
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_nats import ScriptedNats


@contextlib.asynccontextmanager
async def established() -> AsyncIterator[tuple[ScriptedNats, Session]]:
    nats = ScriptedNats()
    async with nats.listening(), asyncio.TaskGroup() as tasks:
        connection = Connection(Dialling(url=nats.url, name="test"))
        keeper = tasks.create_task(connection.run())
        yield nats, await connection.session()
        keeper.cancel()


async def test_a_request_fails_the_moment_the_connection_ends() -> None:
    async with established() as (nats, session):
        asking = asyncio.get_running_loop().create_task(session.request("q", b"", 60))
        await eventually(lambda: any(line.startswith("PUB q ") for line in nats.received))
        nats.cut()
        async with asyncio.timeout(2):
            with pytest.raises(Transient, match="outcome unknown"):
                await asking


async def test_a_request_fails_the_moment_its_subject_is_refused() -> None:
    async with established() as (nats, session):
        asking = asyncio.get_running_loop().create_task(session.request("Forbidden.Thing", b"", 60))
        await eventually(lambda: any("Forbidden.Thing" in line for line in nats.received))
        nats.say("-ERR 'Permissions Violation for Publish to \"Forbidden.Thing\"'")
        async with asyncio.timeout(2):
            with pytest.raises(Transient, match="permissions violation"):
                await asking


async def test_no_answer_in_time_is_an_unknown_outcome() -> None:
    async with established() as (_, session):
        with pytest.raises(Transient, match=r"no answer on q in 0\.05 s: outcome unknown"):
            await session.request("q", b"", 0.05)


async def test_what_is_too_large_never_leaves() -> None:
    async with established() as (nats, session):
        with pytest.raises(TooLarge):
            await session.publish("q", b"x" * 1025)
        with pytest.raises(TooLarge):
            await session.publish("q", b"x" * 1000, headers={"Nats-Msg-Id": "id"})
        await session.publish("q", b"x" * 800, headers={"Nats-Msg-Id": "id"})
        await session.flush(1)
        assert not session.ended.is_set()
        assert sum(line.startswith(("PUB q", "HPUB q")) for line in nats.received) == 1


async def test_after_the_end_nothing_is_sent() -> None:
    async with established() as (_, session):
        ended: list[str] = []
        with session.watched(lambda: ended.append("told")):
            session.end("because")
            session.end("again")
        assert ended == ["told"]
        assert session.reason == "because"
        with pytest.raises(Transient, match="because"):
            await session.request("q", b"", 1)


async def test_cancelling_a_request_leaves_nothing_behind() -> None:
    async with established() as (_, session):
        asking = asyncio.get_running_loop().create_task(session.request("q", b"", 60))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert session._waiting == {}


async def test_inboxes_are_never_the_same() -> None:
    async with established() as (_, session):
        assert session.new_inbox() != session.new_inbox()


async def test_a_cancellation_that_the_client_library_swallows_is_honoured() -> None:
    async with established() as (_, session):
        closing = asyncio.get_running_loop().create_task(session.close("enough"))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
