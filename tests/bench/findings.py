"""What a benchmark found: tables, raw samples, and goals that are met or fall short. Formats; measures nothing."""

import math
from collections.abc import Iterable, Sequence

import msgspec

Row = tuple[str, ...]


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside the bound that it should keep."""

    name: str
    measured: float
    bound: float
    unit: str = ""
    is_least: bool = False
    """The bound is the least that is wanted, not the most."""

    @property
    def is_met(self) -> bool:
        """Whether it keeps the bound."""
        return self.measured >= self.bound if self.is_least else self.measured <= self.bound


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All about one question."""

    title: str
    columns: Row
    rows: list[Row]
    goals: list[Goal] = []
    notes: list[str] = []
    samples: dict[str, list[float]] = {}
    """Everything that was measured for the table, in seconds unless the name says otherwise."""


def quantile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of at least one sample."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


def median(samples: Sequence[float]) -> float:
    """The middle one; of an even number the lower of the two."""
    return quantile(samples, 0.5)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def page(findings: Iterable[Findings]) -> str:
    """Markdown."""
    every = list(findings)
    lines: list[str] = []
    for one in every:
        lines += [f"### {one.title}", "", *_table(one.columns, one.rows), ""]
        lines += [*(f"- {note}" for note in one.notes), ""] if one.notes else []
    return "\n".join([*lines, "### Goals", "", *_goals(goal for one in every for goal in one.goals)]) + "\n"


def _goals(goals: Iterable[Goal]) -> list[str]:
    rows = [
        (
            goal.name,
            f"{number(goal.measured)} {goal.unit}".rstrip(),
            f"{'at least' if goal.is_least else 'at most'} {number(goal.bound)} {goal.unit}".rstrip(),
            "met" if goal.is_met else "**short**",
        )
        for goal in goals
    ]
    return _table(("goal", "measured", "wanted", ""), rows)


def _table(columns: Row, rows: Iterable[Row]) -> list[str]:
    rule = "|".join(["---", *["--:"] * (len(columns) - 1)])
    return [f"| {' | '.join(columns)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
