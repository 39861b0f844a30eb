"""What would become of an AddressPool, and of whom it has addresses for, in an operator's words. Rehearses, and writes
nothing.
"""

import msgspec
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec, PoolCounts
from fleetlb.contracts.plans import PlannedService, PoolPlanAnswered
from fleetlb.domain.address_pools import Interval, parse_intervals, texts_of, without
from fleetlb.domain.conditions import ANNOUNCED, READY, Status
from fleetlb.domain.pool_selectors import admits
from fleetlb_manager.counting import pool_conditions, pool_status
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.moves import lacks_of
from fleetlb_manager.pool_holdings import NAMED
from fleetlb_manager.registering import Registration
from fleetlb_manager.rehearsing import Rehearsal

RANGES = frozenset({"addresses", "exclude"})
"""Fields whose difference is told as ranges that come and go."""


def foretell_pool(rehearsal: Rehearsal, name: str, spec: AddressPoolSpec) -> PoolPlanAnswered:
    """What would become of an AddressPool with this spec, and of those who wait. Raises ValueError naming the field."""
    memory = rehearsal.memory
    known = memory.pools.get(name)
    wanted = _ranges_of(spec)
    before = memory.book.pools[name].intervals if name in memory.book.pools else ()
    counts = pool_status(memory.book, name) if name in memory.book.pools else None
    item = replace(known, spec=spec) if known is not None else AddressPool(metadata=ObjectMeta(name=name), spec=spec)
    rehearsal.set_pool(item)
    after, use = pool_status(memory.book, name), memory.claims.of_pools.of(name)
    served = rehearsal.serve_waiting()
    return PoolPlanAnswered(
        is_new=known is None,
        changes=_changes(known.spec, spec) if known is not None else (),
        gained=texts_of(without(wanted, before)),
        lost=texts_of(without(before, wanted)),
        ipv4_before=counts.ipv4 if counts else PoolCounts(),
        ipv4=after.ipv4,
        ipv6_before=counts.ipv6 if counts else PoolCounts(),
        ipv6=after.ipv6,
        outside=use.outside,
        outside_named=use.named,
        served=tuple(_planned(memory, key, addresses) for key, addresses in served.items()),
        waiting=sum(1 for _ in memory.load_balancers.wanting()),
        notes=_notes_on_pool(memory, memory.pools[name], known),
    )


def _ranges_of(spec: AddressPoolSpec) -> tuple[Interval, ...]:
    """What a pool may give out. Raises ValueError that names the field."""
    for field, texts in (("spec.addresses", spec.addresses), ("spec.exclude", spec.exclude)):
        try:
            parse_intervals(texts)
        except ValueError as problem:
            raise ValueError(f"{field}: {problem}") from None
    return parse_intervals(spec.addresses, spec.exclude)


def _changes(before: AddressPoolSpec, after: AddressPoolSpec) -> tuple[str, ...]:
    names = zip(before.__struct_fields__, before.__struct_encode_fields__, strict=True)
    pairs = ((encoded, getattr(before, name), getattr(after, name)) for name, encoded in names)
    return tuple(
        f"{field}: {_said(old)} -> {_said(new)}" for field, old, new in pairs if old != new and field not in RANGES
    )


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _notes_on_pool(memory: Memory, pool: AddressPool, known: AddressPool | None) -> tuple[str, ...]:
    name, group = pool.metadata.name, pool.spec.group
    use, carriers = memory.claims.of_pools.of(name), memory.carriers_of(group)
    said = pool_conditions(pool, memory.book, use, carriers, memory.pools_told(group))
    doubtful = {READY, ANNOUNCED}
    notes = [each.message for each in said if each.type in doubtful and each.status is Status.FALSE]
    if group not in memory.groups:
        notes.append(f"spec.group: there is no balancer group {group}; no address is given out until there is")
    notes += _notes_on_moves(memory, name, group)
    if not any(_may_use(registration, pool) for registration in memory.registrations.values()):
        notes.append("no tenant may use this pool: see spec.selector here, and spec.pools and spec.groups of Tenants")
    return tuple(notes)


def _notes_on_moves(memory: Memory, name: str, group: str) -> list[str]:
    """How many addresses move to another group, and which of them cannot. O(those)."""
    found = memory.claims.of_pools.elsewhere(name)
    lacks = lacks_of(memory, found)
    going = len(found) - len(lacks)
    notes = [f"spec.group: {going} addresses in use move to balancer group {group}"] if going else []
    notes += [f"spec.group: {address} stays where it is: {lack}" for address, lack in sorted(lacks.items())[:NAMED]]
    if lacks:
        notes.append(f"spec.group: {len(lacks)} addresses in use stay where they are")
    return notes


def _may_use(registration: Registration, pool: AddressPool) -> bool:
    grant = registration.grant
    return (
        grant is not None
        and grant.may_use_pool(pool.metadata.name, pool.spec.group)
        and admits(pool.spec.selector, grant.tenant)
    )


def _planned(memory: Memory, key: ServiceKey, addresses: tuple[str, ...]) -> PlannedService:
    item = memory.load_balancers.get(key)
    namespace, name = (item.spec.service.namespace, item.spec.service.name) if item is not None else ("", key.uid)
    return PlannedService(tenant=key.tenant, namespace=namespace, name=name, addresses=addresses)
