"""What would become of a Service, in an operator's words. Rehearses, and writes nothing."""

from collections.abc import Iterable

from fleetlb.contracts.objects import AddressClaim, BalancerGroup
from fleetlb.contracts.plans import PlannedAddress, PlannedPort, ServicePlan
from fleetlb.domain.conditions import Status
from fleetlb.domain.services import ServiceEndpoints, TenantService
from fleetlb.domain.tenancy import Grant
from fleetlb_manager.choices import Choice, Holding
from fleetlb_manager.counting import group_condition
from fleetlb_manager.deciding import Course
from fleetlb_manager.eligible_pools import EligiblePools
from fleetlb_manager.granting import as_wished
from fleetlb_manager.identities import ClusterKey, ServiceKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.planning import planned_servers
from fleetlb_manager.registering import NOT_READY, Registration
from fleetlb_manager.rehearsing import Rehearsal


def foretell_service(rehearsal: Rehearsal, cluster: ClusterKey, service: TenantService, number: int) -> ServicePlan:
    """What would become of a Service; `number` tells new ones apart. Raises Transient."""
    memory = rehearsal.memory
    found = _service_named(memory, cluster, service.namespace, service.name)
    key = found or ServiceKey(*cluster, f"planned-{number}")
    said, known = memory.observations.service(key), memory.load_balancers.get(key)
    registration = memory.registrations.get(key.tenant, Registration())
    had, shown = known.spec.addresses if known is not None else (), said.shown if said is not None else ()
    wished = as_wished(registration, service)
    notes = _notes_on_the_way(rehearsal, found) + _notes_on_defaults(service, wished)
    reasons = _Reasons(memory, key, wished, had or shown)
    outcome = rehearsal.place(key, service, shown)
    uid = found.uid if found is not None else ""
    if not isinstance(outcome, Choice):
        if outcome.refusal == NOT_READY and registration.refusal is not None:
            notes += (f"why it is not ready: {registration.refusal.message}",)
        return ServicePlan(uid=uid, refusal=outcome.refusal, before=had, notes=notes)
    group = memory.groups.get(outcome.group)
    return ServicePlan(
        uid=uid,
        addresses=tuple(
            PlannedAddress(address=each.address, pool=each.pool, why=reasons.why(each, registration.grant))
            for each in outcome.holdings
        ),
        before=had,
        missing=outcome.short.refusal if outcome.short else None,
        group=outcome.group,
        nodes=group.spec.nodes if group is not None else (),
        ports=_ports(memory, key, said.endpoints if said is not None else None),
        notes=notes + _notes_on_group(memory, outcome.group, group),
    )


def _ports(memory: Memory, key: ServiceKey, endpoints: ServiceEndpoints | None) -> tuple[PlannedPort, ...]:
    item = memory.load_balancers.get(key)
    return tuple(
        PlannedPort(key=each.server.key, real_servers=len(each.server.real_servers), reason=each.reason or "")
        for each in (planned_servers(memory, key, item.spec, endpoints) if item is not None else ())
    )


def _service_named(memory: Memory, cluster: ClusterKey, namespace: str, name: str) -> ServiceKey | None:
    """The Service of that name that is there. O(Services of the cluster)."""
    observed = memory.observations.cluster(cluster)
    for uid, said in observed.services.items() if observed else ():
        if said.service is not None and (said.service.namespace, said.service.name) == (namespace, name):
            return ServiceKey(*cluster, uid)
    for key in memory.load_balancers.in_cluster(cluster):
        item = memory.load_balancers.get(key)
        if item is not None and (item.spec.service.namespace, item.spec.service.name) == (namespace, name):
            return key
    return None


def _notes_on_the_way(rehearsal: Rehearsal, key: ServiceKey | None) -> tuple[str, ...]:
    if key is None or rehearsal.course(key) is not Course.RELEASE:
        return ()
    return ("the Service of that name, or its tenant, is being let go of: that is finished first",)


def _notes_on_group(memory: Memory, name: str, group: BalancerGroup | None) -> tuple[str, ...]:
    if group is None:
        return (f"balancer group {name} is not there: what it has stays",)
    condition = group_condition(group, memory.realized.nodes(name))
    return () if condition.status is Status.TRUE else (f"balancer group {name}: {condition.message}",)


def _notes_on_defaults(service: TenantService, wished: TenantService) -> tuple[str, ...]:
    fields = zip(service.__struct_fields__, service.__struct_encode_fields__, strict=True)
    added = [encoded for name, encoded in fields if getattr(service, name) != getattr(wished, name)]
    return (f"the tenant's defaults ask for more: {', '.join(added)}",) if added else ()


class _Reasons:
    """Why an address is the one: from what was known before it was chosen."""

    def __init__(self, memory: Memory, key: ServiceKey, service: TenantService, preferred: Iterable[str]) -> None:
        self._service = service
        self._own = {claim.spec.address for claim in memory.claims.of(key)}
        self._around: dict[str, AddressClaim] = memory.claims.around(key, service.sharing_key, service.addresses)
        self._preferred = frozenset(preferred)
        self._book = memory.book
        self._eligible = EligiblePools(memory.book, memory.capabilities)

    def why(self, holding: Holding, grant: Grant | None) -> str:
        """In words."""
        if holding.address in self._own:
            return "it has this address"
        if holding.address in self._around:
            owner = self._around[holding.address].spec.owner
            return f"shared with {owner.namespace}/{owner.name} under the key {self._service.sharing_key!r}"
        if holding.address in self._service.addresses:
            return "it asks for this address"
        if holding.address in self._preferred:
            return "it had this address, and nobody else has"
        if self._service.pool:
            return "it asks for this pool"
        pools = self._eligible.automatic(self._service, grant) if grant is not None else []
        if len(pools) < 2:
            return "the only pool that gives to it by itself"
        order = ", ".join(f"{name} ({self._book.pools[name].priority})" for name in pools)
        return f"the first that has one free, of the pools that give to it by priority: {order}"
