"""What processes use, by the kernel's own accounting in /proc."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(msgspec.Struct, frozen=True):
    """Processor seconds since the process began, and resident bytes now."""

    cpu_seconds: float
    rss_bytes: int


def usage_of(pid: int) -> Usage:
    """Read one process. Raises FileNotFoundError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, resident * _PAGE)


def usage_of_all(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Read several, by name."""
    return {name: usage_of(pid) for name, pid in pids.items()}


def cpu_between(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """Processor seconds spent by each process that is in both."""
    return {name: after[name].cpu_seconds - before[name].cpu_seconds for name in before if name in after}
