"""Who is called when an address can be given: of all who wait for it, by its name or for one of its pools, the oldest.

One address is offered to one Service at a time, and kept for it until it has come back (A5). Marks; O(pools), and the
few addresses that are kept.
"""

from collections.abc import Iterable

from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.allocation import AddressBook
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.marking import Marks
from fleetlb_manager.waiting_lines import WaitingLines, address_of, address_resource, pool_of, pool_resource


def units_left(book: AddressBook, lines: WaitingLines, pool: str, family: Family) -> int:
    """Free addresses of a pool that are not kept for somebody by their names."""
    kept = [a for a in lines.kept_by_name() if family_of(a) is family and book.holder(a) is None]
    return book.counts(pool, family).free - sum(pool in book.pools_of(address) for address in kept)


class Offering:
    """Calls who waits."""

    def __init__(self, book: AddressBook, lines: WaitingLines, marks: Marks) -> None:
        """`marks` hears of whoever is called."""
        self._book = book
        self._lines = lines
        self._marks = marks
        self._passed_over: dict[str, None] = {}
        """Addresses that somebody younger waits for by name than who was called for their pools."""

    def call(self, resource: str) -> ServiceKey | None:
        """One unit of a resource is free that is no address."""
        key = self._lines.call(resource)
        if key is not None:
            self._marks.service(key)
        return key

    def offer(self, address: str) -> None:
        """An address is free."""
        by_name = address_resource(address)
        if self._book.holder(address) is not None or self._lines.called(by_name):
            return
        family = family_of(address)
        pools = [pool for pool in self._book.pools_of(address) if self._has_more(pool, family)]
        resources = (by_name, *(pool_resource(pool, family) for pool in pools))
        waiting = {resource: since for resource in resources if (since := self._lines.first(resource))}
        self._passed_over.pop(address, None)
        if waiting:
            resource = min(waiting, key=lambda name: waiting[name])
            if resource != by_name and by_name in waiting:
                self._passed_over[address] = None
            self.call(resource)

    def call_next(self, resources: Iterable[str]) -> None:
        """Units were kept for a Service that did not need them, or has taken another one."""
        for resource in resources:
            address, pool = address_of(resource), pool_of(resource)
            if address:
                self.offer(address)
            elif pool is None:
                self.call(resource)
            else:
                for passed_over in list(self._passed_over):
                    self.offer(passed_over)
                if pool[0] in self._book.pools and self._has_more(*pool):
                    self.call(resource)

    def _has_more(self, pool: str, family: Family) -> bool:
        """Whether there are more units than Services that are called for one."""
        return units_left(self._book, self._lines, pool, family) > self._lines.called(pool_resource(pool, family))
