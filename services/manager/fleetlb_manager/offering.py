"""Who is called when an address can be given: of all who wait for it, by its name or for one of its pools, the oldest.

One address is offered to one Service at a time, and kept for it until it has come back (A5). Marks; O(pools).
"""

from collections.abc import Iterable

from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.allocation import AddressBook
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.marking import Marks
from fleetlb_manager.waiting_lines import WaitingLines, address_of, address_resource, pool_of, pool_resource


def units_left(book: AddressBook, lines: WaitingLines, pool: str, family: Family) -> int:
    """Free addresses of a pool that are not kept for somebody by their names."""
    return book.counts(pool, family).free - lines.kept_in(pool_resource(pool, family))


class Offering:
    """Calls who waits."""

    def __init__(self, book: AddressBook, lines: WaitingLines, marks: Marks) -> None:
        """`marks` hears of whoever is called."""
        self._book = book
        self._lines = lines
        self._marks = marks
        self._passed_over: dict[str, dict[str, None]] = {}
        """By pool, addresses that somebody waits for by name, and that are owed to who is called for the pool."""

    def call(self, resource: str, keeps_in: tuple[str, ...] = ()) -> None:
        """One unit of a resource is free; `keeps_in`: the pools whose unit that is, if it is an address."""
        key = self._lines.call(resource, keeps_in)
        if key is not None:
            self._marks.service(key)

    def offer(self, address: str) -> bool:
        """An address is free. False if nobody was called for it: nobody waits, or it is owed already."""
        by_name = address_resource(address)
        if self._book.holder(address) is not None or self._lines.called(by_name):
            return False
        family = family_of(address)
        pools = tuple(pool_resource(pool, family) for pool in self._book.pools_of(address))
        resources = (by_name, *pools)
        waiting = {resource: since for resource in resources if (since := self._lines.first(resource))}
        owed = [resource for resource in pools if not self._has_more(resource)] if waiting else []
        resource = min(waiting, key=lambda name: waiting[name]) if waiting and not owed else ""
        if resource:
            self.call(resource, pools if resource == by_name else ())
        if by_name in waiting and resource != by_name:
            for pool in owed or [resource]:
                self._passed_over.setdefault(pool, {})[address] = None
        return bool(resource)

    def call_next(self, resources: Iterable[str]) -> None:
        """Units were kept for a Service that did not need them, or has taken another one."""
        for resource in resources:
            if address := address_of(resource):
                self.offer(address)
            elif pool_of(resource) is None:
                self.call(resource)
            elif self._has_more(resource):
                self._call_for_pool(resource)

    def open(self, pool: str, family: Family, waiting: Iterable[ServiceKey]) -> None:
        """A pool is new, or has grown: whoever waits for any pool's address of the family is called as far as it goes.
        Who may have none of this one passes it on when it comes. O(waiting)."""
        resource = pool_resource(pool, family)
        for key in waiting:
            if any(other[1] is family for name in self._lines.resources(key) if (other := pool_of(name)) is not None):
                self._lines.join(key, resource)
        while self._lines.first(resource) is not None and self._has_more(resource):
            self._call_for_pool(resource)

    def _call_for_pool(self, resource: str) -> None:
        """One more unit of a pool is nobody's: the addresses that were passed over come first. Amortised O(pools)."""
        passed_over = self._passed_over.get(resource, {})
        while passed_over:
            address = next(iter(passed_over))
            del passed_over[address]
            if self.offer(address):
                return
        self._passed_over.pop(resource, None)
        self.call(resource)

    def _has_more(self, resource: str) -> bool:
        """Whether a pool has more units than Services that are called for one."""
        found = pool_of(resource)
        if found is None or found[0] not in self._book.pools:
            return False
        return units_left(self._book, self._lines, *found) > self._lines.called(resource)
