"""Which routes a node is to announce: those of the VIPs that are asked for, and until every wish is known those that an
earlier process left. No I/O.
"""

import contextlib
from collections.abc import Callable

from fleetlb.domain.addresses import parse_network
from fleetlb.domain.routing import RouteAttributes
from fleetlb_dataplane_programmer.bgp.configuring import Leftover, Line, Route, host_route, line_of

RouteOf = Callable[[str], Route]
"""What is announced for a VIP: asked whenever the files are written, so that it may change."""


class Routes:
    """The routes of one node."""

    def __init__(self, route_of: RouteOf, leftover: Leftover) -> None:
        """`leftover`: what stands in the file."""
        self._route_of, self._left = route_of, dict(leftover.lines)
        self._was_leaving, self._is_leaving = leftover.is_leaving, False
        self._vips: dict[str, tuple[str, Line]] = {}
        """The network of each and its line, as they were last."""
        self._cache: dict[tuple[Route, RouteAttributes], tuple[str, Line]] = {}
        self.version = 0
        """Grows with every change that somebody asked for here."""

    @property
    def is_leaving(self) -> bool:
        """Whether routers are to prefer other nodes."""
        return self._is_leaving or self._was_leaving

    def leave(self, is_leaving: bool) -> None:
        """Have routers prefer other nodes, or no longer."""
        self.version += is_leaving != self.is_leaving
        self._is_leaving, self._was_leaving = is_leaving, False

    def add(self, address: str, default: RouteAttributes) -> None:
        """Announce a VIP. Raises ValueError."""
        if address not in self._vips:
            self._vips[address] = self._asked(address, default)
            self.version += 1

    def remove(self, address: str) -> None:
        """Announce it no longer. The route of a whole pool that was left stays: others may be asked for yet.

        Raises ValueError.
        """
        network = host_route(address).network
        known = (self._vips.pop(address, None), self._left.pop(network, None))
        self.version += known != (None, None)

    def tells_of(self, address: str, default: RouteAttributes) -> bool:
        """Whether there is a route for a VIP, if only one that was left. Raises ValueError."""
        return address in self._vips or self._asked(address, default)[0] in self._left

    def complete(self) -> None:
        """Whatever is announced was asked for."""
        self.version += bool(self._left or self._was_leaving)
        self._left.clear()
        self._was_leaving = False

    def lines(self, default: RouteAttributes) -> dict[str, Line]:
        """All routes, by network. Of VIPs that share one the first one's attributes count.

        A VIP for which there is nonsense now keeps what it had: the others must not wait for that.
        """
        made, self._cache = self._cache, {}
        found: dict[str, Line] = {}
        for address in sorted(self._vips):
            with contextlib.suppress(ValueError):
                key = (self._route_of(address), default)
                self._cache[key] = made.get(key) or _made(*key)
                self._vips[address] = self._cache[key]
            found.setdefault(*self._vips[address])
        return {**self._left, **found}

    def _asked(self, address: str, default: RouteAttributes) -> tuple[str, Line]:
        key = (self._route_of(address), default)
        if key not in self._cache:
            self._cache[key] = _made(*key)
        return self._cache[key]


def _made(route: Route, default: RouteAttributes) -> tuple[str, Line]:
    return str(parse_network(route.network)), line_of(route, default)
