"""AddressPools, folded into memory, and whom a change of their ranges or networks concerns. Decides nothing.

Ranges that cannot be read leave the last good ones in force, and what was given out of a pool that is gone stays.
"""

import structlog
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool
from fleetlb.contracts.tenants import CONFIRM_REMOVAL
from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.addresses import Family
from fleetlb.domain.pool_networks import PoolNetworks, only_in, parse_pool_networks
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.doubting import Doubts
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.newest import Deleted
from fleetlb_manager.offering import Offering
from fleetlb_manager.pool_attributes import has_attributes
from fleetlb_manager.shares import live_shares, service_of

log = structlog.get_logger(__name__)


class PoolFolding:
    """From AddressPools to memory and marks."""

    def __init__(self, memory: Memory, marks: Marks, doubts: Doubts, offering: Offering) -> None:
        """`marks` hears of everything that changed, `doubts` of what nodes may have to be told anew, `offering` of
        addresses that are there to be given."""
        self._offering = offering
        self._memory = memory
        self._marks = marks
        self._deleted = Deleted()
        self._doubts = doubts

    def set(self, pool: AddressPool) -> None:
        """An AddressPool is there; ranges that cannot be read leave the last good ones in force."""
        name = pool.metadata.name
        known = self._memory.pools.get(name)
        if not self._deleted.is_news(pool, known):
            return
        self._memory.pools[name] = pool
        if known is None or keeping(known.metadata) != keeping(pool.metadata):
            self._marks.pool(name)
        self._attributes_changed(known, pool)
        try:
            wanted = _range_of(pool)
            networks = _networks_of(pool)
        except ValueError as problem:
            log.error("an address pool cannot be read; its last ranges stay", pool=name, problem=str(problem))
            last = self._memory.book.pools.get(name)
            if last is not None:
                self._range_changed(replace(last, closed=pool.metadata.deletion_timestamp is not None))
            return
        self._range_changed(wanted)
        self._networks_changed(name, networks)

    def gone(self, pool: AddressPool) -> None:
        """An AddressPool was deleted: addresses given out of it stay."""
        if not self._deleted.is_end(pool, self._memory.pools.get(pool.metadata.name)):
            return
        known = self._memory.pools.pop(pool.metadata.name, None)
        self._memory.book.drop_pool(pool.metadata.name)
        self._memory.claims.of_pools.set_ranges(pool.metadata.name, None)
        self._memory.claims.of_pools.set_group(pool.metadata.name, None, self._memory.claims.bound())
        self.look_at_moves()
        self._pools_changed()
        self._wake_wanting()
        self._mark_quarantined()
        self._networks_changed(pool.metadata.name, None)
        self._attributes_changed(known, None)

    def group_changed(self, group: str) -> None:
        """Whether a pool can be announced as it asks depends on its group's spec."""
        for name, pool in self._memory.pools.items():
            if pool.spec.group == group and (pool.spec.announcement, pool.spec.bgp) != (Announcement.NONE, None):
                self._marks.status(StatusKey("pool", name))

    def _range_changed(self, wanted: AddressRange) -> None:
        self._marks.status(StatusKey("pool", wanted.name))
        if self._memory.book.pools.get(wanted.name) == wanted:
            return
        self._memory.book.set_pool(wanted)
        self._memory.claims.of_pools.set_ranges(wanted.name, wanted.intervals)
        self._memory.claims.of_pools.set_group(wanted.name, wanted.group, self._memory.claims.bound())
        self.look_at_moves()
        self._pools_changed()
        self._wake_wanting()
        self._mark_quarantined()
        if wanted.auto_assign and not wanted.closed:
            for family in Family:
                self._offering.open(wanted.name, family, self._memory.wanting())

    def look_at_moves(self) -> None:
        """What moves or should move is looked at: a pool, a group or its nodes are others. O(those that do)."""
        for address in self._memory.claims.of_pools.elsewhere():
            self.look_at_move(address)

    def look_at_move(self, address: str) -> None:
        """So is one address, if it moves or should."""
        claim = self._memory.claims.at(address)
        if claim is not None and self._memory.claims.of_pools.is_elsewhere(claim):
            self._marks.claim(address)
            if claim.spec.is_moving:
                for share in live_shares(claim.spec):
                    self._marks.service(service_of(share.owner))

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
        differing = only_in(before, now), only_in(now, before)
        for claim in self._memory.claims.bound():
            if any(networks.holds(claim.spec.group, claim.spec.address) for networks in differing):
                for share in live_shares(claim.spec):
                    self._marks.service(service_of(share.owner))

    def _attributes_changed(self, before: AddressPool | None, now: AddressPool | None) -> None:
        """Groups are told what routes of pools carry, and how many of them have attributes of their own counts for
        each."""
        both = [pool for pool in (before, now) if pool is not None and pool.spec.bgp is not None]
        if before is not None and now is not None and _about_attributes(before) == _about_attributes(now):
            return
        for group in dict.fromkeys(pool.spec.group for pool in both):
            self._marks.status(StatusKey("group", group))
            self.group_changed(group)

    def _wake_wanting(self) -> None:
        """An operator's act may have ended any refusal."""
        for key in self._memory.wanting():
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


def _networks_of(pool: AddressPool) -> PoolNetworks:
    """A pool as nodes and routers see it. Raises ValueError."""
    spec = pool.spec
    named = pool.metadata.name if has_attributes(pool) else ""
    return parse_pool_networks(spec.group, spec.addresses, spec.exclude, spec.announcement, named)


def _about_attributes(pool: AddressPool) -> tuple[object, ...]:
    return pool.spec.bgp, pool.spec.group, pool.spec.announcement


def keeping(meta: ObjectMeta) -> tuple[object, ...]:
    """What says whether an object is to be removed, and whether we keep it."""
    return meta.uid, meta.finalizers, meta.deletion_timestamp, meta.annotations.get(CONFIRM_REMOVAL)
