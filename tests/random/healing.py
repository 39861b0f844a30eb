"""What must be true in the end (V): everything is healed, time has passed, and nobody changes anything any more."""

from collections.abc import Iterable

from fleetlb.contracts import subjects
from fleetlb.contracts.objects import AddressClaim, AddressPool, ClaimPhase, LoadBalancer
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import TenantService, digest_of
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_manager.allowances import decide_allowance
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.load_balancers import key_of
from fleetlb_manager.memory import Memory
from tests.random import sharing
from tests.random.keeping import Everything
from tests.random.outside import Node, Watcher
from tests.random.ranges import family_of, lies_in, size


def faults(kept: Everything, watchers: Iterable[Watcher], nodes: Iterable[Node]) -> list[str]:
    """Everything that is not as the last wishes want it."""
    nodes = list(nodes)
    wanted = {watcher.key(uid): service for watcher in watchers for uid, service in watcher.services.items()}
    found = [f"V: {key} is deleted, and kept by its finalizer" for key, service in wanted.items() if service is None]
    living = {key: service for key, service in wanted.items() if service is not None}
    for key, service in living.items():
        found += _unanswered(kept, key, service, nodes)
    for claim in kept.claims.values():
        for owner in sharing.living(claim):
            item = kept.load_balancers.get((f"tenant-{owner.tenant}", owner.uid))
            is_used = item is not None and claim.spec.address in item.spec.addresses
            if owner not in living or not is_used or claim.spec.phase is not ClaimPhase.BOUND:
                found.append(f"A8: claim {claim.spec.address}, {claim.spec.phase}, of {owner}, is left")
        pool = kept.pools.get(claim.spec.pool)
        if claim.spec.moving_to or claim.spec.moving_from or (pool and _is_left_behind(kept, claim, pool)):
            found.append(f"M: {claim.spec.address} is carried by {claim.spec}, and its pool names {pool}")
        if claim.spec.leaving:
            found.append(f"A8: {sharing.leaving(claim)} of {claim.spec.address} are never let go of")
    found += [f"V: {key_of(i)} is left" for i in kept.load_balancers.values() if key_of(i) not in living]
    served = {(item.spec.group, key) for item in kept.load_balancers.values() for key in keys_of(item)}
    wished = {subjects.desired(*place) for place in served}
    found += [f"V: {subject} is left in desired" for subject in kept.wishes if subject not in wished]
    found += [f"V: {n.name} still serves {key}" for n in nodes for key in n.serving if (n.group, key) not in served]
    return found


def misjudged(memory: Memory) -> list[str]:
    """What a manager at rest believes of who carries what, and of what tenants may have, and would not, asked anew."""
    found = list[str]()
    for service in memory.load_balancers.services():
        item = memory.load_balancers.get(service)
        carried = tuple(spec for spec in memory.by_group(item.spec) if spec.addresses) if item is not None else ()
        if memory.carried.get(service) != carried:
            found.append(f"M: {service} is carried by {memory.carried.get(service)}, and not by {carried}")
    for key in [key for group in memory.carriers for key in memory.allowances.of_group(group)]:
        registration, said = memory.registrations.get(key.tenant), memory.allowances.get(key)
        if registration is None or registration.grant is None or said is None:
            continue
        held = [s for k in memory.load_balancers.of_tenant(key.tenant) for s in memory.carried.get(k)]
        anew = decide_allowance(registration.grant, key.group, memory.networks, held)
        if said.digest != digest_of((memory.account_of(key.tenant), anew)):
            found.append(f"A7: {key} was said otherwise, and should be {anew}")
    return found


def _is_left_behind(kept: Everything, claim: AddressClaim, pool: AddressPool) -> bool:
    """Whether an address is not where its pool is, though all that it must move with are of pools that are there."""
    left, owners, groups = [claim], set[ServiceKey](), set[str]()
    while left:
        each = left.pop()
        named = kept.pools.get(each.spec.pool)
        groups.add(named.spec.group if named is not None else each.spec.group)
        for owner in set(sharing.living(each)) - owners:
            owners.add(owner)
            left += [other for other in kept.claims.values() if owner in sharing.living(other)]
    return groups == {pool.spec.group} and claim.spec.group != pool.spec.group


def keys_of(item: LoadBalancer) -> set[VirtualServerKey]:
    """Every virtual server of a load balancer."""
    spec = item.spec
    return {VirtualServerKey(a, port.port, port.protocol) for a in spec.addresses for port in spec.service.ports}


def _unanswered(kept: Everything, key: ServiceKey, service: TenantService, nodes: list[Node]) -> list[str]:
    item = kept.load_balancers.get((f"tenant-{key.tenant}", key.uid))
    if item is None:
        return [f"V: {key} has no answer"]
    spec = item.spec
    if spec.wish != digest_of(service):
        return [f"V: {key} is answered for another wish"]
    if spec.refusal is None and not spec.addresses:
        return [f"V: {key} has neither an address nor a reason"]
    found = []
    families = {family_of(address) for address in spec.addresses}
    is_short = families < set(service.ip_families) and service.prefers_dual_stack
    if spec.refusal is None and families != set(service.ip_families) and not is_short:
        found.append(f"V: {key} wants {service.ip_families} and has {spec.addresses}")
    if spec.refusal is None and service.addresses and set(service.addresses) - set(spec.addresses):
        found.append(f"V: {key} asks for {service.addresses} and has {spec.addresses}")
    if spec.refusal is not None:
        found += _refused_for_nothing(kept, key, service, spec.refusal.reason)
    for node in (node for node in nodes if node.group == spec.group):
        for server in keys_of(item):
            wish = node.serving.get(server)
            if wish is None or wish.owner.service_uid != key.uid:
                found.append(f"V1: {node.name} does not serve {server} for {key}")
    return found


def _refused_for_nothing(kept: Everything, key: ServiceKey, service: TenantService, reason: Reason) -> list[str]:
    if reason is Reason.POOL_EXHAUSTED and len(service.ip_families) == 1:
        return _has_room(kept, key, service)
    return _has_no_cause(kept, key, service) if reason is Reason.SHARING_CONFLICT else []


def _has_no_cause(kept: Everything, key: ServiceKey, service: TenantService) -> list[str]:
    """A10: nobody is refused a shared address but for a port, or a key, that somebody else has there."""
    ports = {f"{port.port}/{port.protocol}" for port in service.ports}
    for claim in kept.claims.values():
        others = {owner: texts for owner, texts in sharing.living(claim).items() if owner != key}
        is_its = key in sharing.living(claim) and others and claim.spec.sharing_key != service.sharing_key
        is_there = key in sharing.living(claim) or claim.spec.sharing_key == service.sharing_key
        collides = is_there and any(ports.intersection(texts) for texts in others.values())
        if all(owner.tenant == key.tenant for owner in others) and (is_its or collides):
            return []
    return [f"A10: {key} is refused {service.sharing_key!r}, and nobody is in its way"]


def _has_room(kept: Everything, key: ServiceKey, service: TenantService) -> list[str]:
    """A10: nobody is refused while there is an address for it."""
    family = service.ip_families[0]
    for pool in kept.pools.values():
        if pool.metadata.deletion_timestamp or service.pool not in ("", pool.metadata.name):
            continue
        addresses = [claim.spec.address for claim in kept.claims.values()]
        taken = [a for a in addresses if lies_in(a, pool) and family_of(a) is family]
        if len(taken) < size(pool, family):
            return [f"A10: {key} is refused, and pool {pool.metadata.name} has a free address"]
    return []
