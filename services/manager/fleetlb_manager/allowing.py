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
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import StreamMissing
from fleetlb_manager.allowance_table import said_by
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
        self._authority = bench.authority
        self._bus = bus
        self._sign = sign
        self._on_stream_missing = on_stream_missing
        self._in_flight: set[AllowanceKey] = set()

    async def ensure(self, key: AllowanceKey) -> None:
        """Return when what a tenant may have is said on a group; O(1) if it is. Raises Transient."""
        if key in self._in_flight or not self._memory.allowances.is_current(key):
            await self.reconcile(key)

    async def reconcile(self, key: AllowanceKey) -> None:
        """Say what is to be said of one tenant on one group. Raises Transient."""
        if not self._authority.acting or allowed_stream(key.group).name not in self._memory.replayed:
            return
        if key in self._in_flight:
            raise Transient(f"{key}: what the tenant may have is being said", retry_after=AGAIN_SECONDS)
        known = self._memory.allowances.get(key)
        registration = self._memory.registrations.get(key.tenant)
        if registration is not None and registration.grant is not None:
            items = map(self._memory.load_balancers.get, self._memory.load_balancers.of_tenant(key.tenant))
            held = [item.spec for item in items if item is not None]
            specs = [each for spec in held for each in self._memory.by_group(spec)]
            await self._say(key, decide_allowance(registration.grant, key.group, self._memory.networks, specs))
        elif known is not None and not known.removed and self._is_gone(key.tenant):
            await self._say(key, None)
        else:
            self._memory.allowances.trust(key)

    def _is_gone(self, tenant: str) -> bool:
        return tenant not in self._memory.tenants and not self._memory.live_in(tenant)

    async def _say(self, key: AllowanceKey, allowed: Allowance | None) -> None:
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
        )
        said = said_by(message)
        # Before anything is awaited: what changes from now on raises a doubt of its own.
        self._memory.allowances.trust(key)
        if known is not None and known.digest == said.digest:
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

    async def _publish(self, key: AllowanceKey, message: TenantAllowed) -> None:
        name = f"allowed-{key}-{message.generation}-{message.revision}"
        try:
            await self._bus.publish(subjects.allowed(*key), self._sign(message), message_id=name)
        except StreamMissing:
            self._on_stream_missing()
            raise
