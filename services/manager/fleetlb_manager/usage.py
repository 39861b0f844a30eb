"""What each tenant holds, for its quotas: from its claims, and from grants whose claims are not written yet.

Invariant: between the judgement of a wish and the write of its claims there is no instant at which another wish of the
tenant is judged without it. Pure bookkeeping; every operation is O(1).
"""

from fleetlb.domain.tenancy import Usage
from fleetlb_manager.identities import ServiceKey

_NONE = Usage()


class UsageLedger:
    """Load balancers, addresses and ports, per Service and summed per tenant."""

    def __init__(self) -> None:
        """Nobody holds anything."""
        self._held: dict[ServiceKey, Usage] = {}
        self._reserved: dict[ServiceKey, Usage] = {}
        self._totals: dict[str, Usage] = {}

    def of(self, tenant: str) -> Usage:
        """The sum for one tenant."""
        return self._totals.get(tenant, _NONE)

    def without(self, owner: ServiceKey) -> Usage:
        """The sum for the owner's tenant without the owner."""
        return plus(self.of(owner.tenant), self._counted(owner), -1)

    def held_by(self, owner: ServiceKey) -> Usage:
        """What the owner's claims say."""
        return self._held.get(owner, _NONE)

    def hold(self, owner: ServiceKey, usage: Usage) -> None:
        """The owner's claims changed."""
        self._change(owner, self._held, usage)

    def reserve(self, owner: ServiceKey, usage: Usage) -> None:
        """The owner was granted this much and is about to claim it."""
        self._change(owner, self._reserved, usage)

    def settle(self, owner: ServiceKey) -> None:
        """The owner's claims are written, or will not be."""
        self._change(owner, self._reserved, _NONE)

    def _change(self, owner: ServiceKey, book: dict[ServiceKey, Usage], usage: Usage) -> None:
        before = self._counted(owner)
        if usage == _NONE:
            book.pop(owner, None)
        else:
            book[owner] = usage
        total = plus(plus(self.of(owner.tenant), before, -1), self._counted(owner), +1)
        if total == _NONE:
            self._totals.pop(owner.tenant, None)
        else:
            self._totals[owner.tenant] = total

    def _counted(self, owner: ServiceKey) -> Usage:
        """Claims and reservation describe the same load balancer: the larger number counts."""
        held, reserved = self._held.get(owner, _NONE), self._reserved.get(owner, _NONE)
        return Usage(
            load_balancers=max(held.load_balancers, reserved.load_balancers),
            addresses=max(held.addresses, reserved.addresses),
            ports=max(held.ports, reserved.ports),
        )


def plus(one: Usage, other: Usage, sign: int = +1) -> Usage:
    """Both together; `sign` -1: one without the other."""
    return Usage(
        load_balancers=one.load_balancers + sign * other.load_balancers,
        addresses=one.addresses + sign * other.addresses,
        ports=one.ports + sign * other.ports,
    )
