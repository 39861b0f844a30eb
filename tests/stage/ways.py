"""Every change of where a router's kernel sends what is for an address, as the kernel itself tells it."""

import contextlib
import itertools
import pathlib
import subprocess
from collections.abc import AsyncIterator

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace

_SECONDS = 30.0
_MARK = "192.0.2.77"
"""An address for documentation (RFC 5737): its route says that the kernel is listened to."""

Hops = tuple[str, ...]
"""Addresses of the next hops in order; empty: there is no way."""


class Ways:
    """The ways to one address since it is looked at."""

    def __init__(self, router: Namespace, address: str, log: pathlib.Path) -> None:
        """`log`: what `ip monitor` has written of the router so far."""
        self._router, self._address, self._log = router, address, log
        self._before = self._now()

    async def history(self) -> list[Hops]:
        """What was, and what came after it, up to now; each differs from the one before."""
        await eventually(lambda: self._told()[-1] == self._now(), _SECONDS, poll_seconds=0.1)
        return [hops for hops, _ in itertools.groupby(self._told())]

    def _told(self) -> list[Hops]:
        told = [hops_of(line) for line in self._log.read_text().splitlines() if self._address in line.split()]
        return [self._before, *told]

    def _now(self) -> Hops:
        return hops_of(self._router.run("ip", "-oneline", "route", "show", self._address))


def hops_of(line: str) -> Hops:
    """The next hops that a line of `ip -oneline` names: none if it is of a route that is deleted."""
    words = line.split()
    return (
        () if "Deleted" in words else tuple(sorted(after for word, after in itertools.pairwise(words) if word == "via"))
    )


@contextlib.asynccontextmanager
async def ways_to(address: str, router: Namespace, folder: pathlib.Path) -> AsyncIterator[Ways]:
    """From here to the end of the block. `folder` takes what the kernel tells."""
    path = folder / f"ways-to-{address}"
    with path.open("wb") as log, router.entered():
        monitor = subprocess.Popen(["ip", "-oneline", "monitor", "route"], stdout=log, stderr=log)
    try:
        await eventually(lambda: _is_heard(router, path), _SECONDS, poll_seconds=0.1)
        yield Ways(router, address, path)
    finally:
        monitor.kill()
        monitor.wait(_SECONDS)


def _is_heard(router: Namespace, log: pathlib.Path) -> bool:
    router.run("ip", "route", "replace", "blackhole", _MARK)
    router.run("ip", "route", "delete", "blackhole", _MARK)
    return _MARK in log.read_text()
