"""One established NATS connection, from its greeting to its end; a `Connection` strings many of them together.

Its own reply inbox makes every waiting request fail the moment the connection ends, or the server refuses its subject:
the client library would let them run into their timeout, with no word of the reason.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import TooLarge

NO_RESPONDERS = "503"
_HEADER_ROOM = 128
_CLOSE_SECONDS = 2.0


class NobodyAnswers(Transient):
    """No one serves this subject right now."""


class Session:
    """What can be done over one connection; after `end` everything raises Transient."""

    def __init__(self, client: Client, *, max_payload: int) -> None:
        """Take over a client that is connected. `max_payload` bounds headers and body together, in bytes."""
        self.ended = asyncio.Event()
        self.reason = ""
        self._client = client
        self._max_payload = min(max_payload, client.max_payload)
        self._inbox = client.new_inbox()
        self._tokens = itertools.count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._watchers: dict[int, Callable[[], None]] = {}

    async def open(self) -> None:
        """Listen to the inbox; needed before the first request."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    def new_inbox(self) -> str:
        """A subject that nobody else can know."""
        return str(self._client.new_inbox())

    def end(self, reason: str) -> None:
        """Declare the connection gone: who waits for an answer learns it now."""
        if self.ended.is_set():
            return
        self.reason = reason
        self.ended.set()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(Transient(f"the connection to NATS ended ({reason}): outcome unknown"))
        for watcher in tuple(self._watchers.values()):
            watcher()

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        """Call the watcher when the session ends, while in this block."""
        self._watchers[id(watcher)] = watcher
        try:
            yield
        finally:
            del self._watchers[id(watcher)]

    def refused(self, text: str) -> None:
        """The server refused a subject; its text (in lower case) names which."""
        for subject, future in self._waiting.values():
            if f'"{subject.lower()}"' in text.lower() and not future.done():
                future.set_exception(Transient(text))

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]], queue: str = "") -> Subscription:
        """Receive what is sent on a subject, in order, one at a time."""
        try:
            return await self._client.subscribe(subject, queue=queue, cb=handler)
        except NatsError as problem:
            raise Transient(f"cannot subscribe to {subject}: {problem}") from problem

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Write one message. Raises Transient if it was certainly not sent, TooLarge if it never can be."""
        size = len(body) + (sum(len(k) + len(v) for k, v in headers.items()) + _HEADER_ROOM if headers else 0)
        if size > self._max_payload:
            raise TooLarge(f"{len(body)} bytes on {subject}: the connection takes {self._max_payload} with headers")
        cancels = cancels_so_far()
        try:
            await self._client.publish(subject, body, reply=reply, headers=dict(headers) if headers else None)
        except MaxPayloadError as problem:
            raise TooLarge(f"{len(body)} bytes on {subject}: the server takes {self._client.max_payload}") from problem
        except NatsError as problem:
            raise Transient(f"not sent on {subject}: {problem}") from problem
        honour_cancellation(since=cancels)

    async def request(
        self, subject: str, body: bytes, timeout: float, *, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Ask and wait for the first answer. Raises Transient (outcome unknown) or NobodyAnswers (nothing done)."""
        if self.ended.is_set():
            raise Transient(f"not sent on {subject}: the connection to NATS ended ({self.reason})")
        token = str(next(self._tokens))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (subject, future)
        try:
            async with asyncio.timeout(timeout):
                await self.publish(subject, body, reply=f"{self._inbox}.{token}", headers=headers)
                answer = await future
        except TimeoutError:
            raise Transient(f"no answer on {subject} in {timeout:g} s: outcome unknown") from None
        finally:
            del self._waiting[token]
            future.cancel()
        if not answer.data and answer.headers and answer.headers.get("Status") == NO_RESPONDERS:
            raise NobodyAnswers(f"nobody answers on {subject}")
        return answer

    async def flush(self, timeout: float) -> None:
        """One round trip. Raises Transient."""
        try:
            async with asyncio.timeout(timeout):
                cancels = cancels_so_far()
                await self._client.flush(timeout=int(timeout) or 1)
                honour_cancellation(since=cancels)
        except (NatsError, TimeoutError, OSError) as problem:
            raise Transient(f"NATS does not answer: {str(problem) or type(problem).__name__}") from problem

    async def settle(self, timeout: float) -> None:
        """Return when the server has read whatever was written before. Raises Transient.

        nats-py sends a ping past what still waits to be written. By its answer all of that is on its way, and a second
        ping comes behind it.
        """
        await self.flush(timeout)
        await self.flush(timeout)

    async def close(self, reason: str) -> None:
        """End the session and its socket, by force if the peer takes nothing any more."""
        self.end(reason)
        await discard(self._client)

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(message)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event happens in time. Not `asyncio.wait_for`: before Python 3.12 that may swallow a cancellation."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def discard(client: Client) -> None:
    """Close a client and its socket, whatever state it is in."""
    cancels = cancels_so_far()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.close()
    except (NatsError, OSError, TimeoutError):
        pass
    finally:
        writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
        if isinstance(writer, asyncio.StreamWriter) and not writer.is_closing():
            writer.transport.abort()
    honour_cancellation(since=cancels)


def cancels_so_far() -> int:
    """How often the current task was asked to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def honour_cancellation(*, since: int) -> None:
    """Be cancelled after all: the client library swallows a cancellation that meets it while it dials or flushes."""
    if cancels_so_far() > since:
        raise asyncio.CancelledError
