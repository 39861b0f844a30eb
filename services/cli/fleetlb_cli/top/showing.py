"""One kind of thing of a fleet, those that have most first. Formats only."""

from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from fleetlb_cli.rendering import Line, Page, Part, Tone
from fleetlb_cli.status.showing import groups_part, nodes_part, tenants_part
from fleetlb_cli.status.view import FleetView, GroupView, NodeView, TenantView
from fleetlb_cli.tenants.tables import printable

By = Literal["tenants", "groups", "nodes"]


def page_of(fleet: FleetView, by: By, problem: str = "") -> Page:
    """A table, and a line on the whole. `problem`: why the last look failed, if it did."""
    return Page((_part(fleet, by),), fleet, tuple(_closing(fleet, problem)))


def _part(fleet: FleetView, by: By) -> Part:
    match by:
        case "tenants":
            return tenants_part(replace(fleet, tenants=tuple(sorted(fleet.tenants, key=_most_of_tenant))))
        case "groups":
            return groups_part(replace(fleet, groups=tuple(sorted(fleet.groups, key=_most_of_group))))
        case "nodes":
            part = nodes_part(fleet)
            nodes = [node for group in fleet.groups for node in group.nodes]
            order = sorted(range(len(nodes)), key=lambda at: _most_of_node(nodes[at]))
            return part._replace(rows=tuple(part.rows[at] for at in order))


def _most_of_tenant(tenant: TenantView) -> tuple[int, str]:
    return -sum(tenant.load_balancers.values()), tenant.name


def _most_of_group(group: GroupView) -> tuple[int, str]:
    return -max((node.virtual_servers for node in group.nodes), default=0), group.name


def _most_of_node(node: NodeView) -> tuple[int, str]:
    return -node.virtual_servers, node.name


def _closing(fleet: FleetView, problem: str) -> Iterator[Line]:
    if fleet.troubles:
        yield Line(f"{fleet.taken_at}  wrong: {len(fleet.troubles)}; fleetlb status names them", Tone.BAD)
    else:
        yield Line(f"{fleet.taken_at}  nothing is wrong", Tone.GOOD)
    if problem:
        yield Line(f"that is how it was; now the fleet cannot be looked at: {printable(problem)}", Tone.BAD)
