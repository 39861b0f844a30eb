"""Builders of what a manager publishes to balancer nodes, sensible in all that a test does not care for."""

from collections.abc import Iterable

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import LoadBalancerRevision, Owner, TenantAllowed, VirtualServerDesired
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.bars import Bar
from fleetlb.domain.virtual_servers import RealServer, Scheduler, VirtualServer, VirtualServerKey, parse_key
from fleetlb.runtime.bus import Message

OWNER = Owner(tenant="acme", cluster_uid="cluster-1", service_uid="service-1")


def a_virtual_server(
    key: str | VirtualServerKey = "192.0.2.1:443/tcp",
    real_servers: Iterable[str] = ("10.0.0.1:31000",),
    *,
    scheduler: Scheduler = Scheduler.LEAST_CONNECTION,
) -> VirtualServer:
    """A virtual server; real servers are written `address:port`."""
    parsed = parse_key(key) if isinstance(key, str) else key
    pairs = (text.rpartition(":") for text in real_servers)
    return VirtualServer(
        key=parsed,
        real_servers=tuple(sorted(RealServer(host.strip("[]"), int(port)) for host, _, port in pairs)),
        scheduler=scheduler,
    )


def a_wish(
    key: str | VirtualServerKey = "192.0.2.1:443/tcp",
    real_servers: Iterable[str] | None = ("10.0.0.1:31000",),
    *,
    generation: int = 1,
    revision: int = 1,
) -> VirtualServerDesired:
    """A wish for a virtual server, or with `real_servers` None to let go of its key."""
    parsed = parse_key(key) if isinstance(key, str) else key
    return VirtualServerDesired(
        key=parsed,
        generation=generation,
        revision=revision,
        owner=OWNER,
        load_balancer=LoadBalancerRevision("load-balancer-1", revision),
        server=None if real_servers is None else a_virtual_server(parsed, real_servers),
        reason="" if real_servers or real_servers is None else "NoReadyBackend",
    )


def an_allowance(
    tenant: str = OWNER.tenant,
    *,
    node_cidrs: Iterable[str] | None = ("10.0.0.0/16",),
    prefixes: Iterable[str] = ("192.0.2.0/24",),
    node_port_range: str = "30000-32767",
    generation: int = 1,
    revision: int = 1,
    bars: tuple[Bar, ...] = (),
) -> TenantAllowed:
    """What a tenant may have on the group `default`; with `node_cidrs` None, that there is no such tenant."""
    return TenantAllowed(
        group="default",
        tenant=tenant,
        generation=generation,
        revision=revision,
        allowed=None
        if node_cidrs is None
        else Allowance(node_cidrs=tuple(node_cidrs), prefixes=tuple(prefixes), node_port_range=node_port_range),
        bars=bars,
    )


def as_message(wish: VirtualServerDesired, *, group: str = "default", sequence: int = 1) -> Message:
    """The wish as it comes from the bus."""
    return Message(subjects.desired(group, wish.key), codec.encode(wish), sequence)
