"""What is known of a whole fleet at about one moment, as it was read. Values."""

from collections.abc import Mapping

import msgspec

from fleetlb.contracts.objects import AddressPool, BalancerGroup, LoadBalancer
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.kube.holding import Held


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """A whole fleet."""

    taken_at: float
    """Seconds since 1970."""
    tenants: tuple[Tenant, ...] = ()
    clusters: tuple[TenantCluster, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    pools: tuple[AddressPool, ...] = ()
    groups: tuple[BalancerGroup, ...] = ()
    managers: tuple[Held, ...]
    """Of each partition of tenants, by number."""
    status: Held
    nats: str
    """Where NATS is."""
    nats_problem: str = ""
    """Why it cannot be asked; empty: it answers."""
    following: Mapping[str, frozenset[str]] = {}
    """Group to those of its nodes that follow the hub right now; not known without NATS."""
    watchers: Mapping[str, float] = {}
    """Cluster to when its watcher last said that it lives, in seconds since 1970; without NATS nothing is known."""
