"""Who may see what. Pure: what is not in a view never leaves the process.

A tenant sees its own load balancers and itself. Of what it shares with others it sees groups by name and balancer nodes
as numbers; no pool, no process, no word about another tenant.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.tenants import Tenant
from fleetlb.explaining.situation import Carrying, Situation
from fleetlb.kube.holding import Held
from fleetlb_status.ui.pictures import Kind, NodeMark, ServicePicture, ThingChanged

THE_HUB = "the hub"
ASK = "ask the platform team"


class View(NamedTuple):
    """An operator's, or a tenant's."""

    tenant: str = ""
    """Empty: everything."""

    def has_service(self, tenant: str) -> bool:
        """Whether a load balancer of this tenant is seen."""
        return self.tenant in ("", tenant)

    def has_thing(self, thing: ThingChanged) -> bool:
        """Whether something around load balancers is seen."""
        return not self.tenant or (thing.kind is Kind.TENANT and thing.name == self.tenant)

    def service(self, picture: ServicePicture) -> ServicePicture:
        """A load balancer that is seen, as it is seen."""
        return narrowed(picture) if self.tenant else picture

    def situation(self, seen: Situation) -> Situation:
        """What is explained."""
        return _narrowed_situation(seen) if self.tenant else seen


OPERATOR = View()


def narrowed(picture: ServicePicture) -> ServicePicture:
    """As its tenant sees it."""
    marks = tuple(NodeMark(node=_number(at), state=mark.state) for at, mark in enumerate(picture.nodes, 1))
    return msgspec.structs.replace(picture, nodes=marks)


def _number(at: int) -> str:
    return f"balancer node {at}"


def _narrowed_situation(seen: Situation) -> Situation:
    nodes = seen.group.spec.nodes if seen.group else ()
    names = {node: _number(at) for at, node in enumerate(nodes, 1)}
    return msgspec.structs.replace(
        seen,
        tenant=_quiet(seen.tenant) if seen.tenant else None,
        group=_renamed(seen.group, names) if seen.group else None,
        realized={names[node]: said for node, said in seen.realized.items() if node in names},
        carried={names[node]: _without_interfaces(said) for node, said in seen.carried.items() if node in names},
        present={names[node]: said for node, said in seen.present.items() if node in names},
        manager=_nameless(seen.manager),
        status=_nameless(seen.status),
    )


def _renamed(group: BalancerGroup, names: Mapping[str, str]) -> BalancerGroup:
    draining = tuple(names[node] for node in group.spec.draining if node in names)
    spec = msgspec.structs.replace(group.spec, nodes=tuple(names.values()), draining=draining)
    return msgspec.structs.replace(group, spec=spec)


def _without_interfaces(said: Mapping[str, Carrying]) -> dict[str, Carrying]:
    return {
        address: msgspec.structs.replace(each, word=msgspec.structs.replace(each.word, to=()))
        for address, each in said.items()
    }


def _nameless(lease: Held) -> Held:
    return msgspec.structs.replace(lease, holder=THE_HUB, objection=lease.objection and ASK)


def _quiet(tenant: Tenant) -> Tenant:
    """What keeps a tenant from being ready may name others."""
    conditions = tuple(msgspec.structs.replace(c, message=ASK) for c in tenant.status.conditions)
    return msgspec.structs.replace(tenant, status=msgspec.structs.replace(tenant.status, conditions=conditions))
