"""The generated part of docs/conformance-upstream.md: one section for each configuration, replaced as a whole. Pure."""

import re
from collections.abc import Mapping, Sequence

from tests.upstream import outcomes
from tests.upstream.outcomes import Outcome

LONGEST_REASON = 160


def section(name: str, facts: Mapping[str, str], found: Sequence[Outcome]) -> str:
    """What one run showed."""
    passed, failed, skipped = (outcomes.count(found, verdict) for verdict in ("pass", "FAIL", "skip"))
    lines = [
        f"**{passed} passed, {failed} failed, {skipped} skipped.** "
        + "; ".join(f"{key}: {value}" for key, value in facts.items())
        + ".",
        "",
        "| spec | seconds | outcome | why |",
        "|---|--:|---|---|",
        *(_row(outcome) for outcome in found),
    ]
    return f"{_begin(name)}\n" + "\n".join(lines) + f"\n{_end(name)}"


def replaced(page: str, name: str, text: str) -> str | None:
    """The page with this section in the place of its former self; None where it has no place for it."""
    pattern = re.compile(re.escape(_begin(name)) + ".*?" + re.escape(_end(name)), re.DOTALL)
    after, count = pattern.subn(lambda _: text, page, count=1)
    return after if count else None


def _row(outcome: Outcome) -> str:
    reason = outcome.reason.replace("|", "\\|").replace("<", "&lt;")
    if len(reason) > LONGEST_REASON:
        reason = reason[:LONGEST_REASON].rstrip() + " …"
    return f"| {outcome.spec} | {outcome.seconds:.0f} | {outcome.verdict} | {reason} |"


def _begin(name: str) -> str:
    return f"<!-- {name}: written by make test-upstream -->"


def _end(name: str) -> str:
    return f"<!-- {name}: end -->"
