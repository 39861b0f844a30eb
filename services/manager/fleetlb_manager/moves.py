"""Where a Service and its addresses should stand, and whether the nodes there carry it. Reads memory; writes nothing.

Addresses that have a Service in common move together: a LoadBalancer names one group. A pool's group carries them only
if it can carry every one of those Services; otherwise they stay where they are, and it is told why. O(those Services).
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from fleetlb.contracts.objects import AddressClaim, ClaimPhase, LoadBalancerSpec
from fleetlb.contracts.v1 import RealizedState
from fleetlb.domain.planning import keys_of
from fleetlb.domain.routing import peers_up
from fleetlb.domain.routing_rules import peers_told
from fleetlb.domain.service_fields import judge_capabilities
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.identities import ServiceKey, Slot
from fleetlb_manager.memory import Memory
from fleetlb_manager.pool_attributes import attribute_problems
from fleetlb_manager.shares import live_shares, service_of
from fleetlb_manager.virtual_server_tables import Acknowledged, Published

NOT_KNOWN = "it is not known yet what its Service asks for"


class Target(NamedTuple):
    """The group that should carry some addresses."""

    group: str
    lack: str = ""
    """Why that is not the one that their pool names; empty: it is."""


class Party(NamedTuple):
    """Addresses that move together, and whose they are."""

    claims: tuple[AddressClaim, ...]
    specs: dict[ServiceKey, LoadBalancerSpec | None]


def party_of(memory: Memory, claim: AddressClaim) -> Party:
    """A bound claim, and all that have a Service in common with it, or with one of those."""
    claims, specs = {claim.spec.address: claim}, dict[ServiceKey, LoadBalancerSpec | None]()
    left = [claim]
    while left:
        for share in live_shares(left.pop().spec):
            key = service_of(share.owner)
            if key in specs:
                continue
            item = memory.load_balancers.get(key)
            specs[key] = item.spec if item is not None else None
            for other in _held(memory, key):
                if other.spec.address not in claims:
                    claims[other.spec.address] = other
                    left.append(other)
    return Party(tuple(claims[address] for address in sorted(claims)), specs)


def _held(memory: Memory, key: ServiceKey) -> list[AddressClaim]:
    """The claims themselves that a Service has a part in, and has not given up."""
    mine = [claim.spec.address for claim in memory.claims.of(key) if claim.spec.phase is ClaimPhase.BOUND]
    found = (memory.claims.at(address) for address in mine)
    return [claim for claim in found if claim is not None and claim.spec.phase is ClaimPhase.BOUND]


def target_of(memory: Memory, party: Party) -> Target:
    """The group that should carry a party: the one that its pools name, or one of those that carry it."""
    pools = memory.book.pools
    wanted = {pools[c.spec.pool].group if c.spec.pool in pools else c.spec.group for c in party.claims}
    named = min(wanted)
    lack = _scattered(memory, party) if len(wanted) > 1 else _lack(memory, party, named)
    return Target(_stay(memory, party), lack) if lack else Target(named)


def lacks_of(memory: Memory, addresses: Iterable[str]) -> dict[str, str]:
    """Why addresses stay with another group than their pool names, of those that do."""
    claims = (memory.claims.at(address) for address in addresses)
    bound = [claim for claim in claims if claim is not None and claim.spec.phase is ClaimPhase.BOUND]
    found = ((claim.spec.address, target_of(memory, party_of(memory, claim)).lack) for claim in bound)
    return {address: lack for address, lack in found if lack}


def _scattered(memory: Memory, party: Party) -> str:
    """Pools of one Service that name different groups."""
    pools = memory.book.pools
    named = sorted({(c.spec.pool, pools[c.spec.pool].group) for c in party.claims if c.spec.pool in pools})
    which = " and ".join(f"pool {pool} names group {group}" for pool, group in named)
    return f"its addresses move together, and {which}; give them one group"


def _lack(memory: Memory, party: Party, group: str) -> str:
    """Why a group cannot carry a party; empty: it can, or does."""
    if all((c.spec.group, c.spec.moving_to) == (group, "") for c in party.claims):
        return ""
    capabilities = memory.capabilities(group)
    if capabilities is None:
        return f"there is no balancer group {group}; make it, or name another in spec.group"
    for claim in party.claims:
        tenant = claim.spec.owner.tenant
        registration = memory.registrations.get(tenant)
        grant = registration.grant if registration else None
        if grant is None:
            return f"nothing changes for tenant {tenant} now: see its condition Ready"
        if grant.groups and group not in grant.groups:
            return f"tenant {tenant} is not granted group {group}; add it to spec.groups of the Tenant"
        if problem := _unannounceable(memory, claim.spec.pool, group, capabilities):
            return problem
    for key, spec in party.specs.items():
        if spec is None:
            return NOT_KNOWN
        refusal = judge_capabilities(spec.service, capabilities)
        if refusal is not None:
            return f"{spec.service.namespace}/{spec.service.name} of {key.tenant}: {refusal.message}"
    return ""


def _unannounceable(memory: Memory, pool: str, group: str, capabilities: Set[str]) -> str:
    """Why a group cannot announce a pool as it asks; empty: it can."""
    networks, found, carrier = memory.networks.get(pool), memory.pools.get(pool), memory.groups.get(group)
    way = networks.announcement if networks is not None else Announcement.NONE
    if way is not Announcement.NONE and way.value not in capabilities:
        return f"nodes of group {group} cannot announce by {way} (condition Announced)"
    if way is not Announcement.BGP or found is None or carrier is None:
        return ""
    if carrier.spec.bgp is None:
        return f"group {group} has no routers; set spec.bgp of the BalancerGroup {group}"
    return next(iter(attribute_problems(found, carrier.spec.bgp, memory.pools.values())), "")


def _stay(memory: Memory, party: Party) -> str:
    """Where a party is, or can be gathered."""
    common = [group for group in party.claims[0].spec.carriers if _is_carried(party, group)]
    groups = common or sorted({claim.spec.group for claim in party.claims})
    here = [group for group in groups if all(claim.spec.group == group for claim in party.claims)]
    fitting = [group for group in groups if not _lack(memory, party, group)]
    return next(iter((*here, *fitting, *groups)))


def _is_carried(party: Party, group: str) -> bool:
    return all(group in claim.spec.carriers for claim in party.claims)


def place_of(memory: Memory, key: ServiceKey) -> str:
    """The group that a Service's object should name; empty: it holds nothing. It leaves one for another only when the
    nodes there carry all that it has."""
    known, claims = memory.load_balancers.get(key), _held(memory, key)
    standing = known.spec.group if known is not None else ""
    if not claims:
        return standing
    common = [group for group in claims[0].spec.carriers if all(group in c.spec.carriers for c in claims)]
    if standing not in common:
        return common[0] if common else standing
    if known is None or not any(claim.spec.is_moving for claim in claims):
        return standing
    party = party_of(memory, claims[0])
    target = target_of(memory, party).group
    return target if known.spec.group != target and _may_go(memory, party, known.spec, target) else standing


def ready_to_go(memory: Memory, party: Party, group: str) -> list[ServiceKey]:
    """Services of a party whose objects may name a group by now, and do not yet. O(those Services)."""
    left = ((key, spec) for key, spec in party.specs.items() if spec is not None and spec.group != group)
    return [key for key, spec in left if _may_go(memory, party, spec, group)]


def _may_go(memory: Memory, party: Party, spec: LoadBalancerSpec, group: str) -> bool:
    """What one of a party waits for may be another's."""
    return _is_carried(party, group) and not waits_for(memory, spec, group)


def waits_for(memory: Memory, spec: LoadBalancerSpec, group: str) -> str:
    """What must still happen before a load balancer may leave its group for another that carries it as well; empty:
    nothing."""
    nodes = memory.nodes_of(group)
    if not nodes:
        return f"there is no balancer group {group}"
    if _tells_routers(memory, spec.pool, spec.group) and not _tells_routers(memory, spec.pool, group):
        return f"no node of group {group} tells a router of pool {spec.pool}"
    for key in keys_of(spec.addresses, spec.service.ports):
        slot = Slot(group, key)
        missing = lagging(memory, slot, nodes)
        if missing:
            return f"{missing[0]} of group {group} has not acknowledged {key}"
        before = memory.realized.get(Slot(spec.group, key)).values()
        if any(said.is_answered for said in before):
            said = memory.realized.get(slot)
            unanswered = [node for node in nodes if not said[node].is_answered]
            if unanswered:
                return f"{unanswered[0]} of group {group} reaches no backend of {key}"
    return ""


def _tells_routers(memory: Memory, pool: str, group: str) -> bool:
    """Whether a node of a group has a session with a router that is to hear of a pool."""
    found, carrier = memory.pools.get(pool), memory.groups.get(group)
    if found is None or found.spec.announcement is not Announcement.BGP or carrier is None or carrier.spec.bgp is None:
        return False
    peers = peers_told(found.spec.bgp, carrier.spec.bgp)
    said = memory.realized.nodes(group).values()
    up = frozenset[str]().union(*(peers_up(node.sessions) for node in said))
    return bool(up & peers if peers else up)


def lagging(memory: Memory, slot: Slot, nodes: Sequence[str]) -> list[str]:
    """The nodes that have not said that they serve a virtual server as it stands in `desired`."""
    published, said = memory.desired.get(slot), memory.realized.get(slot)
    if published is None or published.removed:
        return list(nodes)
    return [node for node in nodes if not _is_served(published, said.get(node))]


def _is_served(published: Published, said: Acknowledged | None) -> bool:
    is_current = said is not None and (said.generation, said.revision) >= (published.generation, published.revision)
    return is_current and said is not None and said.state is RealizedState.PROGRAMMED


def standing_in(specs: Iterable[LoadBalancerSpec | None]) -> frozenset[str]:
    """The groups that objects name; "" for one that there is not."""
    return frozenset(spec.group if spec is not None else "" for spec in specs)


def may_leave(memory: Memory, claim: AddressClaim, specs: Iterable[LoadBalancerSpec | None]) -> bool:
    """Whether a group may be told to let go of an address that another carries as well: the nodes there carry what
    stands in `desired` by now. `specs`: of all who have the address.

    Where nodes answer on layer 2 nobody does from then on until the last of the first group has let go: so each of them
    must have said that it serves what stands there now.
    """
    networks = memory.networks.get(claim.spec.pool)
    is_answered_for = networks is not None and networks.announcement is Announcement.LAYER2
    groups = (claim.spec.moving_to, *((claim.spec.group,) if is_answered_for else ()))
    ports = [port for spec in specs if spec is not None for port in spec.service.ports]
    keys = keys_of((claim.spec.address,), ports)
    return all(
        nodes is not None and not any(lagging(memory, Slot(group, key), nodes) for key in keys)
        for group, nodes in ((group, memory.nodes_of(group)) for group in groups)
    )
