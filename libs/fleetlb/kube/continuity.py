"""Holds a Lease only while the store behind it has not gone back in time, and keeps the mark by which that is seen.

Two ways to see it: a process that has read a newer Lease than the one it reads now; and, at the start, a mark outside
of the store that is ahead of it. Either is written on the Lease before anything else is, and stands there until an
operator accepts it. A process whose memory is of a future that did not happen has to begin anew, so `run` raises then.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, Protocol

import prometheus_client
import structlog

from fleetlb.contracts.v1 import StoreMarked
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import AlreadyExists, NotFound, StoreWentBack
from fleetlb.kube.lease_marks import closing_patch, has_gone_back, is_known_since, objection_of
from fleetlb.kube.lease_terms import Lease, LeaseMeta
from fleetlb.kube.leases import TYPED_LEASES, LeaseHolder

RETRY_SECONDS = 1.0
WENT_BACK = prometheus_client.Gauge(
    "fleetlb_store_went_back", "1 while a restored store waits for an operator; nothing is decided until then."
)

log = structlog.get_logger(__name__)


class Marks(Protocol):
    """Where marks are kept, outside of the store."""

    async def read(self, lease: str) -> StoreMarked | None:
        """The last mark of a Lease by its name; None: there is none. Raises Transient."""

    async def write(self, lease: str, mark: StoreMarked) -> None:
        """Replace the mark of a Lease. Raises Transient."""


class Continuity:
    """Stands between a process and its Lease."""

    def __init__(self, cluster: Cluster, holder: LeaseHolder, marks: Marks, *, on_open: Callable[[int], None]) -> None:
        """`on_open` gets the generation of the present term when an operator has accepted within it."""
        self._cluster = cluster
        self._holder = holder
        self._marks = marks
        self._on_open = on_open
        self._uid = ""
        self._seen: Lease | None = None
        self._ending = ""
        self._noted = asyncio.Event()
        holder.on_seen = self._see

    @property
    def objection(self) -> str:
        """Why nothing may be done under the Lease, and the cure; empty: nothing is in the way."""
        return self._ending or objection_of(self._seen)

    async def run(self) -> NoReturn:
        """Hold the Lease for ever. Raises StoreWentBack, once that is written on the Lease."""
        await self._insist("the store cannot be compared with what it was; trying again", self._begin)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_mark(), name=f"mark {self._holder.name}")
            tasks.create_task(self.guard(self._holder.run()), name=f"hold {self._holder.name}")
        raise AssertionError("never reached")

    async def guard(self, work: Coroutine[Any, Any, NoReturn]) -> NoReturn:
        """Do this for ever; whatever sees that the store went back is believed, and raised when it is written down."""
        try:
            await work
        except StoreWentBack as problem:
            self._ending = str(problem)
            log.error("the store went back in time; beginning anew", problem=str(problem))
            await self._insist("the lease cannot be marked as gone back; trying again", self._write_down, problem.once)
            raise

    async def _begin(self) -> None:
        """Compare the store with its mark."""
        self._uid = await self._cluster.uid()
        mark = await self._marks.read(self._holder.name)
        if mark is not None:
            self._holder.rise_above(mark.generation)
        await self._close_behind(mark)

    async def _write_down(self, once: int) -> None:
        """Close the gate for what this process has seen, unless it slept through the restore and its acceptance."""
        mark: StoreMarked | None = None
        with contextlib.suppress(Transient):
            mark = await self._marks.read(self._holder.name)
        if not await self._close_behind(mark) and not is_known_since(mark, self._holder.known_generation):
            await self._close(once)

    async def _close_behind(self, mark: StoreMarked | None) -> bool:
        """Close the gate if the store is behind the mark, which was read first: the Lease can only be newer."""
        holder = self._holder
        try:
            lease: Lease | None = await self._cluster.get(TYPED_LEASES, holder.name, holder.namespace)
        except NotFound:
            lease = None
        version = await self._cluster.version(TYPED_LEASES, holder.namespace)
        if mark is None or not has_gone_back(lease, mark, self._uid, store_version=version):
            return False
        now = lease.version if lease is not None else 0
        log.error("the store went back in time; nothing is decided until that is accepted", once=mark.version, now=now)
        await self._close(mark.version)
        return True

    async def _close(self, version: int) -> None:
        """Write it on the Lease, which is made if it is not there."""
        holder, where = self._holder, LeaseMeta(name=self._holder.name, namespace=self._holder.namespace)
        with contextlib.suppress(AlreadyExists):
            await self._cluster.create(TYPED_LEASES, Lease(metadata=where))
        body = closing_patch(version)
        await self._cluster.patch(TYPED_LEASES, holder.name, body, kind=PatchKind.MERGE, namespace=holder.namespace)

    def _see(self, lease: Lease) -> None:
        was_closed = bool(self.objection)
        self._seen = lease
        WENT_BACK.set(1 if self.objection else 0)
        if was_closed and not self.objection:
            log.info("an operator accepted that the store went back")
            if self._holder.held.is_set():
                self._on_open(self._holder.generation)
        self._noted.set()

    async def _keep_mark(self) -> NoReturn:
        while True:
            await self._noted.wait()
            self._noted.clear()
            await self._insist("the mark of the store cannot be kept; trying again", self._mark)

    async def _mark(self) -> None:
        """Only who acts knows that the store is what it was; a mark that is set back would hide what went back."""
        lease = self._seen
        if lease is not None and self._holder.is_valid() and not self.objection:
            mark = StoreMarked(cluster_uid=self._uid, version=lease.version, generation=lease.generation)
            await self._marks.write(self._holder.name, mark)

    async def _insist(self, failure: str, act: Callable[..., Awaitable[None]], *given: int) -> None:
        """Return when it has worked; one line for each outage."""
        is_told = False
        while True:
            try:
                await act(*given)
                return
            except FleetlbError as problem:
                if not is_told:
                    is_told = True
                    log.warning(failure, lease=self._holder.name, problem=str(problem))
            await asyncio.sleep(RETRY_SECONDS)
