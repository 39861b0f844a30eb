"""What docs/metrics.md says of each process, read back. That it is what the code has is tested with the schemas."""

import re
from pathlib import Path

from fleetlb.runtime.metrics_page import BEGIN, PAGE, Described

_PAGE = Path(__file__).resolve().parents[2] / PAGE
_EVERY = "Every process"


def documented() -> dict[str, dict[str, Described]]:
    """Metrics by process and name, each with those that every process has."""
    _, *sections = _PAGE.read_text("utf-8").partition(BEGIN)[2].split("\n## ")
    tables = {section.partition("\n")[0].strip("`"): _rows(section) for section in sections}
    every = tables.pop(_EVERY)
    return {process: {**every, **rows} for process, rows in tables.items()}


def _rows(section: str) -> dict[str, Described]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "| `" in line[:3]]
    described = (
        Described(name.strip("`"), kind, tuple(re.findall("`(.*?)`", labels)), unit, text)
        for name, kind, labels, unit, text in rows
    )
    return {metric.name: metric for metric in described}
