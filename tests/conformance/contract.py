"""The contract of `type: LoadBalancer` as data: its lines, and how a test says which line it is about."""

import re
import tomllib
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("contract.toml")
SECTIONS = {
    "SEL": "Selection and class",
    "FIN": "Finalizer and deletion",
    "STA": "Status",
    "EVT": "Events on the tenant's Service",
    "UPD": "Reaction to changes of the spec",
    "NOD": "Nodes as backends",
    "ETP": "externalTrafficPolicy, health checks, endpoints",
    "SRC": "Source ranges",
    "AFF": "Session affinity",
    "NPT": "Node ports",
    "FAM": "Address families",
    "PRO": "Protocols and ports",
    "EXT": "Fields that are not ours",
    "IPA": "Assignment of addresses",
    "MUL": "More than one cluster",
}
_TEST = re.compile(r"test_([A-Z]{3})_(\d+)_")


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One promise."""

    level: str
    """MUST or SHOULD."""
    marks: str
    statement: str


class Untested(msgspec.Struct, frozen=True, array_like=True):
    """Why a line has no test."""

    outcome: str
    """`refused` or `not yet`."""
    reason: str


class Evidence(msgspec.Struct, frozen=True):
    """Where a line was shown that takes more than the suite's own stage."""

    note: str
    """By what, and where to read it."""
    sections: dict[str, tuple[str, ...]]
    """By engine, the sections of docs/conformance-upstream.md that have it."""


class Contract(msgspec.Struct, frozen=True):
    """Lines by ID, and those of them that have no test."""

    lines: dict[str, Line]
    without_test: dict[str, Untested]
    elsewhere: dict[str, Evidence] = {}
    """On engines that do not stand there a line is without test."""


def read_contract(file: Path = FILE) -> Contract:
    """The contract. Raises msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads(file.read_text()), Contract)


def line_of(test: str) -> str | None:
    """The ID that a test's name begins with: `test_SEL_2_…` is about SEL-2."""
    found = _TEST.match(test)
    return f"{found[1]}-{found[2]}" if found else None
