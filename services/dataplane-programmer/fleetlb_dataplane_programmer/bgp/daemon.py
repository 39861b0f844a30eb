"""A BIRD of this node with the files that it includes: gives it new ones, and says whether it is as they say.

A file that BIRD refuses is taken back at once, or it would not start with it the next time. Must not know VIPs.
"""

import asyncio
import pathlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from fleetlb.domain.addresses import Family
from fleetlb.domain.errors import Transient
from fleetlb_dataplane_programmer.bgp.configuring import (
    GRACEFUL_SHUTDOWN,
    PREFIX,
    Line,
    static_of,
    table_of,
)
from fleetlb_dataplane_programmer.bgp.control import BirdControl, BirdRefusal, Reply
from fleetlb_dataplane_programmer.bgp.files import read_text, write_text
from fleetlb_dataplane_programmer.bgp.measuring import CONFIGURED
from fleetlb_dataplane_programmer.bgp.reading import Session, parse_count, parse_networks, parse_sessions

_LOOK_AGAIN_SECONDS = 0.02
_IS_LEAVING = f"({GRACEFUL_SHUTDOWN.replace(':', ', ')}) ~ bgp_community"

Result = TypeVar("Result")
Texts = Mapping[str, str]
"""What the files hold, by name, in the order of writing."""


class Bird:
    """BIRD and its files. Calls must not overlap."""

    def __init__(self, control: BirdControl, directory: pathlib.Path) -> None:
        """`directory`: of the files. BIRD's own configuration includes `*.conf` of it."""
        self._control, self._directory = control, directory

    async def take(self, texts: Texts) -> None:
        """Write the files, and have BIRD read them. Raises Transient; BIRD's refusal leaves the files as they were."""
        before = await asyncio.to_thread(self._replace, texts)
        CONFIGURED.inc()
        try:
            await self._control.configure()
        except BirdRefusal:
            await asyncio.to_thread(self._replace, before)
            raise

    async def settle(self, lines: Collection[Line], *, is_leaving: bool) -> None:
        """Return once BIRD has as many routes as that, in the right manner. Raises Transient."""
        wanted = {family: sum(line.family is family for line in lines) for family in Family}
        held: dict[Family, int] = {}
        try:
            async with asyncio.timeout(self._control.seconds):
                while True:
                    held = await self._counts(is_leaving)
                    if held == wanted:
                        return
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            routes = f"{sum(held.values())} of {len(lines)} routes"
            raise Transient(f"BIRD has {routes} {self._control.seconds:g} s after it was told of them") from None

    async def is_as(self, texts: Texts, lines: Mapping[str, Line]) -> bool:
        """Whether the files are as they were written, and BIRD has exactly these routes. Raises Transient."""
        held: set[str] = set()
        for family in Family:
            reply = await self._answered(self._control.routes(table_of(family), static_of(family)))
            held |= _understood(parse_networks, reply)
        return held == lines.keys() and await asyncio.to_thread(self._read, texts) == dict(texts)

    async def sessions(self) -> dict[str, Session]:
        """All sessions of ours, by their protocols. Raises Transient."""
        try:
            reply = await self._control.protocols(f"{PREFIX}*")
        except BirdRefusal:  # there is not one of that name
            return {}
        return {session.protocol: session for session in parse_sessions(reply)}

    async def _counts(self, is_leaving: bool) -> dict[Family, int]:
        held = {}
        for family in Family:
            where = _IS_LEAVING if is_leaving else ""
            reply = await self._answered(self._control.count(table_of(family), static_of(family), where))
            held[family] = _understood(parse_count, reply)
        return held

    async def _answered(self, question: Awaitable[Reply]) -> Reply:
        """Tables and protocols of ours are unknown to a BIRD that does not read our files."""
        try:
            return await question
        except BirdRefusal as problem:
            line = f'include "{self._directory}/*.conf";'
            raise Transient(f"BIRD does not read what is written for it: add {line} to its own ({problem})") from None

    def _replace(self, texts: Mapping[str, str | None]) -> dict[str, str | None]:
        """Write what differs; what was there before is returned."""
        before = self._read(texts)
        try:
            for name, text in texts.items():
                if text != before[name]:
                    write_text(self._directory / name, text)
        except OSError as problem:
            raise Transient(f"BIRD's files in {self._directory} cannot be written: {problem}") from problem
        return before

    def _read(self, texts: Mapping[str, str | None]) -> dict[str, str | None]:
        try:
            return {name: read_text(self._directory / name) for name in texts}
        except OSError as problem:
            raise Transient(f"BIRD's files in {self._directory} cannot be read: {problem}") from problem


def _understood(parse: Callable[[Reply], Result], reply: Reply) -> Result:
    try:
        return parse(reply)
    except ValueError as problem:
        raise Transient(f"BIRD's answer cannot be read: {problem}") from None
