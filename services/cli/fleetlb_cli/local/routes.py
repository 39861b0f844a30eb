"""Ranges that are this machine's own: what 127.0.0.0/8 gives for nothing, root must set up for any other.

A local route makes the kernel accept a whole range, and answer neighbours that ask for an address in it;
`ip_nonlocal_bind` lets ordinary servers bind IPv6 addresses in it. It must not know what the ranges are for.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

NONLOCAL_BIND = Path("/proc/sys/net/ipv6/ip_nonlocal_bind")


class RoutesError(Exception):
    """The host refused; the text says what."""


class LocalRanges:
    """Ranges that this fleet has added; `remove` takes back what `add` did, as far as it did."""

    def __init__(self, added: Iterable[str] = (), setting: Path = NONLOCAL_BIND) -> None:
        self._setting = setting
        self._added = list(added)
        self._switched = False

    def add(self, ranges: Iterable[str]) -> None:
        """Make every range local. One left behind by a crashed fleet is taken over."""
        for cidr in ranges:
            _route("replace", cidr)
            self._added.append(cidr)
        if any(map(_is_ipv6, self._added)) and self._setting.read_text().strip() == "0":
            self._setting.write_text("1")
            self._switched = True

    def remove(self, *, last: bool = True) -> None:
        """Take the ranges back, and the setting too if no other fleet needs it."""
        while self._added:
            _route("del", self._added.pop())
        if self._switched and last:
            self._setting.write_text("0")
        self._switched = False


def _is_ipv6(cidr: str) -> bool:
    return ":" in cidr


def _route(verb: str, cidr: str) -> None:
    command = ["ip", "-6" if _is_ipv6(cidr) else "-4", "route", verb, "local", cidr, "dev", "lo"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError as problem:
        raise RoutesError(f"local routes need the command `ip` (Debian: apt install iproute2): {problem}") from problem
    if answer.returncode != 0:
        raise RoutesError(f"{' '.join(command)}: {answer.stderr.strip()}")
