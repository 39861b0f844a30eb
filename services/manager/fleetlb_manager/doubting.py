"""What a change of an object may change about what tenants may have. Marks; decides nothing."""

from collections.abc import Iterable

from fleetlb.contracts.objects import LoadBalancerSpec
from fleetlb_manager.allowances import goes_beyond
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

    def of_group(self, group: str, tenant: str) -> None:
        """A group carries less of a tenant than before."""
        self._raise([AllowanceKey(group, tenant)])

    def of_load_balancer(self, tenant: str, *specs: LoadBalancerSpec) -> None:
        """A load balancer is another, or gone; `specs`: as it was and as it is. O(pools) at most."""
        registration = self._memory.registrations.get(tenant)
        grant = registration.grant if registration is not None else None
        if grant is None:
            return
        each = (carried for spec in specs for carried in self._memory.by_group(spec))
        beyond = {spec.group for spec in each if goes_beyond(grant, self._memory.networks, spec)}
        self._raise(AllowanceKey(group, tenant) for group in beyond)

    def _raise(self, keys: Iterable[AllowanceKey]) -> None:
        for key in keys:
            self._memory.allowances.doubt(key)
            self._marks.allowance(key)
