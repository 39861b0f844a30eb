"""What is wrong with a fleet, and the command that tells more or mends it: one line for each thing. Pure."""

from collections.abc import Iterable, Iterator

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.domain.conditions import SERVING, Status
from fleetlb.domain.traces import unmarked
from fleetlb_cli.audit.picture import named
from fleetlb_cli.status.view import (
    GroupView,
    NatsView,
    NodeView,
    PoolView,
    ProcessView,
    State,
    TenantView,
    Trouble,
)

DRAINING = "Draining"
"""Reason of a pool that is deleted and waits for its last address: as somebody wanted it."""
SERVED, SUSPENDED, REMOVAL = "served", "suspended", "removal"
"""How a tenant is; the last is followed by how far it is."""


def troubles_of(
    nats: NatsView,
    processes: Iterable[ProcessView],
    tenants: Iterable[TenantView],
    groups: Iterable[GroupView],
    pools: Iterable[PoolView],
    states: Iterable[tuple[LoadBalancer, State]],
) -> Iterator[Trouble]:
    """What concerns most comes first."""
    if nats.problem:
        text = f"cannot be asked from here: {nats.problem}: is it up, and are the credentials good?"
        yield Trouble(about="NATS", text=text, next="fleetlb sysdump")
    for process in processes:
        yield from _of_process(process)
    for group in groups:
        yield from (_of_node(group, node) for node in group.nodes if not node.is_well)
    yield from (_of_pool(pool) for pool in pools if pool.ready is not Status.TRUE and pool.reason != DRAINING)
    for tenant in tenants:
        yield from _of_tenant(tenant)
    yield from (_of_balancer(item, state) for item, state in states if state is not State.SERVING)


def _of_process(process: ProcessView) -> Iterator[Trouble]:
    lease = f"fleetlb-{process.name}"
    if not process.holder:
        text = f"nobody holds the Lease {lease}: start one; what is served is served on"
        yield Trouble(about=process.name, text=text, next="fleetlb sysdump")
    if process.objection:
        yield Trouble(about=process.name, text=process.objection, next="fleetlb restore show")


def _of_node(group: GroupView, node: NodeView) -> Trouble:
    command = "fleetlb audit"
    if node.following is False:
        text = "does not follow the hub: its dataplane-programmer is away, or is not let in"
    elif not node.ready:
        text = "is not ready: its /readyz says what it waits for"
    else:
        told = ", ".join(f"{peer} ({why})" for peer, why in node.untold.items())
        text, command = f"tells these routers of no VIP: {told}", f"kubectl describe balancergroup {group.name}"
    return Trouble(about=f"node {node.name} of group {group.name}", text=text, next=command)


def _of_pool(pool: PoolView) -> Trouble:
    text = f"is not ready: {pool.reason or 'no manager has looked at it'}"
    return Trouble(about=f"pool {pool.name}", text=text, next=f"kubectl describe addresspool {pool.name}")


def _of_tenant(tenant: TenantView) -> Iterator[Trouble]:
    about, command = f"tenant {tenant.name}", f"fleetlb tenant show {tenant.name}"
    if tenant.state.startswith(REMOVAL):
        return  # as somebody wanted it
    if tenant.ready is not Status.TRUE:
        yield Trouble(about=about, text="is not ready", next=command)
    if tenant.state == SUSPENDED:
        return  # its watchers are cut on purpose
    for cluster in tenant.silent_watchers:
        yield Trouble(about=about, text=f"the watcher of cluster {cluster} is silent", next=command)


def _of_balancer(item: LoadBalancer, state: State) -> Trouble:
    said = next((c for c in item.status.conditions if c.type == SERVING), None)
    if item.spec.refusal is not None:
        text = f"{item.spec.refusal.reason.value}: {item.spec.refusal.message}"
    elif said is not None and state is State.NOT_SERVING:
        text = f"{said.reason}: {unmarked(said.message)}"
    else:
        text = "the hub is still at it"
    return Trouble(about=f"service {named(item)}", text=f"{state.value}: {text}", next=f"fleetlb why svc {named(item)}")
