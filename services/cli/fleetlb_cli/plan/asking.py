"""Asks a fleet what would become of manifests: reads what is there, and has managers say what they would decide.

An adapter; writes nothing.
"""

from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import NAME_LABEL, NAMESPACE_LABEL, AddressPool
from fleetlb.contracts.plans import (
    MAX_PLANNED,
    PoolPlanAnswered,
    PoolPlanRequested,
    ServicesPlanAnswered,
    ServicesPlanRequested,
)
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.contracts.v1 import Message
from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.conditions import Refusal
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import parse_port_range
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Forbidden, Invalid, NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from fleetlb.kube.resources import SERVICES, Object
from fleetlb.kube.service_objects import Service, ServiceMeta, ServiceSpec
from fleetlb.kube.service_wishes import Claim, Selection, claim_of, parse_wish
from fleetlb.runtime.bus import Bus
from fleetlb_cli.plan.manifests import PoolWritten, ServiceWritten, converted
from fleetlb_cli.plan.storing import Surroundings, as_stored, without_dry_ports
from fleetlb_cli.plan.verdicts import (
    REFUSED,
    PoolVerdict,
    ServiceVerdict,
    not_ours,
    refused,
    verdict_on_pool,
    verdict_on_service,
)

M = TypeVar("M", bound=Message)


class Misasked(FleetlbError):
    """The question names what there is not, or leaves out what must be said."""


ANSWER_SECONDS = 10.0
NO_CLUSTER = "not-joined-yet"
"""In place of a cluster's UID while no watcher of the tenant has told of one."""


class Whose(NamedTuple):
    """Whose Services are asked about, and how their watcher is set up."""

    tenant: str
    cluster: str
    selection: Selection
    own: Cluster | None = None
    """The tenant's own cluster, if its API server can be asked to fill in what a manifest leaves open."""


class Place(NamedTuple):
    """A tenant and the one of its clusters."""

    tenant: Tenant
    cluster: str
    families: tuple[Family, ...]


async def ask_about_services(
    cluster: Cluster, bus: Bus, services: tuple[ServiceWritten, ...], whose: Whose
) -> tuple[list[ServiceVerdict], list[str]]:
    """A verdict on each, and what is to be said of all. Raises Misasked, ApiError and Transient."""
    if len(services) > MAX_PLANNED:
        raise Misasked(f"{len(services)} Services in one file, at most {MAX_PLANNED} can be asked about at once")
    place = await _place(cluster, whose)
    notes = [] if place.cluster != NO_CLUSTER else [f"no watcher of tenant {whose.tenant} has told of a cluster yet"]
    judged = [await _judge(cluster, each, place, whose) for each in services]
    wishes = tuple(each for each in judged if isinstance(each, TenantService))
    if wishes:
        question = ServicesPlanRequested(tenant=whose.tenant, cluster=place.cluster, services=wishes)
        answer = await _ask(bus, subjects.PLAN_SERVICES, question, ServicesPlanAnswered, f"tenant {whose.tenant}")
        if answer.problem or len(answer.plans) != len(wishes):
            raise Transient(answer.problem or "the manager did not answer for each Service")
        plans = iter(answer.plans)
        titled = [f"{whose.tenant}/{each.title}" for each in services]
        verdicts = [
            each if isinstance(each, ServiceVerdict) else verdict_on_service(title, next(plans))
            for title, each in zip(titled, judged, strict=True)
        ]
        return verdicts, notes
    return [each for each in judged if isinstance(each, ServiceVerdict)], notes


async def ask_about_pool(cluster: Cluster, bus: Bus, pool: PoolWritten) -> PoolVerdict:
    """A verdict on an AddressPool: first the API server's, then the manager's. Raises Transient."""
    item = AddressPool(metadata=ObjectMeta(name=pool.name), spec=pool.spec)
    try:
        await _dry_pool(cluster, item)
    except Invalid as problem:
        return PoolVerdict(pool=pool.name, verdict=REFUSED, message=str(problem))
    except Forbidden:  # whoever may not write may ask all the same
        pass
    question = PoolPlanRequested(name=pool.name, spec=pool.spec)
    answer = await _ask(bus, subjects.PLAN_POOL, question, PoolPlanAnswered, "the fleet")
    return verdict_on_pool(pool.name, answer)


async def _ask(bus: Bus, subject: str, question: Message, kind: type[M], whom: str) -> M:
    try:
        return codec.decode(kind, await bus.request(subject, codec.encode(question), ANSWER_SECONDS))
    except Transient as problem:
        cure = "fleetlb status names who acts; one of an earlier version knows no plans"
        raise Transient(f"no manager that acts for {whom} answers ({problem}); {cure}") from None


async def _place(cluster: Cluster, whose: Whose) -> Place:
    """Raises Misasked: there is no such tenant or cluster, or it must be said which."""
    try:
        tenant = await cluster.get(TENANTS, whose.tenant)
    except NotFound:
        raise Misasked(f"--tenant: there is no tenant {whose.tenant}; fleetlb tenant list names them") from None
    known = {item.metadata.name: item for item in await cluster.list(TENANT_CLUSTERS, tenant.namespace)}
    named = ", ".join(sorted(known))
    if whose.cluster and whose.cluster not in known:
        raise Misasked(f"--cluster: tenant {whose.tenant} has no cluster {whose.cluster}; it has {named or 'none'}")
    if len(known) > 1 and not whose.cluster:
        raise Misasked(f"--cluster: tenant {whose.tenant} has several clusters, say which: {named}")
    uid = whose.cluster or next(iter(known), NO_CLUSTER)
    return Place(tenant, uid, _families_of(known.get(uid)))


def _families_of(cluster: TenantCluster | None) -> tuple[Family, ...]:
    """Those of its nodes' addresses, IPv4 first; while there is no node, IPv4."""
    nodes = cluster.spec.nodes if cluster is not None else ()
    found = {family_of(address) for node in nodes for address in node.addresses}
    return tuple(family for family in Family if family in found) or (Family.IPV4,)


async def _judge(
    cluster: Cluster, written: ServiceWritten, place: Place, whose: Whose
) -> TenantService | ServiceVerdict:
    """What the watcher would make of a Service. Raises Misasked naming the field."""
    title = f"{whose.tenant}/{written.title}"
    alone = _left_alone(title, written.service.spec, whose.selection)
    if alone is not None:
        return alone
    try:
        metadata, spec = await _stored(cluster, written, place, whose.own)
    except Invalid as problem:
        return ServiceVerdict(service=title, verdict=REFUSED, message=f"the tenant's API server refuses it: {problem}")
    wish = parse_wish(metadata, spec, whose.selection)
    if isinstance(wish, Refusal):
        return refused(title, wish)
    try:
        return converted(msgspec.to_builtins(wish), TenantService)
    except ValueError as problem:
        raise Misasked(f"Service {written.title}: {problem}") from None


def _left_alone(title: str, spec: ServiceSpec, wanted: Selection) -> ServiceVerdict | None:
    match claim_of(spec, wanted):
        case Claim.PLAIN:
            return not_ours(title, f"spec.type is {spec.type}", "set spec.type to LoadBalancer")
        case Claim.FOREIGN:
            ours = wanted.load_balancer_class
            why = f"spec.loadBalancerClass is {spec.load_balancer_class}" if spec.load_balancer_class else "it has none"
            what = f"spec.loadBalancerClass {ours}" if ours is not None else "Services without spec.loadBalancerClass"
            cure = "--load-balancer-class says which one the tenant's watcher has"
            return not_ours(title, f"the watcher serves {what} alone, and {why}", cure)
    return None


async def _stored(
    cluster: Cluster, written: ServiceWritten, place: Place, own: Cluster | None
) -> tuple[ServiceMeta, ServiceSpec]:
    """The Service as it would be stored: as its API server says, else as far as that is known here. Raises Invalid."""
    if own is not None:
        try:
            item = await _dry_service(own, dict(written.item))
        except (NotFound, Forbidden):  # no such namespace yet, or no right to write there
            pass
        else:
            written = without_dry_ports(written, converted(item, Service))
    around = Surroundings(
        node_ports=parse_port_range(place.tenant.spec.node_port_range),
        families=place.families,
        standing=await _standing(cluster, written, place),
    )
    return written.service.metadata, as_stored(written, around)


async def _dry_service(own: Cluster, item: Object) -> Object:
    """A Service as its API server would store it, new or in place of the one that is there."""
    meta = item["metadata"]
    try:
        there = await own.get(SERVICES, meta["name"], meta["namespace"])
    except NotFound:
        return await own.dry_run(SERVICES, item, is_there=False)
    version = {"resourceVersion": there["metadata"]["resourceVersion"]}
    return await own.dry_run(SERVICES, {**item, "metadata": {**meta, **version}}, is_there=True)


async def _dry_pool(cluster: Cluster, item: AddressPool) -> None:
    """Have the API server judge an AddressPool. Raises Invalid and Forbidden."""
    try:
        there = await cluster.get(ADDRESS_POOLS, item.metadata.name)
    except NotFound:
        await cluster.dry_run(ADDRESS_POOLS, item, is_there=False)
    else:
        await cluster.dry_run(ADDRESS_POOLS, replace(there, spec=item.spec), is_there=True)


async def _standing(cluster: Cluster, written: ServiceWritten, place: Place) -> TenantService | None:
    """What the Service of that name wishes now."""
    meta = written.service.metadata
    selector = f"{NAMESPACE_LABEL}={meta.namespace},{NAME_LABEL}={meta.name}"
    found = await cluster.list(LOAD_BALANCERS, place.tenant.namespace, label_selector=selector)
    return next((item.spec.service for item in found if item.spec.cluster_uid == place.cluster), None)
