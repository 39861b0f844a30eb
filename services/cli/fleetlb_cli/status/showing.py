"""A fleet as tables for a terminal. Formats only."""

from collections.abc import Iterator

from fleetlb.contracts.objects import PoolCounts
from fleetlb.domain.conditions import Status
from fleetlb_cli.rendering import Column, Line, Page, Part, Row, Tone
from fleetlb_cli.status.judging import SERVED
from fleetlb_cli.status.view import FleetView, GroupView, NodeView, PoolView, State, TenantView, Trouble
from fleetlb_cli.tenants.tables import printable

MOST_TROUBLES = 20
MOST_ROWS = 15
"""Of one table: a screen has room for no more."""
NOBODY = "nobody"


def page_of(fleet: FleetView) -> Page:
    """Everything, what is wrong last: that is what stays on the screen."""
    parts = (hub_part(fleet), groups_part(fleet), nodes_part(fleet), pools_part(fleet), tenants_part(fleet))
    return Page(tuple(part._replace(most=MOST_ROWS) for part in parts), fleet, tuple(_verdict(fleet)))


def hub_part(fleet: FleetView) -> Part:
    """The processes of the hub, and NATS."""
    rows = [
        Row(
            f"lease/fleetlb-{each.name}",
            (each.name, each.holder or NOBODY, "closed: a restore waits to be accepted" if each.objection else "open"),
            Tone.BAD if each.objection or not each.holder else Tone.GOOD,
        )
        for each in fleet.processes
    ]
    nats = fleet.nats
    answers = f"cannot be asked: {nats.problem}" if nats.problem else "answers"
    rows.append(Row("", ("nats", nats.url, answers), Tone.BAD if nats.problem else Tone.GOOD))
    return Part("hub", _columns("PROCESS", "HELD BY", "GATE"), tuple(rows))


def groups_part(fleet: FleetView) -> Part:
    """Balancer groups."""
    return Part(
        "balancer groups",
        _columns("NAME", "NODES", "ENGINE", "FORWARDING*", "VIRTUAL SERVERS"),
        tuple(map(_group, fleet.groups)),
    )


def nodes_part(fleet: FleetView) -> Part:
    """Balancer nodes."""
    return Part(
        "balancer nodes",
        _columns("NAME", "GROUP", "READY", "FOLLOWS", "ENGINE", "VIRTUAL SERVERS", "VERSION*"),
        tuple(_node(group, node) for group in fleet.groups for node in group.nodes),
    )


def pools_part(fleet: FleetView) -> Part:
    """Pools, a line for each family that they have."""
    return Part(
        "address pools",
        _columns("NAME", "FAMILY", "USED", "QUARANTINED", "FREE", "READY", "GROUP*", "PRIORITY*"),
        tuple(row for pool in fleet.pools for row in _pool(pool)),
    )


def tenants_part(fleet: FleetView) -> Part:
    """Tenants, and their load balancers by state."""
    states = (state.value.upper() for state in State)
    return Part(
        "tenants",
        _columns("NAME", "READY", "STATE", *states, "ADDRESSES*", "CLUSTERS*", "SILENT WATCHERS*"),
        tuple(map(_tenant, fleet.tenants)),
    )


def _columns(*heads: str) -> tuple[Column, ...]:
    """A star marks those of the wide form."""
    return tuple(Column(head.rstrip("*"), head.endswith("*")) for head in heads)


def _group(group: GroupView) -> Row:
    well = sum(node.is_well for node in group.nodes)
    most = max((node.virtual_servers for node in group.nodes), default=0)
    cells = (group.name, f"{well}/{len(group.nodes)}", group.engine, group.forwarding, str(most))
    return Row(f"balancergroup/{group.name}", cells, Tone.GOOD if well == len(group.nodes) else Tone.BAD)


def _node(group: GroupView, node: NodeView) -> Row:
    follows = "unknown" if node.following is None else _yes(node.following)
    cells = (
        node.name,
        group.name,
        _yes(node.ready),
        follows,
        group.engine,
        str(node.virtual_servers),
        node.version or "unknown",
    )
    return Row(f"balancernode/{node.name}", cells, Tone.GOOD if node.is_well else Tone.BAD)


def _pool(pool: PoolView) -> Iterator[Row]:
    families = [("IPv4", pool.ipv4), ("IPv6", pool.ipv6)]
    had = [each for each in families if each[1].total] or families[:1]
    for at, (family, counts) in enumerate(had):
        yield Row("" if at else f"addresspool/{pool.name}", _counted(pool, family, counts), _tone(pool, counts))


def _counted(pool: PoolView, family: str, counts: PoolCounts) -> tuple[str, ...]:
    ready = pool.ready.value if pool.ready is Status.TRUE else f"{pool.ready.value}: {pool.reason}"
    numbers = (str(counts.used), str(counts.quarantined), str(counts.free))
    return (pool.name, family, *numbers, ready, pool.group, str(pool.priority))


def _tone(pool: PoolView, counts: PoolCounts) -> Tone:
    if pool.ready is not Status.TRUE:
        return Tone.BAD
    return Tone.GOOD if counts.free else Tone.DOUBTFUL


def _tenant(tenant: TenantView) -> Row:
    counts = [tenant.load_balancers.get(state, 0) for state in State]
    silent = ", ".join(tenant.silent_watchers) or "none"
    cells = (tenant.name, tenant.ready.value, tenant.state, *map(str, counts))
    more = (str(tenant.addresses), str(tenant.clusters), silent)
    return Row(f"tenant/{tenant.name}", (*cells, *more), _tone_of_tenant(tenant))


def _tone_of_tenant(tenant: TenantView) -> Tone:
    if tenant.state != SERVED:
        return Tone.DOUBTFUL
    if tenant.ready is not Status.TRUE or tenant.silent_watchers:
        return Tone.BAD
    all_serve = sum(tenant.load_balancers.values()) == tenant.load_balancers.get(State.SERVING, 0)
    return Tone.GOOD if all_serve else Tone.DOUBTFUL


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _verdict(fleet: FleetView) -> Iterator[Line]:
    if not fleet.troubles:
        yield Line("nothing is wrong", Tone.GOOD)
        return
    yield Line(f"wrong: {len(fleet.troubles)}", Tone.HEAD)
    for trouble in fleet.troubles[:MOST_TROUBLES]:
        yield from _lines(trouble)
    if len(fleet.troubles) > MOST_TROUBLES:
        yield Line(f"  and {len(fleet.troubles) - MOST_TROUBLES} more: -o json names them all")


def _lines(trouble: Trouble) -> Iterator[Line]:
    yield Line(f"  {printable(trouble.about)}: {printable(trouble.text)}", Tone.BAD)
    yield Line(f"    next: {printable(trouble.next)}")
