"""Which targets are checked, for whom, on which hosts, and which of them to suspect next. No I/O, no clock."""

from collections.abc import Iterable, Iterator

import msgspec

from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.health import Doubt, Pulse, Target

SUSPECTS = 8
"""Others of a host, and of a virtual server, that one surprise brings into question."""
LOOKED_AT = 4 * SUSPECTS
"""So many are considered for it."""


class Watched(msgspec.Struct, gc=False):
    """One target."""

    pulse: Pulse
    users: tuple[VirtualServerKey, ...]
    down_since: float | None = None
    is_new: bool = True
    """It was never checked."""
    is_suspect: bool = False
    """It is about to be checked, for another one surprised."""

    def is_like(self, are_healthy: bool) -> bool:
        """Whether the same was held of it as of one that surprised, and nothing yet speaks against it."""
        is_busy = self.is_suspect or self.is_new or not self.pulse.is_settled
        return not is_busy and self.pulse.is_healthy is are_healthy


class Host(msgspec.Struct):
    """The targets of one address; whoever was not suspected for longest comes first."""

    doubt: Doubt | None
    targets: dict[Target, Watched] = {}

    @property
    def is_dead(self) -> bool:
        """Whether it keeps silent for certain."""
        return self.doubt is not None and self.doubt.is_certain


class Roster:
    """Every target that somebody wants. Adding and removing cost O(1) for a target that few want."""

    def __init__(self) -> None:
        """Nobody wants anything."""
        self.hosts: dict[str, Host] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, target: Target) -> Watched | None:
        """What is known of a target, None if nobody wants it."""
        host = self.hosts.get(target.address)
        return host.targets.get(target) if host else None

    def add(self, target: Target, user: VirtualServerKey, pulse: Pulse, doubt: Doubt | None) -> bool:
        """Somebody who did not want a target does. True if nobody did: it begins with `pulse`, a new host in `doubt`"""
        host = self.hosts.setdefault(target.address, Host(doubt))
        watched = host.targets.get(target)
        if watched is not None:
            watched.users = (*watched.users, user)
            return False
        host.targets[target] = Watched(pulse, (user,))
        self._count += 1
        return True

    def remove(self, target: Target, user: VirtualServerKey) -> Watched | None:
        """Somebody who wanted a target does so no more. What was known of it, if nobody else wants it."""
        host = self.hosts[target.address]
        watched = host.targets[target]
        watched.users = tuple(other for other in watched.users if other != user)
        if watched.users:
            return None
        del host.targets[target]
        if not host.targets:
            del self.hosts[target.address]
        self._count -= 1
        return watched

    def suspects(self, address: str, fellows: Iterable[Target], are_healthy: bool) -> Iterator[Target]:
        """A few of the host and a few of `fellows` that are like one that surprised, from now on suspect."""
        yield from self._few(self._turn(address), are_healthy)
        yield from self._few(fellows, are_healthy)

    def _turn(self, address: str) -> Iterator[Target]:
        targets = self.hosts[address].targets
        for _ in range(min(len(targets), LOOKED_AT)):
            target = next(iter(targets))
            targets[target] = targets.pop(target)
            yield target

    def _few(self, candidates: Iterable[Target], are_healthy: bool) -> Iterator[Target]:
        found = 0
        for target in candidates:
            watched = self.find(target)
            if watched is None or not watched.is_like(are_healthy):
                continue
            watched.is_suspect = True
            yield target
            found += 1
            if found == SUSPECTS:
                return
