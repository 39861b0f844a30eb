"""What would be decided: the manager's own decisions, on a copy of what it knows. Nothing is written, kept or told.

The copy is a fork of the memory with its book, its lines and what is proposed, so that what is decided on it is what
would be decided next; the code is that of the real decisions. A rehearsal costs O(all) once, then O(change).
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressClaim, AddressClaimSpec, AddressPool, LoadBalancerSpec
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TenantService, digest_of
from fleetlb_manager import timestamps
from fleetlb_manager.answering import new_load_balancer
from fleetlb_manager.choices import Choice, Denial
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.claiming import Claiming
from fleetlb_manager.deciding import (
    Course,
    decide_course,
    decide_delivery,
    granted_spec,
    refused_spec,
    still_standing,
)
from fleetlb_manager.forking import Fork
from fleetlb_manager.granting import Granting, as_wished
from fleetlb_manager.identities import AllowanceKey, ClusterKey, ServiceKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.moves import place_of
from fleetlb_manager.standing import Standing
from fleetlb_manager.waiting_lines import for_anybody
from fleetlb_manager.workbench import Workbench

T = TypeVar("T")

AFTER_ALL = 2**62
"""A version of objects behind every one of the API server's."""
MOST_ROUNDS = 100
"""So many times those are looked at who were woken by the ones before; who wakes nobody is in the last."""


class Rehearsal:
    """One copy of a manager's memory, and what would be decided on it."""

    def __init__(self, bench: Workbench, chooser: Chooser) -> None:
        """The copy is made here. What was observed and published is shared: nothing here changes it."""
        memory = bench.memory
        fork = Fork(memory.observations, memory.desired, memory.realized, memory.clusters)
        self._marks = _Woken()
        fork.replace(bench.marks, by=self._marks)
        self.memory = fork.of(memory)
        self._folding = fork.of(bench.folding)
        self._clock = bench.clock
        copy = bench._replace(memory=self.memory, folding=self._folding, marks=self._marks, authority=_Nobody())
        chooser = fork.of(chooser)
        self._granting = Granting(copy, chooser)
        self._claiming = Claiming(copy, _Claims(self._stamped), chooser, _unguarded)
        self._versions = AFTER_ALL

    def place(self, key: ServiceKey, service: TenantService, shown: tuple[str, ...] = ()) -> Choice | Denial:
        """Answer a wish: what comes next finds it answered. Raises Transient: it would not be answered at once."""
        registration = self.memory.registrations.get(key.tenant)
        if registration is None:
            raise Transient(f"tenant {key.tenant} is not known to this manager yet")
        wished = as_wished(registration, service)
        outcome = self._granting.decide(key, wished, shown)
        if isinstance(outcome, Choice):
            if not at_once(self._claiming.claim_all(key, wished, outcome)):
                raise Transient(f"{key}: an address is being claimed by somebody else")
            delivery = decide_delivery(self.memory.carriers.get(outcome.group), self.memory.load_balancers.get(key))
            self._answer(key, granted_spec(key, digest_of(service), wished, outcome, delivery))
        else:
            self._answer(key, self._refused(key, service, wished, outcome))
        self._granting.settle(key)
        return outcome

    def set_pool(self, pool: AddressPool) -> None:
        """An AddressPool is like this, whatever it was before."""
        self._marks.take()
        self._folding.pool_set(replace(pool, metadata=self._stamped(pool.metadata)))

    def serve_waiting(self) -> dict[ServiceKey, tuple[str, ...]]:
        """Answer those who wait and have been woken; who of them gets which addresses beside those that it had."""
        gained: dict[ServiceKey, tuple[str, ...]] = {}
        waiting = set(self.memory.wanting())
        for _ in range(MOST_ROUNDS):
            woken = [key for key in self._marks.take() if key in waiting]
            if not woken:
                break
            for key in woken:
                gained |= self._serve(key)
        return gained

    def _serve(self, key: ServiceKey) -> dict[ServiceKey, tuple[str, ...]]:
        said, known = self.memory.observations.service(key), self.memory.load_balancers.get(key)
        if said is None or said.service is None or self.course(key) is not Course.SERVE:
            return {}
        try:
            outcome = self.place(key, said.service, said.shown)
        except Transient:
            return {}
        had = known.spec.addresses if known is not None else ()
        holdings = outcome.holdings if isinstance(outcome, Choice) else ()
        more = tuple(holding.address for holding in holdings if holding.address not in had)
        return {key: more} if more else {}

    def course(self, key: ServiceKey) -> Course:
        """Where a Service that was observed is moved."""
        leaving = self.memory.standing_of(key.tenant) is Standing.LEAVING
        return decide_course(
            self.memory.observations.service(key),
            self.memory.is_absent(key),
            self.memory.load_balancers.get(key),
            self.memory.claims.of(key),
            leaving=leaving,
        )

    def _refused(
        self, key: ServiceKey, service: TenantService, wished: TenantService, denial: Denial
    ) -> LoadBalancerSpec:
        known = self.memory.load_balancers.get(key)
        place = place_of(self.memory, key)
        standing = still_standing(known, self.memory.claims.of(key), place)
        delivery = decide_delivery(self.memory.carriers.get(place), known)
        waits_for = for_anybody(denial.waits_for)
        return refused_spec(key, digest_of(service), wished, denial.refusal, standing, delivery, waits_for)

    def _answer(self, key: ServiceKey, spec: LoadBalancerSpec) -> None:
        known = self.memory.load_balancers.get(key)
        if known is not None and known.spec.says_the_same(spec):
            return
        item = replace(known, spec=spec) if known is not None else new_load_balancer(key, spec)
        self._folding.load_balancer_set(replace(item, metadata=self._stamped(item.metadata)))

    def _stamped(self, meta: ObjectMeta) -> ObjectMeta:
        """Metadata as the API server would have them after a write."""
        self._versions += 1
        created = meta.creation_timestamp or timestamps.to_text(self._clock.wall())
        uid = meta.uid or f"rehearsed-{self._versions}"
        return replace(meta, uid=uid, creation_timestamp=created, resource_version=str(self._versions))


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a rehearsal waits for nothing")


async def _unguarded(pool: str) -> None:
    """No pool is removed in a rehearsal."""


class _Claims:
    """Claims that are made at once, in the copy alone."""

    def __init__(self, stamped: Callable[[ObjectMeta], ObjectMeta]) -> None:
        self._stamped = stamped

    async def create(self, claim: AddressClaim) -> AddressClaim:
        return replace(claim, metadata=self._stamped(claim.metadata))

    async def read(self, address: str) -> AddressClaim:
        raise Transient(f"nobody else claims {address} in a rehearsal")

    async def set_shares(self, claim: AddressClaim, spec: AddressClaimSpec, generation: int) -> AddressClaim:
        return replace(claim, metadata=self._stamped(claim.metadata), spec=replace(spec, generation=generation))


class _Nobody:
    """Writes nothing anywhere, and needs no generation."""

    acting = True
    generation = 0

    def rise_above(self, generation: int) -> None:
        """Nothing is fenced."""


class _Woken:
    """Marks, of which only Services are looked at."""

    def __init__(self) -> None:
        self._services: dict[ServiceKey, None] = {}

    def take(self) -> Iterable[ServiceKey]:
        """Those that were marked, in that order; from now on none is."""
        services, self._services = self._services, {}
        return services

    def service(self, key: ServiceKey) -> None:
        self._services.setdefault(key)

    def slot(self, slot: Slot) -> None:
        """Nothing is published."""

    def allowance(self, key: AllowanceKey) -> None:
        """Nothing is told to nodes."""

    def claim(self, address: str) -> None:
        """Nothing is let go of."""

    def cluster(self, key: ClusterKey) -> None:
        """Nothing is written of clusters."""

    def account(self, tenant: str) -> None:
        """Nothing is minted."""

    def tenancy(self) -> None:
        """Tenants stay as they are judged."""

    def pool(self, name: str) -> None:
        """No pool is guarded."""

    def status(self, key: StatusKey) -> None:
        """No status is written."""
