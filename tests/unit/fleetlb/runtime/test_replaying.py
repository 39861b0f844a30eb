import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import msgspec

from fleetlb.domain.errors import Transient
from fleetlb.runtime.backoff import Backoff
from fleetlb.runtime.bus import Message
from fleetlb.runtime.connection import Connection
from fleetlb.runtime.replay_progress import Pulling
from fleetlb.runtime.replaying import Follower, Handlers
from fleetlb.testkit.eventually import eventually


class ScriptedMessage:
    def __init__(self, subject: str, data: bytes = b"", reply: str = "", headers: dict[str, str] | None = None) -> None:
        self.subject = subject
        self.data = data
        self.reply = reply
        self.headers = headers


class ScriptedSession:
    """Plays the server's side of one consumer after another."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.exists = True
        self.pending = 0
        self.consumers = 0
        self.pulls: list[tuple[str, dict[str, Any]]] = []
        self.deleted = 0
        self._inboxes = itertools.count()
        self._receive: Callable[[Any], Awaitable[None]] | None = None
        self._sequence = 0

    def new_inbox(self) -> str:
        return f"_INBOX.{next(self._inboxes)}"

    async def subscribe(self, subject: str, handler: Callable[[Any], Awaitable[None]]) -> "ScriptedSession":
        self._receive = handler
        return self

    async def unsubscribe(self) -> None:
        self._receive = None

    async def request(self, subject: str, body: bytes, timeout: float) -> ScriptedMessage:
        if not self.exists:
            return ScriptedMessage("", b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}')
        assert subject.startswith("$JS.API.CONSUMER.CREATE.S.fleetlb-")
        self.consumers += 1
        self._sequence = 0
        return ScriptedMessage("", msgspec.json.encode({"num_pending": self.pending}))

    async def publish(self, subject: str, body: bytes, *, reply: str = "") -> None:
        if ".DELETE." in subject:
            self.deleted += 1
        else:
            self.pulls.append((reply, msgspec.json.decode(body)))

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        yield

    async def send(self, text: str, *, pending: int = 0, skip: int = 0) -> None:
        assert self._receive is not None
        self._sequence += 1 + skip
        reply = f"$JS.ACK.S.c.1.{self._sequence}.{self._sequence}.17.{pending}"
        await self._receive(ScriptedMessage("s.a", text.encode(), reply))

    async def say(self, code: str, description: str) -> None:
        assert self._receive is not None
        await self._receive(ScriptedMessage(self.pulls[-1][0], headers={"Status": code, "Description": description}))


class ScriptedConnection:
    def __init__(self, session: ScriptedSession) -> None:
        self._session = session

    async def session(self) -> ScriptedSession:
        return self._session


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, message: Message) -> None:
        self.lines.append(message.data.decode())

    @property
    def handlers(self) -> Handlers:
        return Handlers(self.message, lambda: self.lines.append("replayed"), lambda: self.lines.append("restart"))


@contextlib.asynccontextmanager
async def following(session: ScriptedSession, told: Told, **pulling: Any) -> AsyncIterator[None]:
    follower = Follower(
        cast(Connection, ScriptedConnection(session)),
        "S",
        "s.>",
        told.handlers,
        pulling=Pulling(**pulling),
        reopen=Backoff(initial=0.01, cap=0.02, jitter=0),
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follower.run())
        yield
        assert not task.done()
        task.cancel()


async def test_a_gap_makes_it_begin_anew_without_the_message_after_the_gap() -> None:
    session, told = ScriptedSession(), Told()
    session.pending = 2
    async with following(session, told):
        await eventually(lambda: len(session.pulls) == 1)
        await session.send("1", pending=1)
        await session.send("2", pending=0)
        await session.send("4", skip=1)
        await eventually(lambda: session.consumers == 2 and len(session.pulls) == 3)
        await session.send("1", pending=0)
        await eventually(lambda: told.lines == ["1", "2", "replayed", "restart", "1", "replayed"])
    assert session.deleted == 2


async def test_silence_makes_it_begin_anew_and_heartbeats_do_not() -> None:
    session, told = ScriptedSession(), Told()
    async with following(session, told, heartbeat_seconds=0.04):
        await eventually(lambda: told.lines == ["replayed"])
        for _ in range(10):
            await asyncio.sleep(0.02)
            await session.say("100", "Idle Heartbeat")
        assert session.consumers == 1
        await eventually(lambda: session.consumers == 2)
        assert told.lines == ["replayed", "restart", "replayed"]


async def test_a_pull_that_ran_out_is_followed_by_another() -> None:
    session, told = ScriptedSession(), Told()
    async with following(session, told):
        await eventually(lambda: len(session.pulls) == 1)
        await session.say("408", "Request Timeout")
        await eventually(lambda: len(session.pulls) == 2)
        assert session.pulls[0][0] != session.pulls[1][0]
        assert session.consumers == 1


async def test_no_message_is_pending_any_more_counts_as_replayed() -> None:
    session, told = ScriptedSession(), Told()
    session.pending = 1
    async with following(session, told):
        await eventually(lambda: len(session.pulls) == 1)
        assert session.pulls[0][1]["no_wait"] is True
        await session.say("404", "No Messages")
        assert told.lines == ["replayed"]
        assert "no_wait" not in session.pulls[1][1]


async def test_a_missing_stream_is_waited_for_without_telling_of_a_restart() -> None:
    session, told = ScriptedSession(), Told()
    session.exists = False
    async with following(session, told):
        await asyncio.sleep(0.05)
        assert told.lines == []
        session.exists = True
        await eventually(lambda: told.lines == ["replayed"])


async def test_a_callback_that_fails_does_not_stop_it() -> None:
    session = ScriptedSession()
    calls: list[str] = []

    def failing() -> None:
        calls.append("replayed")
        raise ValueError("bad callback")

    told = Told()
    handlers = Handlers(told.message, failing, failing)
    follower = Follower(cast(Connection, ScriptedConnection(session)), "S", "s.>", handlers)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follower.run())
        await eventually(lambda: calls == ["replayed"])
        await session.send("1")
        assert told.lines == ["1"]
        task.cancel()


async def test_trouble_while_pulling_is_a_loss() -> None:
    session, told = ScriptedSession(), Told()
    async with following(session, told):
        await eventually(lambda: len(session.pulls) == 1)

        async def broken(*_: Any, **__: Any) -> None:
            raise Transient("gone")

        session.publish, working = broken, session.publish  # type: ignore[method-assign]
        await session.say("408", "Request Timeout")
        session.publish = working  # type: ignore[method-assign]
        await eventually(lambda: session.consumers == 2)
