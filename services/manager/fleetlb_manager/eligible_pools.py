"""Which pools a new address may come from, in which order, and if there is none, why: as its tenant may know it.

A refusal names no other tenant, and nothing of a pool that is not granted. Pure, O(pools); holds no state of its own.
"""

from collections.abc import Callable, Iterable

from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.pool_selectors import admits, misfit
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Grant

Capabilities = Callable[[str], frozenset[str] | None]
"""What a balancer group can do, by its name; None: there is no such group."""


class EligiblePools:
    """Judges the pools of a book."""

    def __init__(self, book: AddressBook, capabilities: Capabilities) -> None:
        """A pool whose group there is not is no pool yet."""
        self._book = book
        self._capabilities = capabilities

    def of(self, service: TenantService, grant: Grant, names: Iterable[str] | None = None) -> list[str]:
        """Those of these pools, or of all, that may give to a Service: the highest priority first, then by name."""
        granted = self._granted(service, grant, self._book.pools if names is None else names)
        return [name for name in granted if not self._objection(service, name)]

    def automatic(self, service: TenantService, grant: Grant) -> list[str]:
        """Those that give to a Service that asks for no address: on request of the pool, or by themselves."""
        found = self.of(service, grant)
        return found if service.pool else [name for name in found if self._book.pools[name].auto_assign]

    def why_none(self, service: TenantService, grant: Grant) -> Refusal:
        """Why no pool gives to a Service by itself, or the one that it asks for does not."""
        granted = self._granted(service, grant, self._book.pools)
        on_request = "gives to those alone who ask for it (fleetlb.dev/pool)"
        objections = dict.fromkeys(self._objection(service, name) or on_request for name in granted)
        each = ", or ".join(objections)
        if service.pool:
            why = f"{each}: ask for another one" if granted else "is not granted to this tenant"
            return Refusal(Reason.ADDRESS_NOT_ALLOWED, f"fleetlb.dev/pool: pool {service.pool!r} {why}")
        text = "no address pool is granted to this tenant"
        if granted:
            text = f"no address pool gives to this Service by itself: each that is granted to this tenant {each}"
        return Refusal(Reason.ADDRESS_NOT_ALLOWED, text)

    def why_not_there(self, service: TenantService, grant: Grant, address: str) -> Refusal:
        """Why an address that a Service asks for does not lie in any pool that gives to it."""
        around = self._granted(service, grant, self._book.pools_of(address))
        leaving_out = [name for name in around if misfit(self._book.pools[name].selector, service)]
        why = "lies in no address pool that this tenant may use"
        if leaving_out:
            why = f"lies in pool {leaving_out[0]}, which {self._objection(service, leaving_out[0])}"
        return Refusal(Reason.ADDRESS_NOT_ALLOWED, f"fleetlb.dev/addresses: {address} {why}")

    def _granted(self, service: TenantService, grant: Grant, names: Iterable[str]) -> list[str]:
        """Those of the pools that are for the tenant, and that the Service asks for if it does ask."""
        pools = self._book.pools
        return [
            name
            for name in sorted(names, key=lambda name: (-pools[name].priority, name))
            if service.pool in ("", name)
            and grant.may_use_pool(name, pools[name].group)
            and admits(pools[name].selector, grant.tenant)
        ]

    def _objection(self, service: TenantService, name: str) -> str:
        """Why a pool gives nothing new to a Service; empty: it does."""
        pool = self._book.pools[name]
        if pool.closed:
            return "is being removed"
        left_out = misfit(pool.selector, service)
        if left_out:
            return f"is not for {left_out}"
        return "" if self._capabilities(pool.group) is not None else "belongs to a balancer group that is not there"
