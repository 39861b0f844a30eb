"""From what is known to what is shown. Pure."""

from collections.abc import Iterable, Mapping

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.objects import AddressPool, BalancerGroup, BalancerNode, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.domain.conditions import READY, Condition, Reason, Status
from fleetlb.domain.traces import trace_id, unmarked
from fleetlb.explaining.passages import passages
from fleetlb.kube.holding import Held
from fleetlb_status.judging import Judged
from fleetlb_status.reporting import node_revisions
from fleetlb_status.ui.pictures import (
    Change,
    GroupPicture,
    Kind,
    NodeMark,
    NodePicture,
    PoolPicture,
    ProcessPicture,
    ServicePicture,
    State,
    TenantPicture,
    Thing,
    ThingChanged,
)

NOT_READ = "what its balancer nodes have said is still being read"


def service_of(balancer: LoadBalancer, judged: Judged | None) -> ServicePicture:
    """A load balancer; `judged`: its verdict, None while too little is known for one."""
    spec = balancer.spec
    nodes = node_revisions(balancer, judged.nodes, judged.realized) if judged else ()
    condition = _condition(balancer, judged)
    return ServicePicture(
        uid=balancer.metadata.name,
        tenant=spec.tenant,
        cluster=spec.cluster_uid,
        namespace=spec.service.namespace,
        name=spec.service.name,
        group=spec.group,
        pool=spec.pool,
        addresses=spec.addresses,
        ports=tuple(f"{port.port}/{port.protocol.value}" for port in spec.service.ports),
        state=_state(balancer, condition),
        reason=condition.reason if condition else "",
        message=unmarked(condition.message) if condition else NOT_READ,
        since=_since(balancer, condition),
        nodes=tuple(NodeMark(node=each.node, state=each.state) for each in nodes),
    )


def _condition(balancer: LoadBalancer, judged: Judged | None) -> Condition | None:
    """The one that says most: why a wish is refused, else whether it is served."""
    if judged is None:
        return None
    return judged.verdict.provisioned if balancer.spec.refusal else judged.verdict.serving


def _state(balancer: LoadBalancer, condition: Condition | None) -> State:
    if condition is None:
        return State.UNKNOWN
    if balancer.spec.refusal is not None:
        return State.REFUSED
    if condition.status is Status.TRUE:
        return State.SERVING
    return State.PENDING if condition.reason == Reason.IN_PROGRESS else State.NOT_SERVING


def _since(balancer: LoadBalancer, condition: Condition | None) -> str:
    """As far as the object says the same: it is written a moment later."""
    if condition is None:
        return ""
    said = (c for c in balancer.status.conditions if (c.type, c.status) == (condition.type, condition.status))
    return next((c.last_transition_time for c in said), "")


def change_of(before: ServicePicture | None, after: ServicePicture | None, journey: Journey, at: int) -> Change | None:
    """What a reader of the feed is told; None: nothing. `at`: microseconds since 1970."""
    seen = after or before
    if seen is None or not (text := _told(before, after)):
        return None
    return Change(
        at=at,
        uid=seen.uid,
        tenant=seen.tenant,
        namespace=seen.namespace,
        name=seen.name,
        state=after.state if after else None,
        text=text,
        trace=trace_id(journey.trace),
        stations=tuple(passages(journey.hops)),
    )


def _told(before: ServicePicture | None, after: ServicePicture | None) -> str:
    if after is None:
        return "is gone"
    if before is None:
        return f"came: {_how(after)}"
    said = []
    if (before.state, before.reason, before.message) != (after.state, after.reason, after.message):
        said.append(_how(after))
    if before.addresses != after.addresses:
        said.append(f"addresses {', '.join(after.addresses) or 'none'}")
    if before.ports != after.ports:
        said.append(f"ports {', '.join(after.ports)}")
    if before.nodes != after.nodes and not said:
        said.append(_progress(after))
    return "; ".join(said)


def _how(picture: ServicePicture) -> str:
    if picture.state is State.SERVING:
        return f"serving at {', '.join(picture.addresses)}"
    return f"{picture.state.value}: {picture.message}" if picture.message else picture.state.value


def _progress(picture: ServicePicture) -> str:
    done = sum(mark.state == "programmed" for mark in picture.nodes)
    return f"programmed on {done} of {len(picture.nodes)} balancer nodes"


def group_of(group: BalancerGroup) -> GroupPicture:
    """A balancer group, with a node that never said anything as one that is not ready."""
    heard = {node.name: node for node in group.status.nodes}
    return GroupPicture(
        name=group.metadata.name,
        engine=group.spec.engine.value,
        forwarding=group.spec.forwarding.value,
        nodes=tuple(_node(heard.get(name, BalancerNode(name=name))) for name in group.spec.nodes),
    )


def _node(node: BalancerNode) -> NodePicture:
    return NodePicture(name=node.name, ready=node.ready, version=node.version, virtual_servers=node.virtual_servers)


def tenant_of(tenant: Tenant) -> TenantPicture:
    """A tenant."""
    ready, reason = _ready(tenant.status.conditions)
    return TenantPicture(
        name=tenant.metadata.name,
        ready=ready,
        reason=reason,
        suspended=tenant.spec.suspended,
        usage=tenant.status.usage,
        quotas=tenant.spec.quotas,
    )


def pool_of(pool: AddressPool) -> PoolPicture:
    """An address pool."""
    ready, reason = _ready(pool.status.conditions)
    return PoolPicture(
        name=pool.metadata.name,
        group=pool.spec.group,
        ready=ready,
        reason=reason,
        ipv4=pool.status.ipv4,
        ipv6=pool.status.ipv6,
    )


def process_of(lease: Held) -> ProcessPicture:
    """Who holds a Lease."""
    return ProcessPicture(name=lease.name, holder=lease.holder if lease.is_held else "", objection=lease.objection)


def _ready(conditions: Iterable[Condition]) -> tuple[bool, str]:
    found = next((c for c in conditions if c.type == READY), None)
    return (found.status is Status.TRUE, found.reason) if found else (False, "NotLookedAt")


Things = Mapping[tuple[Kind, str], Thing]
"""By kind and name."""


def differences(before: Things, after: Things) -> list[ThingChanged]:
    """What is other than it was, by kind and name."""
    return [
        ThingChanged(kind=kind, name=name, value=after.get((kind, name)))
        for kind, name in sorted({*before, *after})
        if before.get((kind, name)) != after.get((kind, name))
    ]
