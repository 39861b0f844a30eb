"""What a fleet with `--engine ipvs` needs of the machine that is its balancer node. Only looks; changes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

_IP_VS = Path("/proc/net/ip_vs")


class KernelError(Exception):
    """The machine cannot be a balancer node; the text says what is missing, and the cures."""


def check(is_root: bool | None = None, ip_vs: Path = _IP_VS) -> None:
    """Raise KernelError for all that is missing at once."""
    missing = list(_missing(os.geteuid() == 0 if is_root is None else is_root, ip_vs))
    if missing:
        raise KernelError("--engine ipvs: " + "; ".join(missing))


def _missing(is_root: bool, ip_vs: Path) -> Iterator[str]:
    if not is_root:
        yield "it needs root, for the kernel's tables, routes and switches of this network namespace: use sudo"
    if not ip_vs.exists():
        yield (
            "this kernel has no ip_vs, or has not loaded it: run `modprobe ip_vs`, or a kernel of its own that has it:"
            " `deploy/lab/run.sh COMMAND…`"
        )
