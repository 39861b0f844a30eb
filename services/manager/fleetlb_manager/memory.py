"""Everything the manager knows, in one place: folded from watches, streams and its own writes' answers (ADR 4).

Lost without harm at every exit: what is not in the API server or in the streams is not needed. No I/O, no decisions.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, BalancerGroupSpec, LoadBalancerSpec
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.pool_networks import PoolNetworks, PoolRoute
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.adopting import Adoption
from fleetlb_manager.allowance_table import AllowanceTable
from fleetlb_manager.balancer_groups import capabilities_of
from fleetlb_manager.carried import Carried, Change
from fleetlb_manager.claims import Claims
from fleetlb_manager.identities import AllowanceKey, ClusterKey, ServiceKey, Slot
from fleetlb_manager.instruction_table import InstructionTable
from fleetlb_manager.inventories import Absences
from fleetlb_manager.load_balancers import LoadBalancers, TenantClusters
from fleetlb_manager.observations import Observations
from fleetlb_manager.places import may_answer
from fleetlb_manager.pool_attributes import PoolsTold
from fleetlb_manager.registering import Registration
from fleetlb_manager.standing import Standing, decide_standing
from fleetlb_manager.usage import UsageLedger
from fleetlb_manager.virtual_server_tables import DesiredTable, RealizedTable
from fleetlb_manager.waiting_lines import WaitingLines


class Memory:
    """What is known."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.tenants: dict[str, Tenant] = {}
        self.registrations: dict[str, Registration] = {}
        self.groups: dict[str, BalancerGroup] = {}
        self.carriers: dict[str, BalancerGroupSpec] = {}
        """How each group carries, as last known: a group that is deleted goes on as it was."""
        self.pools: dict[str, AddressPool] = {}
        self.networks: dict[str, PoolNetworks] = {}
        self.instructions = InstructionTable()
        """Of each pool, as its spec could last be read."""
        self.book = AddressBook()
        self.usage = UsageLedger()
        self.claims = Claims(self.book, self.usage)
        self.load_balancers = LoadBalancers()
        self.carried = Carried()
        self.clusters = TenantClusters()
        self.observations = Observations()
        self.absences: dict[ClusterKey, Absences] = {}
        self.desired = DesiredTable()
        self.realized = RealizedTable()
        self.allowances = AllowanceTable()
        self.lines = WaitingLines()
        self.adoption = Adoption()
        self.let_go: set[Slot] = set()
        """Slots that every node has acknowledged to have let go in this run, and that were purged."""
        self.replayed: set[str] = set()
        """Names of streams whose replay is complete."""

    def is_absent(self, key: ServiceKey) -> bool:
        """Whether inventories have proven that a Service is gone."""
        absences = self.absences.get(key.cluster_key)
        return absences is not None and absences.is_proven(key.uid)

    def is_orphan(self, key: ServiceKey) -> bool:
        """Whether a Service shows addresses, and holds none."""
        said = self.observations.service(key)
        return said is not None and said.service is not None and bool(said.shown) and not self.claims.of(key)

    def tenant_at(self, slot: Slot) -> str:
        """Whose virtual server it is, by the claim of its address; empty: nobody's."""
        claim = self.claims.at(slot.key.address)
        return claim.spec.owner.tenant if claim is not None else ""

    def begin_adoption(self, now: float) -> None:
        """A term begins: whoever lost its addresses chooses first. O(all)."""
        self.adoption.begin(filter(self.is_orphan, self.observations.services()), now)

    def live_in(self, tenant: str) -> int:
        """How many load balancers of a tenant hold an address, as claims, as objects or as their Services tell it.

        The largest number: claims and objects that somebody has deleted are made again from what Services show, and
        their Tenant must not be taken for one that has nothing meanwhile.
        """
        held = max(self.usage.of(tenant).load_balancers, self.load_balancers.live(tenant))
        return max(held, self.observations.showing(tenant))

    def standing_of(self, tenant: str) -> Standing:
        """Whether a tenant stays or goes. Only for who acts: before that, what is live is not known."""
        return decide_standing(self.tenants.get(tenant), self.live_in(tenant))

    def forget_tenant(self, tenant: str) -> None:
        """A Tenant is gone: a namesake begins with nothing proven."""
        self.tenants.pop(tenant, None)
        for key in [key for key in self.absences if key.tenant == tenant]:
            del self.absences[key]

    def allowances_of(self, tenant: str) -> list[AllowanceKey]:
        """Where it is or should be said what a tenant may have: the groups that it is granted, or was; in order.

        O(groups).
        """
        registration = self.registrations.get(tenant)
        grant = registration.grant if registration else None
        groups = [group for group in self.carriers if grant and (not grant.groups or group in grant.groups)]
        return sorted({*(AllowanceKey(group, tenant) for group in groups), *self.allowances.of_tenant(tenant)})

    def allowances_in(self, group: str) -> list[AllowanceKey]:
        """The same for all tenants on one group. O(tenants)."""
        return [key for tenant in self.registrations for key in self.allowances_of(tenant) if key.group == group]

    def account_of(self, tenant: str) -> str:
        """A tenant's NATS account; empty while it has none."""
        found = self.tenants.get(tenant)
        return found.status.account if found else ""

    def capabilities(self, group: str) -> frozenset[str] | None:
        """What a balancer group can do; None if there is no such group."""
        found = self.groups.get(group)
        return capabilities_of(found, self.realized.nodes(group)) if found else None

    def carriers_of(self, group: str) -> tuple[BalancerGroup, Mapping[str, NodeRealized]] | None:
        """A group and what was heard of its nodes; None if there is no such group."""
        found = self.groups.get(group)
        return (found, self.realized.nodes(group)) if found else None

    def pools_told(self, group: str) -> PoolsTold:
        """All pools, and those of which a group's nodes were told what their routes carry."""
        said = self.instructions.of(group)
        return PoolsTold(self.pools.values(), frozenset(each.pool for each in said.pools) if said else frozenset())

    def nodes_of(self, group: str) -> tuple[str, ...] | None:
        """The nodes whose word counts; None if there is no such group."""
        found = self.groups.get(group)
        return found.spec.nodes if found else None

    def route_of(self, address: str, group: str) -> PoolRoute:
        """How an address gets to a group's nodes: by its own pool, or by another that they carry."""
        claim = self.claims.at(address)
        own = claim.spec.pool if claim else ""
        networks = self.networks.get(own)
        prefix = networks.around(address) if networks is not None else ""
        if claim is not None and networks is not None and prefix and group in claim.spec.carriers:
            way = self._announcement_in(group, networks, claim)
            return PoolRoute(prefix, way, networks.attributes_pool if way is Announcement.BGP else "")
        pools = (own, *sorted(self.networks))
        return next((route for pool in pools if (route := self._route_in(pool, address, group))), PoolRoute())

    def _announcement_in(self, group: str, networks: PoolNetworks, claim: AddressClaim) -> Announcement:
        """How the nodes of a group that carries an address announce it: as the pool says, in a group that the pool does
        not name as far as they can."""
        way = networks.announcement
        if way is Announcement.LAYER2 and not may_answer(claim.spec, group):
            return Announcement.NONE
        is_able = networks.group == group or way.value in (self.capabilities(group) or ())
        return way if is_able else Announcement.NONE

    def _route_in(self, pool: str, address: str, group: str) -> PoolRoute | None:
        networks = self.networks.get(pool)
        return networks.route_of(address) if networks is not None and networks.group == group else None

    def by_group(self, spec: LoadBalancerSpec) -> list[LoadBalancerSpec]:
        """A load balancer as each group carries it: its own first, then those that addresses of it are moving to."""
        found: dict[str, list[str]] = {spec.group: list(spec.addresses)}
        for address in spec.addresses:
            claim = self.claims.at(address)
            for group in claim.spec.carriers if claim is not None else ():
                if group != spec.group:
                    found.setdefault(group, []).append(address)
        return [replace(spec, group=group, addresses=tuple(each)) for group, each in found.items()]

    def carry(self, key: ServiceKey) -> Change:
        """Note how each group carries a load balancer by now, after it or a claim of its addresses has changed."""
        item = self.load_balancers.get(key)
        return self.carried.put(key, self.by_group(item.spec) if item is not None else ())

    def wanting(self) -> list[ServiceKey]:
        """Services that want more than they have, who waited longest first. O(those)."""
        return sorted(self.load_balancers.wanting(), key=self.lines.since)

    def services(self) -> list[ServiceKey]:
        """Every Service that anything is known of, who waited longest first. O(all)."""
        known: set[ServiceKey] = {*self.observations.services(), *self.load_balancers.services()}
        return sorted(known.union(self.claims.owners()), key=self.lines.since)

    def services_in(self, cluster: ClusterKey) -> set[ServiceKey]:
        """Every Service of a cluster that anything is known of."""
        observed = self.observations.cluster(cluster)
        keys = {ServiceKey(*cluster, uid) for uid in observed.services} if observed else set()
        return keys.union(self.load_balancers.in_cluster(cluster), self.claims.owners_in(cluster))

    def slots(self) -> list[Slot]:
        """Every virtual server that a stream speaks of, each once; not a set, whose order no seed could tell again."""
        return list(dict.fromkeys((*self.desired.slots(), *self.realized.slots())))

    def slots_at(self, address: str) -> list[Slot]:
        """Those of an address."""
        return list(dict.fromkeys((*self.desired.at(address), *self.realized.at(address))))
