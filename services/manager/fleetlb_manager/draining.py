"""Keeps an AddressPool in being while anybody has an address of it, and lets it go after that.

Invariants: no claim is made from a pool that is not guarded by our finalizer; the finalizer of a pool that is deleted
goes only when no claim names the pool, in whatever phase, and none is about to be made.
"""

import enum
from collections.abc import Sequence
from typing import Protocol

import structlog

from fleetlb.contracts.objects import POOL_FINALIZER, AddressPool
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import Conflict, Invalid, NotFound
from fleetlb_manager.choosing import Chooser
from fleetlb_manager.pool_holdings import PoolUse
from fleetlb_manager.workbench import Workbench

PROPOSAL_SECONDS = 0.2
"""How soon a pool is looked at again for which a proposal is not settled yet: nobody tells when it is."""

log = structlog.get_logger(__name__)


class Step(enum.Enum):
    """What is to be done about a pool."""

    NOTHING = "nothing"
    GUARD = "guard"
    LET_GO = "let go"


def decide_step(pool: AddressPool, use: PoolUse) -> Step:
    """Guard a pool that is there; let go of one that is deleted, once nothing of it is in use or at rest."""
    is_guarded = POOL_FINALIZER in pool.metadata.finalizers
    if pool.metadata.deletion_timestamp is None:
        return Step.NOTHING if is_guarded else Step.GUARD
    return Step.LET_GO if is_guarded and use.is_free else Step.NOTHING


class PoolStore(Protocol):
    """AddressPools in the API server."""

    async def set_pool_finalizers(self, pool: AddressPool, finalizers: Sequence[str]) -> AddressPool:
        """Replace the finalizers of this version. Raises Conflict, NotFound, or Invalid for one that is deleted."""


class Draining:
    """Guards pools, and lets them go."""

    def __init__(self, bench: Workbench, store: PoolStore, chooser: Chooser) -> None:
        """`chooser` knows what is about to be claimed."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._authority = bench.authority
        self._store = store
        self._chooser = chooser

    async def reconcile(self, name: str) -> float | None:
        """Do what is to be done about one pool; the seconds until it must be looked at again. Raises Transient."""
        pool = self._memory.pools.get(name)
        if pool is None or not self._authority.acting:
            return None
        step = decide_step(pool, self._memory.claims.of_pools.of(name))
        if step is Step.GUARD:
            await self.guard(name)
        elif step is Step.LET_GO:
            if self._chooser.is_proposing(name):
                return PROPOSAL_SECONDS
            await self._let_go(pool)
        return None

    async def guard(self, name: str) -> None:
        """Return once the pool cannot go without us. Raises Transient when it is going, or changed meanwhile."""
        pool = self._memory.pools.get(name)
        if pool is None or pool.metadata.deletion_timestamp is not None:
            raise Transient(f"pool {name} is being removed")
        if POOL_FINALIZER in pool.metadata.finalizers:
            return
        try:
            guarded = await self._store.set_pool_finalizers(pool, (*pool.metadata.finalizers, POOL_FINALIZER))
        except (Conflict, NotFound, Invalid) as problem:
            raise Transient(f"pool {name} changed meanwhile") from problem
        self._folding.pool_set(guarded)

    async def _let_go(self, pool: AddressPool) -> None:
        """The answer is not folded: the watch tells whether others keep the pool, or that it is gone."""
        rest = [finalizer for finalizer in pool.metadata.finalizers if finalizer != POOL_FINALIZER]
        try:
            await self._store.set_pool_finalizers(pool, rest)
        except NotFound:
            return
        except Conflict as problem:
            raise Transient(f"pool {pool.metadata.name} changed meanwhile") from problem
        log.info("a pool that nobody uses any more was let go", pool=pool.metadata.name)
