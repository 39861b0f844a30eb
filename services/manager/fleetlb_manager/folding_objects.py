"""Objects of the management cluster, folded into memory as they are seen or written, and what each marks.

Synchronous; decides nothing. An answer to our own write is folded like a watch event: whichever comes first counts.
"""

from collections.abc import Iterable

import structlog
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, ClaimPhase, LoadBalancer
from fleetlb.contracts.tenants import CONFIRM_REMOVAL, Tenant, TenantCluster
from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.pool_networks import PoolNetworks, parse_pool_networks
from fleetlb_manager.balancer_groups import carries_alike
from fleetlb_manager.doubting import Doubts
from fleetlb_manager.load_balancers import key_of
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.newest import Deleted, HasMeta, is_newer
from fleetlb_manager.offering import Offering
from fleetlb_manager.shares import live_shares, owners_of, service_of
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

    def tenant_set(self, tenant: Tenant) -> None:
        """A Tenant is there."""
        name = tenant.metadata.name
        known = self._memory.tenants.get(name)
        if not self._is_news(tenant, known):
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
        if not self._is_end(tenant, self._memory.tenants.get(tenant.metadata.name)):
            return
        self._memory.forget_tenant(tenant.metadata.name)
        self._marks.tenancy()
        self._marks.account(tenant.metadata.name)

    def pool_set(self, pool: AddressPool) -> None:
        """An AddressPool is there; ranges that cannot be read leave the last good ones in force."""
        name, spec = pool.metadata.name, pool.spec
        known = self._memory.pools.get(name)
        if not self._is_news(pool, known):
            return
        self._memory.pools[name] = pool
        if known is None or _keeping(known.metadata) != _keeping(pool.metadata):
            self._marks.pool(name)
        try:
            wanted = _range_of(pool)
            networks = parse_pool_networks(spec.group, spec.addresses, spec.exclude)
        except ValueError as problem:
            log.error("an address pool cannot be read; its last ranges stay", pool=name, problem=str(problem))
            last = self._memory.book.pools.get(name)
            if last is not None:
                self._range_changed(replace(last, closed=pool.metadata.deletion_timestamp is not None))
            return
        self._range_changed(wanted)
        self._networks_changed(name, networks)

    def pool_gone(self, pool: AddressPool) -> None:
        """An AddressPool was deleted: addresses given out of it stay."""
        if not self._is_end(pool, self._memory.pools.get(pool.metadata.name)):
            return
        self._memory.pools.pop(pool.metadata.name, None)
        self._memory.book.drop_pool(pool.metadata.name)
        self._memory.claims.of_pools.set_ranges(pool.metadata.name, None)
        self._pools_changed()
        self._wake_wanting()
        self._mark_quarantined()
        self._networks_changed(pool.metadata.name, None)

    def group_set(self, group: BalancerGroup) -> None:
        """A BalancerGroup is there."""
        name = group.metadata.name
        known = self._memory.groups.get(name)
        if not self._is_news(group, known):
            return
        self._memory.groups[name] = group
        self._marks.status(StatusKey("group", name))
        if known is None or known.spec != group.spec:
            self._wake_wanting()
            for slot in list(self._memory.desired.slots()):
                if slot.group == name:
                    self._marks.slot(slot)
        before = self._memory.carriers.get(name)
        self._memory.carriers[name] = group.spec
        if before is None:
            self._doubts.in_group(name)
        if before is None or not carries_alike(before, group.spec):
            for key in self._memory.load_balancers.in_group(name):
                self._marks.service(key)

    def group_gone(self, group: BalancerGroup) -> None:
        """A BalancerGroup was deleted: nothing of it is let go without the word of its nodes."""
        if self._is_end(group, self._memory.groups.get(group.metadata.name)):
            self._memory.groups.pop(group.metadata.name, None)

    def claim_set(self, claim: AddressClaim) -> None:
        """An AddressClaim is there."""
        tenant, known = claim.spec.owner.tenant, self._memory.claims.named(claim.metadata.name)
        before = self._memory.usage.of(tenant)
        if not self._memory.claims.put(claim):
            return
        for owner in owners_of(claim):
            self._memory.adoption.done(owner)
        if claim.spec.phase is not ClaimPhase.BOUND or claim.spec.leaving:
            self._marks.claim(claim.spec.address)
        self._claim_changed(claim, known)
        if self._memory.usage.of(tenant) != before:
            self._offering.call(quota_resource(tenant))

    def claim_gone(self, claim: AddressClaim) -> None:
        """An AddressClaim was deleted: its address is free, the oldest who waits for one is next."""
        tenant, known = claim.spec.owner.tenant, self._memory.claims.named(claim.metadata.name)
        before = self._memory.usage.of(tenant)
        if not self._memory.claims.drop(claim):
            return
        self._claim_changed(claim, known)
        self.address_free(claim.spec.address, claim.spec.pool)
        if self._memory.usage.of(tenant) != before:
            self._offering.call(quota_resource(tenant))

    def address_free(self, address: str, given_from: str) -> None:
        """An address can be given again, by the pool that it was given from if that has not lost it since."""
        self._marks.status(StatusKey("pool", given_from))
        for pool in self._memory.book.pools_of(address):
            self._marks.status(StatusKey("pool", pool))
        self._offering.offer(address)

    def load_balancer_set(self, item: LoadBalancer) -> None:
        """A LoadBalancer is there."""
        known = self._memory.load_balancers.get(key_of(item))
        key = self._memory.load_balancers.put(item)
        if key is not None:
            self._marks.service(key)
            if item.spec.refusal is not None:
                self._memory.adoption.done(key)
            self._doubts.of_load_balancer(key.tenant, item.spec, *([known.spec] if known is not None else []))

    def load_balancer_gone(self, item: LoadBalancer) -> None:
        """A LoadBalancer was deleted."""
        key = self._memory.load_balancers.drop(item.metadata)
        if key is not None:
            self._marks.service(key)
            self._doubts.of_load_balancer(key.tenant, item.spec)
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

    def _is_news(self, item: HasMeta, known: HasMeta | None) -> bool:
        """A watch may tell of a version older than the answer to our own write, and of an end before that answer."""
        if item.metadata.uid in self._deleted:
            return False
        return known is None or is_newer(item.metadata, known.metadata)

    def _is_end(self, item: HasMeta, known: HasMeta | None) -> bool:
        """Note that an object is gone; whether that is the one that is known. A namesake made later stays."""
        self._deleted.note(item.metadata.uid)
        return known is not None and known.metadata.uid == item.metadata.uid

    def _range_changed(self, wanted: AddressRange) -> None:
        self._marks.status(StatusKey("pool", wanted.name))
        if self._memory.book.pools.get(wanted.name) == wanted:
            return
        self._memory.book.set_pool(wanted)
        self._memory.claims.of_pools.set_ranges(wanted.name, wanted.intervals)
        self._pools_changed()
        self._wake_wanting()
        self._mark_quarantined()

    def _pools_changed(self) -> None:
        """What one pool says depends on whether another overlaps it."""
        for name in self._memory.pools:
            self._marks.status(StatusKey("pool", name))

    def _networks_changed(self, pool: str, now: PoolNetworks | None) -> None:
        """Load balancers are planned anew whose address this pool routes otherwise than before. O(claims), like the
        book's own work for a changed pool, and O(those concerned) after that."""
        before = self._memory.networks.pop(pool, None)
        if now is not None:
            self._memory.networks[pool] = now
        if before == now:
            return
        for group in {networks.group for networks in (before, now) if networks is not None}:
            self._doubts.in_group(group)
        for claim in self._memory.claims.bound():
            if _prefix_in(before, claim) != _prefix_in(now, claim):
                for share in live_shares(claim.spec):
                    self._marks.service(service_of(share.owner))

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

    def _wake_wanting(self) -> None:
        """An operator's act may have ended any refusal; the oldest first is kept by their order."""
        for key in sorted(self._memory.load_balancers.wanting(), key=self._memory.lines.since):
            self._marks.service(key)

    def _mark_quarantined(self) -> None:
        for address in list(self._memory.claims.passing()):
            self._marks.claim(address)


def _range_of(pool: AddressPool) -> AddressRange:
    """A pool as the allocator sees it. Raises ValueError."""
    spec = pool.spec
    return AddressRange(
        name=pool.metadata.name,
        intervals=parse_intervals(spec.addresses, spec.exclude),
        priority=spec.priority,
        selector=spec.selector,
        auto_assign=spec.auto_assign,
        avoid_buggy=spec.avoid_buggy_ips,
        quarantine_seconds=spec.quarantine_seconds,
        group=spec.group,
        closed=pool.metadata.deletion_timestamp is not None,
    )


def _about_accounts(tenant: Tenant) -> tuple[object, ...]:
    """What of a Tenant its account and credentials depend on, beside the judgement over all tenants."""
    return tenant.status, tenant.spec.suspended, tenant.spec.credentials, _keeping(tenant.metadata)


def _keeping(meta: ObjectMeta) -> tuple[object, ...]:
    """What says whether an object is to be removed, and whether we keep it."""
    return meta.uid, meta.finalizers, meta.deletion_timestamp, meta.annotations.get(CONFIRM_REMOVAL)


def _prefix_in(networks: PoolNetworks | None, claim: AddressClaim) -> str:
    spec = claim.spec
    return networks.around(spec.address) if networks is not None and networks.group == spec.group else ""
