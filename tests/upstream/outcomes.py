"""What the suite wrote of itself, as rows: one for each spec that was chosen. Pure, but for reading the files."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

NOT_CHOSEN = "skipped"
"""What ginkgo's report says of a spec outside of the focus."""
WHERE = " In [It] at: "
"""What follows is a place in the suite's sources."""
_LABELS = re.compile(r"\s*\[(It|sig-network|Feature:[^\]]*|Slow|LinuxOnly|Conformance|Serial|Disruptive)\]\s*")


class Outcome(msgspec.Struct, frozen=True, order=True):
    """How one spec ended."""

    spec: str
    verdict: str
    """pass, FAIL or skip."""
    seconds: float
    reason: str = ""
    """Why not pass: the suite's own words."""


def read(folder: Path) -> list[Outcome]:
    """Every outcome in a report folder, in the order of names."""
    return sorted(found for file in sorted(folder.glob("junit*.xml")) for found in parse(file.read_text()))


def parse(text: str) -> Iterator[Outcome]:
    """The outcomes in one JUnit file."""
    for case in ET.fromstring(text).iter("testcase"):
        if case.get("name", "").startswith("[It]") and (found := _outcome(case)) is not None:
            yield found


def count(outcomes: Iterable[Outcome], verdict: str) -> int:
    """How many ended so."""
    return sum(outcome.verdict == verdict for outcome in outcomes)


def _outcome(case: ET.Element) -> Outcome | None:
    spec, seconds = " ".join(_LABELS.sub(" ", case.get("name", "")).split()), float(case.get("time", 0))
    for tag, verdict in (("failure", "FAIL"), ("error", "FAIL"), ("skipped", "skip")):
        found = case.find(tag)
        if found is None:
            continue
        reason = " ".join((found.get("message") or found.text or "").split()).removeprefix("[FAILED] ")
        reason = reason.partition(WHERE)[0]
        if verdict == "skip" and reason in ("", NOT_CHOSEN):
            return None
        return Outcome(spec, verdict, seconds, reason.removeprefix("skipped - "))
    return Outcome(spec, "pass", seconds)
