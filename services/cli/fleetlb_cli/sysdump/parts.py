"""The parts of a dump, each of which may fail alone. Values."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec


class File(NamedTuple):
    """One file of a dump."""

    path: str
    """Below the dump's own folder."""
    content: bytes


class Part(NamedTuple):
    """One thing to be collected."""

    title: str
    collect: Callable[[], Awaitable[list[File]]]
    """Raises FleetlbError or OSError for what cannot be had."""


class Problem(msgspec.Struct, frozen=True):
    """A part that is not in the dump, and why."""

    part: str
    problem: str


def as_json(path: str, value: Any) -> File:
    """A value as indented JSON."""
    return File(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def as_json_lines(path: str, values: list[Any]) -> File:
    """One JSON object a line."""
    return File(path, b"".join(msgspec.json.encode(value) + b"\n" for value in values))
