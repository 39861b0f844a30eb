"""Whether real servers take connections: what a check proves of a port and of its host, and what follows for a virtual
server. Pure; knows no clock and no socket.

Only TCP can be checked without knowing what is spoken: a real server that takes a connection is healthy. Of UDP and
SCTP nothing is known, so their real servers count as healthy. Where the nodes of a Service have a health check port,
it is a second opinion, whatever the protocol: a real server is healthy if both say so. That port answers for all ports
of the Service on that node and is asked once for all of them, which is why the two are targets of their own.
"""

from collections.abc import Mapping

import msgspec

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import RealServer, VirtualServer


class Target(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """An address and port where something can be seen of a real server: whether it takes a connection, or, if it is to
    be asked, whether it says that all is well."""

    address: str
    port: int
    is_asked: bool = False


FALL = 3
"""Failures in a row that make a target unhealthy."""
RISE = 2
"""Successes in a row that make it healthy again."""
SILENT_PORTS = 3
"""Ports of one host that must keep silent, and no other speak, before all its ports count as failed."""


class Pulse(msgspec.Struct, frozen=True, gc=False):
    """What the checks of one target have shown so far."""

    is_healthy: bool = True
    failures: int = 0
    """In a row."""
    successes: int = 0
    """In a row, counted while it is unhealthy."""

    @property
    def is_settled(self) -> bool:
        """Whether the last check agrees with what is held of the target."""
        return not self.failures if self.is_healthy else not self.successes


HEALTHY = Pulse()
"""Until proven otherwise: a check must not delay serving."""
UNPROVEN = Pulse(failures=FALL - 1)
"""When this process has just begun, one failure is enough: nothing speaks for the target, and what served before this
process may have found it dead already."""


def beat(pulse: Pulse, took_connection: bool) -> Pulse:
    """The pulse after one more check."""
    if not took_connection:
        failures = pulse.failures + 1
        return Pulse(is_healthy=pulse.is_healthy and failures < FALL, failures=failures)
    if pulse.is_healthy or pulse.successes + 1 >= RISE:
        return HEALTHY
    return Pulse(is_healthy=False, successes=pulse.successes + 1)


def silenced(pulse: Pulse) -> Pulse:
    """The pulse of a target whose host is dead, so that its own checks need not be waited for."""
    return Pulse(is_healthy=False, failures=max(FALL, pulse.failures))


class Doubt(msgspec.Struct, frozen=True):
    """A host that was last seen silent: since when, and which ports kept silent on checks that began later.

    Ports may be filtered and queues full, so one silent port says nothing of its host. Those asked because of it do:
    were the host alive, some would take a connection or refuse it, and end the doubt.
    """

    since: float
    silent: frozenset[int] = frozenset()

    @property
    def is_certain(self) -> bool:
        """Whether the host is taken for dead."""
        return len(self.silent) >= SILENT_PORTS


def doubt_after(
    doubt: Doubt | None, port: int, was: Pulse, *, was_heard: bool, began: float, now: float
) -> Doubt | None:
    """What is thought of a host after a check of `port` that began and ended at these times; None: it lives.

    `was`: the pulse before the check. A silence that was to be expected proves nothing, and only one that surprises,
    so that others are asked, begins a doubt.
    """
    if was_heard:
        return None
    if doubt is None:
        return Doubt(now) if was.is_healthy and was.is_settled else None
    if began < doubt.since or doubt.is_certain or not was.is_healthy:
        return doubt
    return Doubt(doubt.since, doubt.silent | {port})


class Verdict(msgspec.Struct, frozen=True):
    """What is held of the real servers of one virtual server."""

    healthy: int | None = None
    """How many of those that are wished to take connections can; None: nothing is checked."""
    out: frozenset[Target] = frozenset()
    """Where no new connection goes, as `target_of` has it."""
    brake: bool = False
    """Unhealthy real servers keep taking connections, because too many failed at once."""


UNCHECKED = Verdict()


def target_of(real_server: RealServer) -> Target:
    """Where a real server takes connections: what it is known by here."""
    return Target(real_server.address, real_server.check_port or real_server.port)


def members_of(server: VirtualServer) -> frozenset[Target]:
    """The real servers of which anything can be known: those that drain are left alone."""
    if server.key.protocol is not Protocol.TCP and not server.health_check_port:
        return frozenset()
    return frozenset(target_of(real_server) for real_server in server.real_servers if real_server.weight > 0)


def opinions_on(server: VirtualServer, member: Target) -> tuple[Target, ...]:
    """What shows whether a member is healthy: itself where it can be dialled, and its node where that is asked."""
    dialled = (member,) if server.key.protocol is Protocol.TCP else ()
    if not server.health_check_port:
        return dialled
    return *dialled, Target(member.address, server.health_check_port, is_asked=True)


def targets_of(server: VirtualServer) -> frozenset[Target]:
    """What is checked for a virtual server."""
    members = members_of(server)
    if not server.health_check_port:
        return members
    return frozenset(target for member in members for target in opinions_on(server, member))


def down_of(
    server: VirtualServer, failing: Mapping[Target, float], before: Mapping[Target, float]
) -> Mapping[Target, float]:
    """Which members are down: those of which any opinion is bad, since the first of them is.

    `before`: the answer of before. A member that fails in another way by now has been down all the time.
    """
    if not server.health_check_port or not failing:
        return failing
    down: dict[Target, float] = {}
    for member in members_of(server):
        since = [failing[target] for target in opinions_on(server, member) if target in failing]
        if since:
            down[member] = before.get(member, min(since))
    return down


def takers(server: VirtualServer) -> int:
    """Real servers that take new connections; weight 0 is draining."""
    return sum(1 for real_server in server.real_servers if real_server.weight > 0)


def effective(server: VirtualServer, out: frozenset[Target]) -> VirtualServer:
    """The same virtual server with weight 0 for the real servers that are out: what lives there goes on."""
    if not out:
        return server
    real_servers = (
        msgspec.structs.replace(real_server, weight=0) if target_of(real_server) in out else real_server
        for real_server in server.real_servers
    )
    return msgspec.structs.replace(server, real_servers=tuple(real_servers))
