"""Explanations and journeys for a terminal. Formats only."""

from collections.abc import Iterable

from fleetlb.explaining.explanations import Explanation
from fleetlb.explaining.passages import Passage
from fleetlb_cli.tenants.tables import aligned, printable

_INDENT = "  "


def as_text(found: Explanation) -> str:
    """A few lines: where, why, since when, what to do."""
    head = "serving" if found.serving else "not serving as wished"
    facts = [
        ("stage", found.stage.value),
        ("reason", found.reason),
        ("because", found.message),
        *found.given.items(),
        ("since", found.since),
        ("do", found.cure),
        ("trace", found.trace),
    ]
    rows = [(name, text) for name, text in facts if text]
    return f"{printable(found.service)}: {head}\n{aligned(rows, _INDENT)}"


def as_timeline(service: str, passages: Iterable[Passage]) -> str:
    """One line for each station: who, what, how long it took, and when since the change was seen."""
    rows = [(p.service, p.station, f"{p.took_ms:.1f} ms", f"{p.after_ms:.1f} ms") for p in passages]
    head = ("WHO", "REACHED", "TOOK", "AFTER")
    return f"{printable(service)}\n{aligned([head, *rows], _INDENT)}"
