"""Makes the hub's streams exist, and looks now and then whether they still do: a stream that is lost is made anew.

Must not know what is in a stream; whoever follows one notices by itself that it was replaced.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

import structlog

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import Misconfigured, StreamState

LOOK_SECONDS = 5.0
PACE_SECONDS = 0.02
"""Between two looks, so that a thousand streams are not looked at in one burst."""

log = structlog.get_logger(__name__)


class StreamBus(Protocol):
    """What is needed of a bus."""

    async def ensure_stream(self, spec: StreamSpec) -> StreamState:
        """Make a stream with these settings exist."""

    async def delete_stream(self, name: str) -> None:
        """Remove a stream; none there is success."""


class Permission(Protocol):
    """Whether something may be done now."""

    def __call__(self) -> bool: ...


class Streams:
    """The streams that must exist."""

    def __init__(self, bus: StreamBus, *, may_create: Permission) -> None:
        """`may_create`: a standby makes nothing; for streams of which nothing else was said."""
        self._bus = bus
        self._may_create = may_create
        self._wanted: dict[str, StreamSpec] = {}
        self._permissions: dict[str, Permission] = {}
        self._hurry = asyncio.Event()
        self._failing: set[str] = set()
        self._misconfigured: dict[str, str] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def objection(self) -> str:
        """What an operator must do about a stream before all is well; empty: nothing."""
        found = [problem for name, problem in self._misconfigured.items() if self._may(name)]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}" if found else ""

    def want(self, spec: StreamSpec, may_create: Permission | None = None) -> None:
        """From now on this stream must exist; `may_create`: whether it is for this process to see to that."""
        if may_create is not None:
            self._permissions[spec.name] = may_create
        if self._wanted.get(spec.name) != spec:
            self._wanted[spec.name] = spec
            self._hurry.set()

    def forget(self, name: str) -> None:
        """The stream is not looked after any more; it stays."""
        self._wanted.pop(name, None)
        self._permissions.pop(name, None)
        self._misconfigured.pop(name, None)

    def look_now(self) -> None:
        """One of them seems to be missing."""
        self._hurry.set()

    async def ensure(self, spec: StreamSpec) -> None:
        """Return when the stream exists. Raises Transient."""
        self._wanted[spec.name] = spec
        await self._alone(spec.name, lambda: self._ensure(spec))

    async def remove(self, name: str) -> None:
        """Look after a stream no more, and return when it does not exist. Raises Transient.

        Whoever is about to make it is waited for, and nobody begins to afterwards.
        """
        self.forget(name)
        await self._alone(name, lambda: self._bus.delete_stream(name))

    async def run(self) -> NoReturn:
        """Look after the streams for ever."""
        while True:
            self._hurry.clear()
            for spec in list(self._wanted.values()):
                if self._may(spec.name):
                    await self._look(spec)
                    await asyncio.sleep(PACE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._hurry.wait()

    def _may(self, name: str) -> bool:
        return self._permissions.get(name, self._may_create)()

    async def _alone(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        """Do this while nobody else makes or removes a stream. Raises Transient."""
        try:
            async with self._one_at_a_time:
                await act()
        except Transient:
            raise
        except FleetlbError as problem:
            raise Transient(f"stream {name}: {problem}", retry_after=LOOK_SECONDS) from problem

    async def _ensure(self, spec: StreamSpec) -> None:
        try:
            await self._bus.ensure_stream(spec)
        except Misconfigured as problem:
            self._misconfigured[spec.name] = str(problem)
            raise
        self._misconfigured.pop(spec.name, None)

    async def _look(self, spec: StreamSpec) -> None:
        try:
            async with self._one_at_a_time:
                if spec.name in self._wanted:
                    await self._ensure(spec)
        except FleetlbError as problem:
            if spec.name not in self._failing:
                self._failing.add(spec.name)
                log.warning("a stream cannot be made; trying again", stream=spec.name, problem=str(problem))
        else:
            self._failing.discard(spec.name)
