"""One local route for each network of VIPs, by routing netlink: what makes the kernel take a VIP's packets for its own.

A route for a whole pool costs the same however many of its addresses are in use; an address for each VIP is
quadratic. Ours carry a protocol number of their own, and no other route is ever removed. Only this module imports
pyroute2. Everything happens in the network namespace of the event loop's thread.
"""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import prometheus_client
import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fleetlb.domain.addresses import parse_network
from fleetlb.domain.errors import Transient

REPAIRS = prometheus_client.Counter("fleetlb_route_repairs_total", "Routes of VIPs that others changed, mended.")

PROTOCOL = 0xF1
"""Who made a route, as `ip route` shows it; /etc/iproute2/rt_protos gives 0xf1 to nobody."""
_LOOPBACK, _TABLE_LOCAL, _TYPE_LOCAL, _SCOPE_HOST = 1, 255, 2, 254
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Route(NamedTuple):
    """A route in the table `local`."""

    prefix: str
    is_local: bool = True
    is_ours: bool = True


class Changes(NamedTuple):
    """What leads to the wanted routes."""

    missing: list[str]
    extra: list[str]


def compare(wanted: Iterable[str], held: Iterable[Route]) -> Changes:
    """A network that somebody else made local needs no route of ours; one that we made and nobody wants is extra."""
    wishes = {str(parse_network(prefix)) for prefix in wanted}
    routes = set(held)
    served = {route.prefix for route in routes if route.is_local}
    ours = {route.prefix for route in routes if route.is_ours}
    return Changes(sorted(wishes - served), sorted(ours - wishes))


class LocalRoutes:
    """The routes of this node's networks of VIPs. Calls may overlap."""

    def __init__(self) -> None:
        """Nothing is known, and nothing removed before `sync` says what is wanted."""
        self._wanted: set[str] = set()
        self._held: set[str] = set()
        self._is_complete = False
        self._lock = asyncio.Lock()
        self._log = structlog.get_logger()

    async def add(self, prefix: str) -> None:
        """Have this network routed here; O(1) if it is. Raises Transient, and ValueError for what is no network."""
        network = str(parse_network(prefix))
        self._wanted.add(network)
        if network not in self._held:
            async with self._lock:
                if network not in self._held:  # what was asked for meanwhile went together
                    await self._bring()

    async def remove(self, prefix: str) -> None:
        """Have this network no longer routed here, if the route is ours. Raises Transient, ValueError."""
        network = str(parse_network(prefix))
        self._wanted.discard(network)
        async with self._lock:
            if network not in self._wanted:
                self._held.discard(network)
                with _as_transient():
                    async with AsyncIPRoute() as netlink:
                        await _remove(netlink, network)

    async def sync(self, prefixes: Collection[str]) -> int:
        """Have exactly these routed; returns how many routes were changed. Raises Transient, ValueError."""
        # Before anything is awaited: what is asked for from now on comes on top.
        self._wanted, self._is_complete = {str(parse_network(prefix)) for prefix in prefixes}, True
        async with self._lock:
            return await self._bring()

    async def audit(self) -> int:
        """Look whether others changed them, mend it, and return how many were changed. Raises Transient."""
        async with self._lock:
            repaired = await self._bring()
        if repaired:
            REPAIRS.inc(repaired)
            self._log.warning("others changed the routes of VIPs; they are mended", routes=repaired)
        return repaired

    async def _bring(self) -> int:
        """Add first, so that a network which is cut in two is always routed. The lock is held."""
        wanted = set(self._wanted)
        self._held &= wanted  # who asks for one that is about to be removed must not think that it is here
        with _as_transient():
            async with AsyncIPRoute() as netlink:
                missing, extra = compare(wanted, await _listed(netlink))
                for prefix in missing:
                    await _add(netlink, prefix)
                if not self._is_complete:
                    extra = []
                for prefix in extra:
                    await _remove(netlink, prefix)
        self._held = wanted & self._wanted
        return len(missing) + len(extra)


@contextlib.contextmanager
def _as_transient() -> Iterator[None]:
    try:
        yield
    except (NetlinkError, OSError) as problem:
        raise Transient(f"the routes of VIPs cannot be changed: {problem}") from problem


async def _listed(netlink: Any) -> list[Route]:
    found = []
    for family in _FAMILIES:
        async for route in await netlink.route("dump", family=family, table=_TABLE_LOCAL):
            # Netlink leaves the destination out where it is everything.
            address = route.get("dst") or ("::" if family == socket.AF_INET6 else "0.0.0.0")  # noqa: S104
            prefix = str(ipaddress.ip_network(f"{address}/{route['dst_len']}", strict=False))
            found.append(Route(prefix, route["type"] == _TYPE_LOCAL, route["proto"] == PROTOCOL))
    return found


async def _add(netlink: Any, prefix: str) -> None:
    try:
        await netlink.route("add", **_specification(prefix))
    except NetlinkError as problem:
        if problem.code == errno.EEXIST:  # it is not local, or it would not be missing
            raise Transient(f"the table local has another route of {prefix}: remove it") from problem
        raise Transient(f"{prefix} cannot be routed here: {problem}") from problem


async def _remove(netlink: Any, prefix: str) -> None:
    try:
        await netlink.route("del", **_specification(prefix))
    except NetlinkError as problem:
        if problem.code != errno.ESRCH:  # somebody was faster
            raise


def _specification(prefix: str) -> dict[str, Any]:
    return {
        "dst": prefix,
        "oif": _LOOPBACK,
        "type": "local",
        "table": _TABLE_LOCAL,
        "proto": PROTOCOL,
        "scope": _SCOPE_HOST,
    }
