"""Objects of the management cluster, folded into memory as they are seen or written, and what each marks.

Synchronous; decides nothing. An answer to our own write is folded like a watch event: whichever comes first counts.
"""

from collections.abc import Iterable

import structlog

from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, ClaimPhase, LoadBalancer
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb_manager.balancer_groups import carries_alike
from fleetlb_manager.doubting import Doubts
from fleetlb_manager.folding_pools import PoolFolding, keeping
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.newest import Deleted
from fleetlb_manager.offering import Offering
from fleetlb_manager.shares import owners_of
from fleetlb_manager.waiting_lines import address_resource, quota_resource, sharing_resource

log = structlog.get_logger(__name__)


class ObjectFolding:
    """From objects to memory and marks."""

    def __init__(self, memory: Memory, marks: Marks) -> None:
        """`marks` hears of everything that changed."""
        self._memory = memory
        self._marks = marks
        self._deleted = Deleted()
        self._doubts = Doubts(memory, marks)
        self._offering = Offering(memory.book, memory.lines, marks)
        self._pools = PoolFolding(memory, marks, self._doubts, self._offering)

    def tenant_set(self, tenant: Tenant) -> None:
        """A Tenant is there."""
        name = tenant.metadata.name
        known = self._memory.tenants.get(name)
        if not self._deleted.is_news(tenant, known):
            return
        self._memory.tenants[name] = tenant
        if known is not None and known.metadata.uid != tenant.metadata.uid:
            known = None
        if known is None or known.spec != tenant.spec:
            self._marks.tenancy()
        if known is None or known.status != tenant.status:
            self._marks.status(StatusKey("tenant", name))
        if known is not None and known.status.account != tenant.status.account:
            self._doubts.of_tenant(name)
        if known is None or _about_accounts(known) != _about_accounts(tenant):
            self._marks.account(name)

    def tenant_gone(self, tenant: Tenant) -> None:
        """A Tenant was deleted: its objects stay, nothing is decided for it any more."""
        if not self._deleted.is_end(tenant, self._memory.tenants.get(tenant.metadata.name)):
            return
        self._memory.forget_tenant(tenant.metadata.name)
        self._marks.tenancy()
        self._marks.account(tenant.metadata.name)

    def pool_set(self, pool: AddressPool) -> None:
        """An AddressPool is there."""
        self._pools.set(pool)

    def pool_gone(self, pool: AddressPool) -> None:
        """An AddressPool was deleted."""
        self._pools.gone(pool)

    def group_set(self, group: BalancerGroup) -> None:
        """A BalancerGroup is there."""
        name = group.metadata.name
        known = self._memory.groups.get(name)
        if not self._deleted.is_news(group, known):
            return
        self._memory.groups[name] = group
        self._marks.status(StatusKey("group", name))
        if known is None or known.spec != group.spec:
            for key in self._memory.wanting():
                self._marks.service(key)
            for slot in list(self._memory.desired.slots()):
                if slot.group == name:
                    self._marks.slot(slot)
            self._pools.group_changed(name)
        before = self._memory.carriers.get(name)
        self._memory.carriers[name] = group.spec
        if known is None or known.spec != group.spec:
            self._pools.look_at_moves()
        if before is None:
            self._doubts.in_group(name)
        if before is None or not carries_alike(before, group.spec):
            for key in self._memory.load_balancers.in_group(name):
                self._marks.service(key)

    def group_gone(self, group: BalancerGroup) -> None:
        """A BalancerGroup was deleted: nothing of it is let go without the word of its nodes."""
        if self._deleted.is_end(group, self._memory.groups.get(group.metadata.name)):
            self._memory.groups.pop(group.metadata.name, None)

    def claim_set(self, claim: AddressClaim) -> None:
        """An AddressClaim is there."""
        tenant, known = claim.spec.owner.tenant, self._memory.claims.named(claim.metadata.name)
        before = self._memory.usage.of(tenant)
        if not self._memory.claims.put(claim):
            return
        for owner in owners_of(claim):
            self._memory.adoption.done(owner)
        is_elsewhere = self._memory.claims.of_pools.is_elsewhere(claim)
        if claim.spec.phase is not ClaimPhase.BOUND or claim.spec.leaving or is_elsewhere:
            self._marks.claim(claim.spec.address)
        self._claim_changed(claim, known)
        if known is None or known.spec.carriers != claim.spec.carriers:
            self._place_changed(claim.spec.address)
        if self._memory.usage.of(tenant) != before:
            self._offering.call(quota_resource(tenant))

    def _place_changed(self, address: str) -> None:
        """Other groups carry an address than before."""
        for key in self._memory.carried.at(address):
            self._carry(key)

    def claim_gone(self, claim: AddressClaim) -> None:
        """An AddressClaim was deleted: its address is free, the oldest who waits for one is next."""
        tenant, known = claim.spec.owner.tenant, self._memory.claims.named(claim.metadata.name)
        before = self._memory.usage.of(tenant)
        if not self._memory.claims.drop(claim):
            return
        self._claim_changed(claim, known)
        self._place_changed(claim.spec.address)
        self.address_free(claim.spec.address, claim.spec.pool)
        if self._memory.usage.of(tenant) != before:
            self._offering.call(quota_resource(tenant))

    def address_free(self, address: str, given_from: str) -> None:
        """An address can be given again, by the pool that it was given from if that has not lost it since."""
        self._marks.status(StatusKey("pool", given_from))
        for pool in self._memory.book.pools_of(address):
            self._marks.status(StatusKey("pool", pool))
        self._offering.offer(address)

    def look_at_move(self, addresses: Iterable[str]) -> None:
        """What moves, or should, may go on: something about those who have it is another."""
        for address in addresses:
            claim = self._memory.claims.at(address)
            if claim is not None and self._memory.claims.of_pools.is_elsewhere(claim):
                self._marks.claim(address)

    def load_balancer_set(self, item: LoadBalancer) -> None:
        """A LoadBalancer is there."""
        key = self._memory.load_balancers.put(item)
        if key is not None:
            self._marks.service(key)
            self.look_at_move(item.spec.addresses)
            if item.spec.refusal is not None:
                self._memory.adoption.done(key)
            self._carry(key)

    def load_balancer_gone(self, item: LoadBalancer) -> None:
        """A LoadBalancer was deleted."""
        key = self._memory.load_balancers.drop(item.metadata)
        if key is not None:
            self._marks.service(key)
            self._carry(key)
            self._tenant_has_less(key.tenant)

    def cluster_set(self, item: TenantCluster) -> None:
        """A TenantCluster is there; its nodes concern every load balancer of the cluster."""
        key = self._memory.clusters.put(item)
        if key is not None:
            self._marks.cluster(key)
            for service in self._memory.load_balancers.in_cluster(key):
                self._marks.service(service)

    def cluster_gone(self, item: TenantCluster) -> None:
        """A TenantCluster was deleted."""
        key = self._memory.clusters.drop(item.metadata)
        if key is not None:
            self._marks.cluster(key)

    def call_next(self, resources: Iterable[str]) -> None:
        """Units of resources were kept for a Service that did not need them."""
        self._offering.call_next(resources)

    def _claim_changed(self, claim: AddressClaim, known: AddressClaim | None) -> None:
        """`known`: as it was."""
        both, tenant = (claim,) if known is None else (known, claim), claim.spec.owner.tenant
        for owner in dict.fromkeys(owner for version in both for owner in owners_of(version)):
            self._marks.service(owner)
        self._wake_sharing(both)
        for slot in self._memory.slots_at(claim.spec.address):
            self._marks.slot(slot)
        self._marks.status(StatusKey("tenant", tenant))
        for name in {claim.spec.pool, *self._memory.book.pools_of(claim.spec.address)}:
            self._marks.status(StatusKey("pool", name))
        self._tenant_has_less(tenant)
        pool = self._memory.pools.get(claim.spec.pool)
        if pool is not None and pool.metadata.deletion_timestamp is not None:
            self._marks.pool(claim.spec.pool)

    def _carry(self, key: ServiceKey) -> None:
        """A load balancer, or who carries it, is another."""
        self._doubts.of_carried(key.tenant, self._memory.carry(key))

    def _tenant_has_less(self, name: str) -> None:
        """A Tenant that is deleted may wait for this, and so may what was said of one that is gone."""
        tenant = self._memory.tenants.get(name)
        if tenant is None:
            self._doubts.of_tenant(name)
        elif tenant.metadata.deletion_timestamp is not None:
            self._marks.account(name)

    def _wake_sharing(self, versions: Iterable[AddressClaim]) -> None:
        """Several may now find their ports free, or their key somewhere: all who wait look again, the oldest first."""
        resources = {
            resource
            for claim in versions
            if claim.spec.sharing_key
            for resource in (
                sharing_resource(claim.spec.owner.tenant, claim.spec.sharing_key),
                address_resource(claim.spec.address),
            )
        }
        for key in self._memory.lines.members(resources):
            self._marks.service(key)


def _about_accounts(tenant: Tenant) -> tuple[object, ...]:
    """What of a Tenant its account and credentials depend on, beside the judgement over all tenants."""
    return tenant.status, tenant.spec.suspended, tenant.spec.credentials, keeping(tenant.metadata)
