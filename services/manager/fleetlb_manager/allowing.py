"""The only writer of `allowed`: says what every tenant may have on every balancer group, signed, before any of its
virtual servers goes there.

What a tenant without a grant had stays said, as what it is served stays served. Taken back is only what a tenant had
that is gone with all that it held.
"""

from collections.abc import Callable

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import allowed_stream
from fleetlb.contracts.v1 import TenantAllowed
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.bars import Bar, raised
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import StreamMissing
from fleetlb_manager.allowance_table import Said, said_by
from fleetlb_manager.allowances import decide_allowance
from fleetlb_manager.identities import AllowanceKey
from fleetlb_manager.publishing import RAISE_SECONDS, Publisher, Signer
from fleetlb_manager.workbench import Workbench

AGAIN_SECONDS = 0.02
"""Until what another worker says is said, most likely."""


class Allowing:
    """Says what is not said yet, or not like this."""

    def __init__(
        self,
        bench: Workbench,
        bus: Publisher,
        *,
        sign: Signer,
        on_stream_missing: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_stream_missing`: a stream must be made before anything can be said."""
        self._memory = bench.memory
        self._marks = bench.marks
        self._authority = bench.authority
        self._bus = bus
        self._sign = sign
        self._on_stream_missing = on_stream_missing
        self._in_flight: set[AllowanceKey] = set()

    async def ensure(self, key: AllowanceKey) -> None:
        """Return when what a tenant may have is said on a group; O(1) if it is. Raises Transient."""
        if key in self._in_flight or not self._memory.allowances.is_current(key):
            await self.reconcile(key)

    async def bar(self, key: AllowanceKey) -> bool:
        """Return when no node begins any more what an earlier term may still ask for, for a tenant: to be called before
        anything of the tenant is purged. True if that had to be said, and time has passed. O(1) but once a term.

        Raises Transient.
        """
        if self._is_barred(key):
            return False
        if allowed_stream(key.group).name not in self._memory.replayed:
            raise Transient(f"{key}: what was said of the tenant is being read", retry_after=AGAIN_SECONDS)
        await self.reconcile(key, is_to_bar=True)
        return self._is_barred(key)

    async def reconcile(self, key: AllowanceKey, *, is_to_bar: bool = False) -> None:
        """Say what is to be said of one tenant on one group. Raises Transient."""
        if not self._authority.acting or allowed_stream(key.group).name not in self._memory.replayed:
            return
        if key in self._in_flight:
            raise Transient(f"{key}: what the tenant may have is being said", retry_after=AGAIN_SECONDS)
        known = self._memory.allowances.get(key)
        registration = self._memory.registrations.get(key.tenant)
        if registration is not None and registration.grant is not None:
            services = self._memory.load_balancers.of_tenant(key.tenant)
            held = [spec for service in services for spec in self._memory.carried.get(service)]
            allowed = decide_allowance(registration.grant, key.group, self._memory.networks, held)
            await self._say(key, allowed, is_to_bar=is_to_bar)
        elif known is not None and not known.removed and self._is_gone(key.tenant):
            await self._say(key, None, is_to_bar=is_to_bar)
        else:
            self._memory.allowances.trust(key)

    def _is_gone(self, tenant: str) -> bool:
        return tenant not in self._memory.tenants and not self._memory.live_in(tenant)

    def _is_barred(self, key: AllowanceKey) -> bool:
        bars = self._memory.allowances.bars(key)
        return any(bar.generation >= self._authority.generation for bar in bars)

    def _bars(self, known: Said | None, key: AllowanceKey, *, is_to_bar: bool) -> tuple[Bar, ...]:
        """Where nothing is known to have been said, nodes may know of no bar that there was: then all that comes from
        before this term is late, and what stands is said again."""
        if known is None:
            return (Bar(self._authority.generation, 0),)
        if not is_to_bar or self._is_barred(key):
            return known.bars
        return raised(known.bars, self._authority.generation, self._memory.desired.read_through(key.group))

    async def _say(self, key: AllowanceKey, allowed: Allowance | None, *, is_to_bar: bool) -> None:
        known = self._memory.allowances.get(key)
        if known is not None and known.generation > self._authority.generation:
            self._authority.rise_above(known.generation)
            raise Transient(f"{key}: generation {known.generation} stands there", retry_after=RAISE_SECONDS)
        message = TenantAllowed(
            group=key.group,
            tenant=key.tenant,
            account=self._memory.account_of(key.tenant),
            generation=self._authority.generation,
            revision=self._memory.desired.next_revision(),
            allowed=allowed,
            bars=self._bars(known, key, is_to_bar=is_to_bar),
        )
        said = said_by(message)
        # Before anything is awaited: what changes from now on raises a doubt of its own.
        self._memory.allowances.trust(key)
        if known is not None and (known.digest, known.bars) == (said.digest, said.bars):
            return
        self._in_flight.add(key)
        try:
            await self._publish(key, message)
        except BaseException:
            self._memory.allowances.doubt(key)
            raise
        finally:
            self._in_flight.discard(key)
        self._memory.allowances.note(key, said)
        if known is None or known.bars != said.bars:
            self._marks_what_stands(key.tenant)

    def _marks_what_stands(self, tenant: str) -> None:
        """Whatever is late by a new bar must be said again. O(what the tenant has), once a term."""
        for service in list(self._memory.load_balancers.of_tenant(tenant)):
            self._marks.service(service)

    async def _publish(self, key: AllowanceKey, message: TenantAllowed) -> None:
        name = f"allowed-{key}-{message.generation}-{message.revision}"
        try:
            await self._bus.publish(subjects.allowed(*key), self._sign(message), message_id=name)
        except StreamMissing:
            self._on_stream_missing()
            raise
