"""From what was read of a fleet to what an operator sees of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from fleetlb.contracts.objects import AddressPool, BalancerGroup, BalancerNode, LoadBalancer
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.domain.conditions import READY, SERVING, Condition, Status
from fleetlb.kube.holding import Held
from fleetlb_cli.audit.times import age_of
from fleetlb_cli.status.judging import REMOVAL, SERVED, SUSPENDED, troubles_of
from fleetlb_cli.status.sight import Sight
from fleetlb_cli.status.view import (
    FleetView,
    GroupView,
    NatsView,
    NodeView,
    PoolView,
    ProcessView,
    State,
    TenantView,
)
from fleetlb_cli.tenants.judging import outlook, readiness
from fleetlb_cli.tenants.times import spelled

SILENCE_SECONDS = 60.0
"""A watcher says every 15 s that it lives."""
NEW_SECONDS = 15.0
"""So long the hub may be at a new load balancer; somebody makes one all the time."""


def view_of(sight: Sight) -> FleetView:
    """Everything, by name."""
    balancers = sorted(sight.load_balancers, key=_place)
    states = [(each, state_of(each)) for each in balancers]
    tenants = tuple(_tenants(sight, states))
    groups = tuple(_group(each, sight) for each in sorted(sight.groups, key=lambda g: g.metadata.name))
    pools = tuple(_pool(each) for each in sorted(sight.pools, key=lambda p: p.metadata.name))
    nats = NatsView(url=sight.nats, problem=sight.nats_problem)
    processes = tuple(_process(lease) for lease in (*sight.managers, sight.status))
    told = [(item, state) for item, state in states if state is not State.PENDING or not _is_new(item, sight)]
    troubles = tuple(troubles_of(nats, processes, tenants, groups, pools, told))
    return FleetView(
        taken_at=spelled(int(sight.taken_at)),
        serving=not troubles,
        nats=nats,
        processes=processes,
        tenants=tenants,
        groups=groups,
        pools=pools,
        troubles=troubles,
    )


def state_of(item: LoadBalancer) -> State:
    """How a load balancer is."""
    if item.spec.refusal is not None:
        return State.REFUSED
    serving = next((c for c in item.status.conditions if c.type == SERVING), None)
    if serving is None or item.status.observed_generation != item.metadata.generation:
        return State.PENDING
    if serving.status is Status.TRUE:
        return State.SERVING
    return State.PENDING if serving.status is Status.UNKNOWN else State.NOT_SERVING


def _is_new(item: LoadBalancer, sight: Sight) -> bool:
    return age_of(item.metadata.creation_timestamp, sight.taken_at) < NEW_SECONDS


def _place(item: LoadBalancer) -> tuple[str, str, str]:
    return item.spec.tenant, item.spec.service.namespace, item.spec.service.name


def _process(lease: Held) -> ProcessView:
    return ProcessView(
        name=lease.name.removeprefix("fleetlb-"),
        holder=lease.holder if lease.is_held else "",
        objection=lease.objection,
    )


def _tenants(sight: Sight, states: Iterable[tuple[LoadBalancer, State]]) -> Iterator[TenantView]:
    counts = Counter((item.spec.tenant, state) for item, state in states)
    clusters: dict[str, list[TenantCluster]] = {}
    for cluster in sight.clusters:
        clusters.setdefault(cluster.spec.tenant, []).append(cluster)
    for tenant in sorted(sight.tenants, key=lambda t: t.metadata.name):
        name = tenant.metadata.name
        own = clusters.get(name, [])
        yield TenantView(
            name=name,
            ready=readiness(tenant).status,
            state=state_of_tenant(tenant),
            load_balancers={state: counts[name, state] for state in State},
            addresses=tenant.status.usage.addresses,
            clusters=len(own),
            silent_watchers=() if sight.nats_problem else silent(own, sight.watchers, sight.taken_at),
        )


def state_of_tenant(tenant: Tenant) -> str:
    """Whether it is served, and if not, as whom somebody wanted it."""
    if tenant.metadata.deletion_timestamp is not None:
        said = outlook(tenant, tenant.metadata.uid, confirmed=False)
        return f"{REMOVAL} {said.removal.value}"
    return SUSPENDED if tenant.spec.suspended else SERVED


def silent(clusters: Iterable[TenantCluster], heard: Mapping[str, float], now: float) -> tuple[str, ...]:
    """Names of those whose watcher has not been heard for long. `heard`: by cluster; both in seconds since 1970."""
    names = sorted(cluster.metadata.name for cluster in clusters)
    return tuple(name for name in names if now - heard.get(name, 0.0) > SILENCE_SECONDS)


def _group(group: BalancerGroup, sight: Sight) -> GroupView:
    name, said = group.metadata.name, {node.name: node for node in group.status.nodes}
    following = None if sight.nats_problem else sight.following.get(name, frozenset())
    return GroupView(
        name=name,
        engine=group.spec.engine.value,
        forwarding=group.spec.forwarding.value,
        nodes=tuple(_node(said.get(node, BalancerNode(name=node)), following) for node in group.spec.nodes),
    )


def _node(node: BalancerNode, following: frozenset[str] | None) -> NodeView:
    return NodeView(
        name=node.name,
        ready=node.ready,
        following=None if following is None else node.name in following,
        version=node.version,
        virtual_servers=node.virtual_servers,
        untold={session.peer: session.problem for session in node.sessions if not session.up},
    )


def _pool(pool: AddressPool) -> PoolView:
    ready = next((c for c in pool.status.conditions if c.type == READY), _NOT_LOOKED_AT)
    return PoolView(
        name=pool.metadata.name,
        group=pool.spec.group,
        priority=pool.spec.priority,
        ready=ready.status,
        reason=ready.reason,
        ipv4=pool.status.ipv4,
        ipv6=pool.status.ipv6,
    )


_NOT_LOOKED_AT = Condition(type=READY, status=Status.UNKNOWN, reason="NotLookedAt")
