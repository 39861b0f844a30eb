"""What a change of an object may change about what tenants may have. Marks; decides nothing."""

from collections.abc import Iterable

from fleetlb_manager.allowances import goes_beyond, is_kept
from fleetlb_manager.carried import Change
from fleetlb_manager.identities import AllowanceKey
from fleetlb_manager.marking import Marks
from fleetlb_manager.memory import Memory


class Doubts:
    """Notes which allowances have to be looked at before anything that rests on them is published."""

    def __init__(self, memory: Memory, marks: Marks) -> None:
        """`marks` hears of every doubt."""
        self._memory = memory
        self._marks = marks

    def of_tenant(self, tenant: str) -> None:
        """A tenant's grant, or its account, is another. O(groups)."""
        self._raise(self._memory.allowances_of(tenant))

    def in_group(self, group: str) -> None:
        """A balancer group or its pools are others. O(tenants), which is an operator's act."""
        self._raise(self._memory.allowances_in(group))

    def of_carried(self, tenant: str, change: Change) -> None:
        """A load balancer is another, or gone, or other groups carry it. O(pools) at most, and never of what else the
        tenant has."""
        registration = self._memory.registrations.get(tenant)
        grant = registration.grant if registration is not None else None
        if grant is None:
            return
        networks = self._memory.networks
        groups = {spec.group for spec in change.specs if goes_beyond(grant, networks, spec)}
        groups |= {pool.group for pool in change.pools if is_kept(grant, networks, pool)}
        self._raise(AllowanceKey(group, tenant) for group in sorted(groups))

    def _raise(self, keys: Iterable[AllowanceKey]) -> None:
        for key in keys:
            self._memory.allowances.doubt(key)
            self._marks.allowance(key)
