"""From a granted wish to addresses: those it holds stay, those asked for by name are looked up, others are chosen.

Synchronous on purpose: between looking into the book and noting the choice there, nobody else can choose. A choice is a
proposal until its claims are written; proposals are remembered, so that trying again proposes the same. Does no I/O.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.address_pools import is_buggy, number_of
from fleetlb.domain.addresses import Family, family_of, parse_address
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.service_fields import judge_capabilities
from fleetlb_manager.choices import Choice, Denial, Holding, Wish
from fleetlb_manager.eligible_pools import Capabilities, EligiblePools
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.offering import units_left
from fleetlb_manager.proposals import Proposals
from fleetlb_manager.shares import is_shareable, judge_share, share_of
from fleetlb_manager.waiting_lines import WaitingLines, address_resource, pool_resource


class Chooser:
    """Chooses addresses out of the book."""

    def __init__(
        self, book: AddressBook, lines: WaitingLines, capabilities: Capabilities, on_free: Callable[[str, str], None]
    ) -> None:
        """`lines` say which free addresses are kept for whoever waited longer; `on_free` hears of each dropped proposal
        and its pool."""
        self._book = book
        self._lines = lines
        self._capabilities = capabilities
        self._eligible = EligiblePools(book, capabilities)
        self._on_free = on_free
        self._proposals = Proposals()

    def choose(self, wish: Wish) -> Choice | Denial:
        """Addresses for a wish, taken in the book; or why there are none, with nothing taken.

        A Service that would like two families and can have one of them gets that, but gives up none that it holds.
        """
        outcome = self._choose(wish)
        if isinstance(outcome, Choice) or not wish.service.prefers_dual_stack or wish.service.addresses:
            return outcome
        if outcome.is_held:
            return outcome
        waits_for = outcome.waits_for
        for family in sorted(wish.service.ip_families, key=lambda family: wish.held(family) is None):
            service = msgspec.structs.replace(wish.service, ip_families=(family,))
            alone = self._choose(msgspec.structs.replace(wish, service=service))
            if isinstance(alone, Choice):
                return msgspec.structs.replace(alone, short=outcome)
            if alone.is_held:
                return alone
            waits_for += alone.waits_for
        return msgspec.structs.replace(outcome, waits_for=tuple(dict.fromkeys(waits_for)))

    def _choose(self, wish: Wish) -> Choice | Denial:
        asked, proposed = wish, self._proposals.take(wish.key)
        wish = msgspec.structs.replace(wish, preferred=(*wish.preferred, *proposed))
        fixed: dict[Family, Holding] = {}
        outcome: Choice | Denial | None = None
        for family in wish.service.ip_families:
            found = self._fixed(asked, family)
            if isinstance(found, Denial):
                outcome = found
                break
            if found is not None:
                fixed[family] = found
        outcome = outcome or self._complete(wish, fixed)
        kept = outcome.holdings if isinstance(outcome, Choice) else ()
        claimed = {claim.spec.address for claim in wish.claims}
        claimed.update(wish.around)
        addresses = tuple(holding.address for holding in kept if holding.address not in claimed)
        self._drop(wish.key, (a for a in proposed if a not in addresses and a not in claimed))
        self._proposals.put(wish.key, addresses, wish.service.sharing_key)
        return outcome

    def settle(self, key: ServiceKey, address: str) -> None:
        """A proposed address is claimed, by this Service or by somebody else."""
        self._proposals.settle(key, address)

    def is_proposing(self, pool: str) -> bool:
        """Whether an address of a pool is chosen and neither claimed nor dropped yet. O(proposals)."""
        return any(pool in self._book.pools_of(address) for address in self._proposals.addresses())

    def is_awaited(self, key: ServiceKey, sharing_key: str) -> bool:
        """Whether another Service is about to claim what this one should share."""
        return bool(sharing_key) and self._proposals.are_under(key.tenant, sharing_key, beside=key)

    def abandon(self, key: ServiceKey, claims: Iterable[AddressClaim]) -> None:
        """The Service wants no address any more, beside those of its claims: one may have been made after all, though
        no answer came."""
        claimed = {claim.spec.address for claim in claims}
        self._drop(key, (address for address in self._proposals.take(key) if address not in claimed))

    def _drop(self, key: ServiceKey, addresses: Iterable[str]) -> None:
        """Proposals that are not needed; one that somebody else has claimed meanwhile is not ours to give back."""
        for address in addresses:
            if self._book.holder(address) == str(key):
                pool = self._book.given_from(address)
                self._book.give_back(address)
                self._on_free(address, pool)

    def _fixed(self, wish: Wish, family: Family) -> Holding | Denial | None:
        """The address that a family must get: the one asked for, the one held, or one of its sharing key. None: any."""
        for address in wish.service.addresses:
            if family_of(address) is family:
                return self._requested(wish, address)
        held = wish.held(family)
        if held is None:
            return self._shared(wish, family)
        outcome = self._beside_others(wish, held)
        return msgspec.structs.replace(outcome, is_held=True) if isinstance(outcome, Denial) else outcome

    def _requested(self, wish: Wish, address: str) -> Holding | Denial:
        own = next((claim for claim in wish.claims if claim.spec.address == address), None)
        if own is not None and own.spec.phase is ClaimPhase.BOUND:
            return self._beside_others(wish, Holding(address, own.spec.pool, own.spec.group))
        holding = self._located(wish, address)
        if holding is None:
            return Denial(self._eligible.why_not_there(wish.service, wish.grant, address))
        claim = wish.around.get(address)
        if claim is not None and own is None and claim.spec.owner.tenant == wish.key.tenant:
            return self._beside_others(wish, Holding(address, claim.spec.pool, claim.spec.group))
        resource = address_resource(address)
        is_taken = self._book.holder(address) not in (None, str(wish.key)) or own is not None
        if is_taken or self._lines.kept_from(wish.key, resource) or self._is_owed(wish, holding):
            text = f"fleetlb.dev/addresses: {address} is in use, or rests after its last use"
            return Denial(Refusal(Reason.ADDRESS_IN_USE, text), (resource,), is_passing=not is_taken)
        return holding

    def _is_owed(self, wish: Wish, free: Holding) -> bool:
        """Whether a free address is the last of what is kept for those who were called for its pool."""
        if self._book.holder(free.address) is not None or address_resource(free.address) in self._lines.called_for(
            wish.key
        ):
            return False
        return not self._has_free(wish, free.pool, family_of(free.address))

    def _shared(self, wish: Wish, family: Family) -> Holding | Denial | None:
        """An address that others of its tenant have under its key; one that it had before comes first."""
        key, sharing_key = wish.key, wish.service.sharing_key
        found = [
            Holding(address, claim.spec.pool, claim.spec.group)
            for address, claim in wish.around.items()
            if is_shareable(claim)
            and (claim.spec.owner.tenant, claim.spec.sharing_key) == (key.tenant, sharing_key)
            and family_of(address) is family
            and self._located(wish, address) is not None
        ]
        had = [holding for holding in found if holding.address in wish.preferred]
        if not had and self._regained(wish, family, self._eligible.automatic(wish.service, wish.grant)) is not None:
            return None
        outcomes = [self._beside_others(wish, holding) for holding in (*had, *found)]
        return next((outcome for outcome in outcomes if isinstance(outcome, Holding)), next(iter(outcomes), None))

    def _beside_others(self, wish: Wish, holding: Holding) -> Holding | Denial:
        """A claimed address, if those who have it leave room for the wish."""
        claim = wish.around.get(holding.address)
        refusal = judge_share(claim.spec, share_of(wish.key, wish.service), wish.service.sharing_key) if claim else None
        return Denial(refusal, (address_resource(holding.address),)) if refusal else holding

    def _located(self, wish: Wish, address: str) -> Holding | None:
        """Where an address lies, if the wish may have it from there."""
        for pool in self._eligible.of(wish.service, wish.grant, self._book.pools_of(address)):
            if not (self._book.pools[pool].avoid_buggy and is_buggy(*number_of(parse_address(address)))):
                return Holding(address, pool, self._book.pools[pool].group)
        return None

    def _complete(self, wish: Wish, fixed: dict[Family, Holding]) -> Choice | Denial:
        """Choose for the families that are not fixed; all addresses in one group, all or none."""
        groups = {holding.group for holding in fixed.values()}
        if len(groups) > 1:
            asked_by = "fleetlb.dev/addresses" if wish.service.addresses else "fleetlb.dev/sharing-key"
            text = f"{asked_by}: the addresses belong to different balancer groups"
            return Denial(Refusal(Reason.ADDRESS_NOT_ALLOWED, text))
        pools = self._eligible.automatic(wish.service, wish.grant)
        candidates = sorted(groups) or self._ranked(wish, pools)
        denials: list[Denial] = []
        for group in candidates:
            outcome = self._choose_in(wish, group, [p for p in pools if self._book.pools[p].group == group], fixed)
            if isinstance(outcome, Choice):
                return outcome
            denials.append(outcome)
        if not denials:
            return Denial(self._eligible.why_none(wish.service, wish.grant))
        waits = tuple(resource for denial in denials for resource in denial.waits_for)
        first = next((denial for denial in denials if denial.waits_for), denials[0])
        return Denial(first.refusal, waits, first.is_passing)

    def _ranked(self, wish: Wish, pools: Sequence[str]) -> list[str]:
        """Groups in the order in which they are tried: that of an address that it had; those of pools that have a free
        address, the preferred pool first; the others, which will say what is missing."""
        family = wish.service.ip_families[0]
        regained = self._regained(wish, family, pools)
        free = [pool for pool in pools if self._has_free(wish, pool, family)]
        groups = [self._book.pools[pool].group for pool in (*free, *pools)]
        return list(dict.fromkeys([regained.group, *groups] if regained else groups))

    def _choose_in(self, wish: Wish, group: str, pools: Sequence[str], fixed: dict[Family, Holding]) -> Choice | Denial:
        refusal = judge_capabilities(wish.service, self._capabilities(group) or frozenset())
        if refusal:
            return Denial(refusal)
        owner = str(wish.key)
        had = {a for a in (holding.address for holding in fixed.values()) if self._book.holder(a) == owner}
        had.update(a for a in wish.preferred if self._book.holder(a) == owner)
        holdings: list[Holding] = []
        for family in wish.service.ip_families:
            found = fixed.get(family) or self._choose_one(wish, family, pools)
            if isinstance(found, Denial):
                for holding in holdings:
                    if holding.address not in had and self._book.holder(holding.address) == owner:
                        self._book.give_back(holding.address)
                return found
            self._book.take(found.address, owner, pool=found.pool)
            holdings.append(found)
        return Choice(group, tuple(holdings))

    def _regained(self, wish: Wish, family: Family, pools: Sequence[str]) -> Holding | None:
        """An address that it had, if nobody has it or waits for it longer."""
        going = {claim.spec.address for claim in wish.claims}
        for address in wish.preferred:
            located = self._located(wish, address) if family_of(address) is family else None
            if located is None or located.pool not in pools or address in going:
                continue
            holder = self._book.holder(address)
            if holder == str(wish.key) or (holder is None and self._is_left_to(wish, located, family)):
                return located
        return None

    def _is_left_to(self, wish: Wish, free: Holding, family: Family) -> bool:
        """Whether a free address that a Service had is not kept for somebody else by now."""
        if free.address in wish.lost:
            return True
        is_kept = self._lines.kept_from(wish.key, address_resource(free.address))
        return not is_kept and self._has_free(wish, free.pool, family)

    def _has_free(self, wish: Wish, pool: str, family: Family) -> bool:
        """Whether a pool has more free addresses than are kept for others."""
        kept = self._lines.kept_from(wish.key, pool_resource(pool, family))
        return units_left(self._book, self._lines, pool, family) > kept

    def _next_free(self, key: ServiceKey, pool: str, family: Family) -> str | None:
        """A free address that is not kept for somebody else by its name."""
        kept: list[str] = []
        while (free := self._book.choose(pool, family)) is not None:
            if not self._lines.kept_from(key, address_resource(free)):
                break
            kept.append(free)
        for address in kept:
            self._book.decline(pool, address)
        return free

    def _choose_one(self, wish: Wish, family: Family, pools: Sequence[str]) -> Holding | Denial:
        regained = self._regained(wish, family, pools)
        if regained is not None:
            return regained
        sized = [pool for pool in pools if self._book.size(pool, family)]
        if not sized:
            text = f"spec.ipFamilies: no address pool that this tenant may use has {family} addresses"
            return Denial(Refusal(Reason.UNSUPPORTED, text))
        for pool in sized:
            if self._has_free(wish, pool, family):
                free = self._next_free(wish.key, pool, family)
                if free is not None:
                    return Holding(free, pool, self._book.pools[pool].group)
        total = sum(self._book.size(pool, family) for pool in sized)
        text = f"no free {family} address in {', '.join(f'pool {pool}' for pool in sized)}: {total} of {total} taken"
        waits_for = tuple(pool_resource(pool, family) for pool in sized)
        is_passing = any(self._book.counts(pool, family).free for pool in sized)
        return Denial(Refusal(Reason.POOL_EXHAUSTED, text), waits_for, is_passing)
