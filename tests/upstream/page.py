"""The generated part of docs/conformance-upstream.md: one section for each configuration, replaced as a whole. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

from tests.upstream import outcomes
from tests.upstream.outcomes import Outcome

LONGEST_REASON = 160


def section(name: str, facts: Mapping[str, str], found: Sequence[Outcome]) -> str:
    """What one run showed."""
    passed, failed, skipped = (outcomes.count(found, verdict) for verdict in ("pass", "FAIL", "skip"))
    head = f"**{passed} passed, {failed} failed, {skipped} skipped.** {told(facts)}"
    table = ("| spec | seconds | outcome | why |", "|---|--:|---|---|", *(_row(outcome) for outcome in found))
    return marked(name, "test-upstream", (head, "", *table))


def told(facts: Mapping[str, str]) -> str:
    """Facts in one sentence."""
    return "; ".join(f"{key}: {value}" for key, value in facts.items()) + "."


def marked(name: str, target: str, lines: Iterable[str]) -> str:
    """A section between the marks by which it is found again."""
    return "\n".join((f"<!-- {name}: written by make {target} -->", *lines, _end(name)))


def section_of(page: str, name: str) -> str | None:
    """A section, with its marks; None where the page has no place for it."""
    match = _pattern(name).search(page)
    return match and match[0]


def replaced(page: str, name: str, text: str) -> str | None:
    """The page with this section in the place of its former self; None where it has no place for it."""
    after, count = _pattern(name).subn(lambda _: text, page, count=1)
    return after if count else None


def _row(outcome: Outcome) -> str:
    return f"| {outcome.spec} | {outcome.seconds:.0f} | {outcome.verdict} | {cell(outcome.reason)} |"


def cell(text: str) -> str:
    """Somebody's words, as they can stand in a table."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;")
    return escaped if len(escaped) <= LONGEST_REASON else escaped[:LONGEST_REASON].rstrip() + " …"


def _pattern(name: str) -> re.Pattern[str]:
    mark = rf"<!-- {re.escape(name)}: written by make [a-z-]+ -->"
    return re.compile(f"{mark}.*?{re.escape(_end(name))}", re.DOTALL)


def _end(name: str) -> str:
    return f"<!-- {name}: end -->"
