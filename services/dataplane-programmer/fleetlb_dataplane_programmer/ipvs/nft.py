"""nftables by its program `nft`: one table of our own, changed element by element, read back and mended.

What one caller waits for is written together with what others ask for meanwhile. Must not touch another table.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import prometheus_client
import structlog

from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.ipvs import commands, filtering
from fleetlb_dataplane_programmer.ipvs.commands import CommandFailed
from fleetlb_dataplane_programmer.ipvs.filter_table import FAMILY, TABLE
from fleetlb_dataplane_programmer.ipvs.filtering import POOLS, Element, Guard, Listing, Owner
from fleetlb_dataplane_programmer.ipvs.generation import ruleset_generation

WRITES = prometheus_client.Counter("fleetlb_filter_writes_total", "Transactions given to the packet filter.")
REPAIRS = prometheus_client.Counter(
    "fleetlb_filter_repairs_total", "Elements of the packet filter changed by others, mended."
)
REFUSED = prometheus_client.Gauge(
    "fleetlb_filter_refused_packets", "Packets from outside the source ranges, since the filter's table was made."
)
_NOTHING: Final[frozenset[Element]] = frozenset()


class NftFilter:
    """`PacketFilter` with nftables, in the network namespace of the event loop's thread."""

    can_filter = True

    def __init__(self, program: str = "nft", generation: Callable[[], int | None] = ruleset_generation) -> None:
        """`generation` tells cheaply whether anybody changed anything; None if that cannot be told."""
        self._program = program
        self._generation = generation
        self._lock = asyncio.Lock()
        self._wanted: dict[Owner, frozenset[Element]] = {}
        self._unwritten: dict[Owner, frozenset[Element]] = {}
        """Owners whose wanted elements are not known to be in the kernel, with those that are there instead."""
        self._is_certain = False
        self._prefixes: set[str] = set()
        self._expected = filtering.EXPECTED
        self._seen_generation: int | None = None
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """See `PacketFilter`. Raises CommandFailed if nft or the kernel cannot do what is needed."""
        async with self._lock:
            listing = await self._list()
            held = filtering.known(listing.elements)
            self._wanted = filtering.by_owner(held)
            self._prefixes = {element.text for element in self._wanted.get(POOLS, _NOTHING) if "-" not in element.text}
            await self._mend(listing)

    async def change(self, key: VirtualServerKey, guard: Guard | None, prefix: str = "") -> None:
        """See `PacketFilter`. Raises CommandFailed; ValueError for a bad prefix."""
        owners = [filtering.owner_of(key)]
        self._want(owners[0], filtering.guard_elements(guard) if guard else _NOTHING)
        if prefix and prefix not in self._prefixes:
            self._want(POOLS, filtering.pool_elements({*self._prefixes, prefix}))
            self._prefixes.add(prefix)
            owners.append(POOLS)
        if self._lock.locked() or any(owner in self._unwritten for owner in owners):
            async with self._lock:
                await self._flush()

    async def sync(self, prefixes: Collection[str], guards: Collection[Guard]) -> int:
        """See `PacketFilter`. Raises CommandFailed; ValueError for a bad prefix."""
        wanted = filtering.by_owner(filtering.elements(prefixes, guards))
        # Before anything is awaited: what is asked for from now on comes on top.
        self._prefixes = set(prefixes)
        for owner in {*self._wanted, *wanted}:
            self._want(owner, wanted.get(owner, _NOTHING))
        async with self._lock:
            changes = (before ^ self._wanted.get(owner, _NOTHING) for owner, before in self._unwritten.items())
            size = sum(map(len, changes)) if self._is_certain else 0
            return size + await self._flush()

    async def audit(self) -> int:
        """See `PacketFilter`. Costs one system call while nobody has changed any table. Raises CommandFailed."""
        async with self._lock:
            await self._flush()
            generation = self._generation()
            if generation is not None and generation == self._seen_generation:
                return 0
            repaired = await self._mend(await self._list())
            if repaired:
                REPAIRS.inc(repaired)
                self._log.warning("others changed the packet filter; it is mended", elements=repaired)
            else:
                self._seen_generation = generation
            return repaired

    def _want(self, owner: Owner, elements: frozenset[Element]) -> None:
        before = self._wanted.get(owner, _NOTHING)
        if elements == before:
            return
        self._unwritten.setdefault(owner, before)
        if elements:
            self._wanted[owner] = elements
        else:
            del self._wanted[owner]

    async def _flush(self) -> int:
        """Write what is not written; returns what had to be mended besides. The lock is held."""
        if not self._is_certain:
            return await self._mend(await self._list())
        if not self._unwritten:
            return 0
        taken, self._unwritten = self._unwritten, {}
        before = _NOTHING.union(*taken.values())
        after = _NOTHING.union(*(self._wanted.get(owner, _NOTHING) for owner in taken))
        script = filtering.render_change(before, after)
        if not script:
            return 0
        try:
            await self._write(script)
        except CommandFailed as problem:
            # The kernel was not as we thought: look, and write what is really missing.
            self._unwritten = self._unwritten | taken
            self._log.warning("the packet filter refused a change; it is compared", problem=str(problem))
            return await self._mend(await self._list())
        except BaseException:
            self._unwritten = self._unwritten | taken
            raise
        return 0

    async def _mend(self, listing: Listing) -> int:
        """Bring the kernel from what was listed to what is wanted. The lock is held."""
        taken, self._unwritten = self._unwritten, {}
        try:
            wanted = _NOTHING.union(*self._wanted.values())
            repair = filtering.differs(wanted, listing, self._expected)
            if repair is not None:
                await self._write(repair.script)
                if listing.shape != self._expected:
                    await self._learn()
        except BaseException:
            self._unwritten = self._unwritten | taken
            raise
        self._is_certain = True
        return repair.size if repair else 0

    async def _learn(self) -> None:
        """Another nft may spell our table in another way: what it lists right after our own write is right."""
        self._expected = (await self._list()).shape
        if self._expected != filtering.EXPECTED:
            self._log.info("this nft lists the packet filter in a spelling of its own")

    async def _list(self) -> Listing:
        try:
            output = await commands.run(self._program, "-j", "-n", "list", "table", FAMILY, TABLE)
        except CommandFailed as problem:
            if "No such file or directory" in str(problem):
                return Listing()
            raise
        try:
            listing = await asyncio.to_thread(filtering.read_listing, output)  # large with many guards
        except ValueError as problem:
            raise CommandFailed(str(problem)) from None
        REFUSED.set(listing.refused_packets)
        return listing

    async def _write(self, script: str) -> None:
        self._is_certain = False
        WRITES.inc()
        before = self._generation()
        await commands.run(self._program, "-j", "-f", "-", stdin=script)
        self._is_certain = True
        if before is not None and before == self._seen_generation and self._generation() == before + 1:
            self._seen_generation = before + 1  # the one change was ours
