"""What every tenant may have on this node's group, as the manager said it, and what goes beyond it. No I/O, no clock.

A tenant of which nothing was heard is held to nothing if allowances are not required: an earlier manager does not tell
of them, and what it asks for must be served as before. Where a node is given the operator's key they are required: it
refuses whatever is new of a tenant that nobody vouches for. What is served already is never cut off for want of word.
"""

import contextlib
from collections.abc import Container

import msgspec

from fleetlb.contracts.v1 import TenantAllowed
from fleetlb.domain.allowances import Bounds, bounds_of, objection_to
from fleetlb.domain.bars import is_late
from fleetlb.domain.errors import Poison
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_dataplane_programmer.records import AllowanceRecord


class _Known(msgspec.Struct, frozen=True):
    """What was last said of one tenant; without bounds there is no such tenant."""

    said: TenantAllowed
    bounds: Bounds | None


class Allowances:
    """The last word on every tenant."""

    def __init__(self, *, operator_key: str = "", own_addresses: Container[str] = ()) -> None:
        """Nothing heard. `operator_key`: whose signature everything bears that is folded, and without which nothing is
        allowed; `own_addresses`: of this machine, which are nobody's backend."""
        self._operator_key = operator_key
        self._own_addresses = own_addresses
        self._known: dict[str, _Known] = {}

    def fold(self, said: TenantAllowed) -> bool:
        """Take what a manager said; the highest (generation, revision) stands. False if it is no news.

        Bars are news in a word that this node remembers without them: an earlier version wrote it down.

        Raises Poison for what cannot be read: the last word stands.
        """
        known = self._known.get(said.tenant)
        if known is not None and _order_of(said) <= _order_of(known.said) and not _adds_bars(said, known.said):
            return False
        try:
            bounds = bounds_of(said.allowed) if said.allowed is not None else None
        except ValueError as problem:
            raise Poison(f"the allowance of a tenant: {problem}") from None
        self._known[said.tenant] = _Known(said, bounds)
        return True

    def recall(self, record: AllowanceRecord) -> None:
        """Take what was believed before this process began, unless another signature was asked for then."""
        if record.operator_key == self._operator_key:
            with contextlib.suppress(Poison):
                self.fold(record.said)

    def knows(self, tenant: str) -> bool:
        """Whether there is something to hold a tenant's virtual servers against."""
        return self._bounds_of(tenant) is not None

    def is_late(self, tenant: str, generation: int, sequence: int) -> bool:
        """Whether a wish of a tenant, at this place of `desired`, comes from before the term of who acts now."""
        known = self._known.get(tenant)
        return known is not None and is_late(known.said.bars, generation, sequence)

    def objection_to(self, tenant: str, server: VirtualServer) -> str:
        """Why a tenant may not have this virtual server, whose addresses can all be read; "" if it may."""
        for real_server in server.real_servers:
            if real_server.address in self._own_addresses:
                return (
                    f"the node refuses the real server {real_server.address} port {real_server.port}: it is an address"
                    " of this balancer node; take it out of spec.nodeCIDRs and spec.podCIDRs of the Tenant"
                )
        bounds = self._bounds_of(tenant)
        if bounds is not None:
            return objection_to(bounds, server)
        if not self._operator_key:
            return ""
        return (
            f"the node refuses {server.key}: the manager has not said what its tenant may have; look at the Tenant's"
            " conditions, and whether FLEETLB_NATS_OPERATOR_KEY of this node is the key of the manager's operator"
        )

    def record(self, tenant: str) -> AllowanceRecord | None:
        """What must outlive this process."""
        known = self._known.get(tenant)
        return self._record_of(known) if known is not None else None

    def records(self) -> list[AllowanceRecord]:
        """All of it."""
        return [self._record_of(known) for known in self._known.values()]

    def _record_of(self, known: _Known) -> AllowanceRecord:
        return AllowanceRecord(said=known.said, operator_key=self._operator_key)

    def _bounds_of(self, tenant: str) -> Bounds | None:
        known = self._known.get(tenant)
        return known.bounds if known is not None else None


def _adds_bars(said: TenantAllowed, known: TenantAllowed) -> bool:
    return _order_of(said) == _order_of(known) and bool(said.bars) and not known.bars


def _order_of(said: TenantAllowed) -> tuple[int, int]:
    return said.generation, said.revision
