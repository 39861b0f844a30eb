"""The lines of the state file: what one holds, and how damage shows. Pure; the file itself is `remembering`'s affair.

The first line says for which node the file is and how many records follow it at least: those were written in one go,
so fewer of them mean that the file was cut. What was appended later may end anywhere, even in the middle of a line,
when the machine lost its power; that is no damage. Every line begins with a checksum of the rest.
"""

import zlib
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

import msgspec

from fleetlb.contracts.v1 import GroupInstructed, TenantAllowed, VirtualServerDesired
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey

FORMAT = 1


class Line(Protocol):
    """A record of some kind."""

    @property
    def key(self) -> Hashable:
        """The last line of a key counts."""


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One key: the wish that stands, and whatever else a restart must not lose."""

    desired: VirtualServerDesired
    held: VirtualServer | None = None
    """What the engine holds, where the node refused `desired` and kept what it had."""
    has_let_go: bool = False
    objection: str = ""
    """What goes beyond the allowance of its tenant. Without it the wish was accepted, and is not judged again."""
    is_unjudged: bool = False
    """But for this: it was accepted while nothing was known of its tenant."""
    sequence: int = 0
    """Of the wish in its stream; 0: not known."""

    @property
    def key(self) -> VirtualServerKey:
        """What it is about."""
        return self.desired.key


class AllowanceRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One tenant: what was last said of it."""

    said: TenantAllowed
    operator_key: str = ""
    """By whose signature it was believed; empty: nobody's was asked for."""

    @property
    def key(self) -> str:
        """What it is about."""
        return self.said.tenant


class InstructionRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the group's nodes were last told."""

    said: GroupInstructed
    operator_key: str = ""
    """As in `AllowanceRecord`."""

    @property
    def key(self) -> str:
        """What it is about."""
        return self.said.group


class Header(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The first line."""

    format: int
    node: str
    group: str
    records: int


L = TypeVar("L", bound=Line)


class Recovered(msgspec.Struct, Generic[L], frozen=True, kw_only=True):
    """What a file told. `damage` is empty if the file can be trusted to be complete."""

    records: tuple[L, ...] = ()
    """One for each key, the last that was written."""
    damage: str = ""
    is_torn: bool = False
    """The last line was never finished."""


_T = TypeVar("_T")


def encode_line(value: Line | Header) -> bytes:
    """One line."""
    body = msgspec.json.encode(value)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def parse_file(data: bytes, kind: type[L], *, node: str, group: str) -> Recovered[L]:
    """Read a whole file of such records; whatever is intact is returned, whatever is not is named."""
    lines = data.split(b"\n")
    is_torn = lines.pop() != b""
    bodies = [_checked(line) for line in lines]
    header = _decoded(bodies[0], Header) if bodies else None
    records = [record for body in bodies[1:] if (record := _decoded(body, kind))]
    damage = _damage(header, len(bodies) - 1, len(records), node=node, group=group)
    if header is None or (header.format, header.node, header.group) != (FORMAT, node, group):
        records = []
    last = {record.key: record for record in records}
    return Recovered(records=tuple(last.values()), damage=damage, is_torn=is_torn)


def _damage(header: Header | None, lines: int, intact: int, *, node: str, group: str) -> str:
    if header is None:
        return "its first line is not readable"
    if header.format != FORMAT:
        return f"its format is {header.format}, this version reads {FORMAT}"
    if (header.node, header.group) != (node, group):
        return f"it belongs to node {header.node!r} of group {header.group!r}"
    if intact < lines:
        return f"{lines - intact} of {lines} records are not readable"
    return f"it was cut after {lines} of {header.records} records" if lines < header.records else ""


def _checked(line: bytes) -> bytes | None:
    checksum, _, body = line.partition(b" ")
    return body if checksum == b"%08x" % zlib.crc32(body) else None


def _decoded(body: bytes | None, kind: type[_T]) -> _T | None:
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        return None
