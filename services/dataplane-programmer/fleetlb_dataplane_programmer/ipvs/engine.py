"""The IPVS engine: brings the kernel's table to what is wished for, key by key, and says what was read back.

Programming goes first and in large batches, confirming follows when nothing more is to be programmed, so a burst is
carried before it is confirmed. Nothing is PROGRAMMED that was not read back as asked (P9).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import structlog

from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, Capability, EngineName
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.runtime.workers import Reconciler
from fleetlb_dataplane_programmer.engine import OnOutcome, OnRepaired, Outcome, State
from fleetlb_dataplane_programmer.ipvs.auditing import connections_in
from fleetlb_dataplane_programmer.ipvs.budgeting import MAX_MAGLEV, MaglevBudget
from fleetlb_dataplane_programmer.ipvs.diffing import Actual, Plan, diff, is_as_asked
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from fleetlb_dataplane_programmer.ipvs.owning import strangers_among
from fleetlb_dataplane_programmer.ipvs.patrolling import ROUND_SECONDS, Patrol
from fleetlb_dataplane_programmer.ipvs.pipeline import Pipeline
from fleetlb_dataplane_programmer.ipvs.surroundings import Surroundings
from fleetlb_dataplane_programmer.ipvs.translating import (
    Target,
    explain,
    is_drift,
    service_key,
    translate,
    unfit,
    virtual_server_key,
)
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation
from fleetlb_dataplane_programmer.vip_announcer import RoutedVips, VipAnnouncer
from fleetlb_dataplane_programmer.vips import Step, Vips

_FILTERED = frozenset({Capability.SOURCE_RANGES.value})
_CONCURRENCY = 64
_ROUNDS = 3
_OPEN_AGAIN_SECONDS = 5.0
_REFUSED_AGAIN_SECONDS = 30.0
_BURST_SECONDS = 1.0


class _Wish(msgspec.Struct):
    server: VirtualServer | None
    token: int
    told: Outcome | None = None
    mismatches: int = 0
    """Times that the kernel held something else than was asked."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a node works: its bound on a costly scheduler, and the seconds between two looks for drift."""

    max_maglev: int = MAX_MAGLEV
    round_seconds: float = ROUND_SECONDS


class IpvsEngine:
    """`Engine` on the kernel of this network namespace. To be used from one event loop."""

    name = "ipvs"

    def __init__(
        self,
        on_outcome: OnOutcome,
        surroundings: Surroundings,
        *,
        announcer: VipAnnouncer = RoutedVips(),  # noqa: B008 (stateless)
        on_trouble: Callable[[str], None] = lambda _: None,
        on_repaired: OnRepaired = lambda _: None,
        open_kernel: Callable[[], Kernel] = Kernel,
        now: Callable[[], float] = time.time,
        terms: Terms = Terms(),  # noqa: B008 (frozen)
    ) -> None:
        """`on_trouble` hears why the kernel cannot be used, "" once it can. `on_repaired` hears how much others had
        changed, once a round of the patrol. `now`: seconds since 1970; the ends of drains are times that outlive this
        process.
        """
        self._on_outcome, self._on_trouble = on_outcome, on_trouble
        self._surroundings, self._announcer = surroundings, announcer
        self._open_kernel, self._now = open_kernel, now
        self._kernel: Kernel
        self._pipeline: Pipeline
        self._wishes: dict[VirtualServerKey, _Wish] = {}
        self._budget = MaglevBudget(terms.max_maglev)
        self._absent: set[VirtualServerKey] = set()
        """Keys known not to be in the kernel: they need not be read first."""
        self._vips = Vips()
        self._complete = asyncio.Event()
        self._programming = Reconciler(self._program, name="ipvs", concurrency=_CONCURRENCY)
        self._confirming = Reconciler(self._confirm, name="ipvs-confirm", concurrency=1)
        self._patrol = Patrol(
            self._is_right,
            self._mend,
            surroundings,
            on_repaired,
            read_text=lambda: self._kernel.text(),
            read_head=lambda: self._kernel.head(),
            round_seconds=terms.round_seconds,
        )
        self._log = structlog.get_logger().bind(engine=self.name)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the kernel can do, and its filter if there is one."""
        all_of_them = ENGINE_CAPABILITIES[EngineName.IPVS]
        return all_of_them if self._surroundings.can_filter else all_of_them - _FILTERED

    def apply(self, server: VirtualServer, token: int) -> None:
        """Wish for this virtual server; see `Engine`."""
        self._wish(server.key, _Wish(server, token))

    def remove(self, key: VirtualServerKey, token: int) -> None:
        """Wish for nothing under this key; see `Engine`."""
        self._wish(key, _Wish(None, token))

    def complete(self) -> None:
        """Let changes start; see `Engine`."""
        self._complete.set()

    async def holdings(self) -> frozenset[VirtualServerKey] | None:
        """Virtual servers in the kernel that may be ours: any, while no pool is known. None if it cannot be asked."""
        try:
            with contextlib.closing(self._open_kernel()) as kernel:
                keys = [virtual_server_key(service.key) for service in kernel.services()]
        except Transient:
            return None
        servers = self._servers()
        return frozenset(strangers_among(keys, servers, known=()) if servers else (key for key in keys if key))

    async def connections(self) -> int | None:
        """How many connections are open over this node. None if the kernel cannot be asked."""
        try:
            with contextlib.closing(self._open_kernel()) as kernel:
                return connections_in(kernel.text())
        except (Transient, OSError):
            return None

    async def run(self) -> None:
        """Serve until cancelled. The kernel keeps what it has."""
        with contextlib.closing(await self._opened()) as self._kernel:
            self._pipeline = Pipeline(self._kernel)
            await self._complete.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._start(), name="ipvs start")
                tasks.create_task(self._programming.run(), name="ipvs")
                tasks.create_task(self._confirming.run(), name="ipvs confirm")
                tasks.create_task(self._patrol.run(), name="ipvs patrol")

    async def _opened(self) -> Kernel:
        """The kernel, once it can be used and the node around it is ready."""
        while True:
            try:
                with contextlib.ExitStack() as stack:
                    kernel = stack.enter_context(contextlib.closing(self._open_kernel()))
                    await self._surroundings.start()
                    stack.pop_all()
            except Transient as problem:
                self._log.error("IPVS cannot be used", problem=str(problem))
                self._on_trouble(str(problem))
                await asyncio.sleep(_OPEN_AGAIN_SECONDS)
            else:
                self._on_trouble("")
                return kernel

    async def _start(self) -> None:
        """Remove what nobody wishes for any more, and look at every wish. O(all), once."""
        while True:
            try:
                held = {virtual_server_key(service.key) for service in self._kernel.services()}
                strangers = strangers_among(held, self._servers(), known=self._wishes)
                for key in strangers:
                    self._log.info("a virtual server that nobody wishes for is removed", key=str(key))
                if strangers:
                    await self._pipeline.apply([Operation(Command.DEL_SERVICE, service_key(key)) for key in strangers])
                break
            except Transient as problem:
                self._log.warning("the kernel's table cannot be read yet", problem=str(problem))
                await asyncio.sleep(_OPEN_AGAIN_SECONDS)
        self._absent = {key for key in self._wishes if key not in held}
        for key in self._wishes:
            self._programming.add(key)
        await self._programming.join()
        with contextlib.suppress(Transient):  # the patrol tries again
            await self._surroundings.complete()
        await self._confirming.join()
        await self._announcer.complete()

    def _servers(self) -> list[VirtualServer]:
        return [wish.server for wish in self._wishes.values() if wish.server is not None]

    def _wish(self, key: VirtualServerKey, wish: _Wish) -> None:
        self._wishes[key] = wish
        if self._complete.is_set():
            self._programming.add(key)

    async def _program(self, key: VirtualServerKey) -> float | None:
        wish = self._wishes.get(key)
        if wish is None:
            return None
        objection = self._budget.objection_to(key, wish.server) or (unfit(wish.server) if wish.server else "")
        if objection:  # the kernel keeps what it had
            self._tell(key, wish, State.REJECTED, objection)
            return _REFUSED_AGAIN_SECONDS
        if wish.server is not None:
            await self._surroundings.admit(wish.server)
        elif self._vips.leave(key):
            await self._announcer.withdraw(key.address)
        refusal, look_again = await self._bring(key, wish)
        if self._wishes.get(key) is not wish:
            return None
        if refusal:
            self._tell(key, wish, State.REJECTED, refusal)
            return _REFUSED_AGAIN_SECONDS
        self._confirming.add(key)
        return look_again

    async def _bring(self, key: VirtualServerKey, wish: _Wish) -> tuple[str, float | None]:
        """Change the kernel until it holds the wish. The kernel's refusal or "", and when to look again."""
        target = translate(wish.server) if wish.server is not None else None
        for _ in range(_ROUNDS):
            plan = self._plan(key, target)
            if not plan.operations:
                return "", plan.look_again
            failures = sorted(await self._pipeline.apply(plan.operations))
            for index, error, text in failures:
                operation = plan.operations[index]
                if not is_drift(operation, error):
                    return explain(operation, error, text), None
            if not failures:
                return "", plan.look_again
        raise Transient(f"{key}: others change the kernel's table at the same time")

    def _plan(self, key: VirtualServerKey, target: Target | None) -> Plan:
        if key in self._absent:
            self._absent.discard(key)
            actual = Actual()
        else:
            actual = self._read(key)
        return diff(service_key(key), target, actual, int(self._now()))

    def _read(self, key: VirtualServerKey) -> Actual:
        name = service_key(key)
        service = self._kernel.service(name)
        if service is None:
            return Actual()
        held = self._kernel.destinations(name)
        return Actual(service, {destination.key: (destination, load) for destination, load in held})

    async def _confirm(self, key: VirtualServerKey) -> float | None:
        """Read back, and say so."""
        if not self._programming.idle():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BURST_SECONDS):
                    await self._programming.join()
        wish = self._wishes.get(key)
        if wish is None:
            return None
        target = translate(wish.server) if wish.server is not None else None
        if not is_as_asked(target, self._read(key)):
            wish.mismatches += 1
            if wish.mismatches < _ROUNDS:
                self._programming.add(key)
                return None
            self._tell(key, wish, State.REJECTED, "the kernel holds something else than it was asked for")
            return _REFUSED_AGAIN_SECONDS
        wish.mismatches = 0
        if wish.server is None:
            await self._removed(key, wish)
        else:
            await self._programmed(wish.server, wish)
        return None

    async def _programmed(self, server: VirtualServer, wish: _Wish) -> None:
        self._patrol.expect(server.key)
        match self._vips.note_programmed(server):
            case Step.ANNOUNCE:
                manner = (server.announcement, server.prefix, server.attributes_pool)
                await self._announcer.announce(server.key.address, *manner)
                self._vips.note_announced(server)
            case Step.WITHDRAW:
                await self._announcer.withdraw(server.key.address)
                self._vips.note_withdrawn(server.key.address)
            case Step.NOTHING:
                pass
        self._tell(server.key, wish, State.PROGRAMMED)

    async def _removed(self, key: VirtualServerKey, wish: _Wish) -> None:
        self._patrol.forget(key)
        self._budget.forget(key)
        await self._surroundings.dismiss(key)
        if self._wishes.get(key) is wish:
            del self._wishes[key]
            self._tell(key, wish, State.REMOVED)

    def _tell(self, key: VirtualServerKey, wish: _Wish, state: State, message: str = "") -> None:
        outcome = Outcome(state=state, token=wish.token, message=message)
        if outcome != wish.told:
            wish.told = outcome
            self._on_outcome(key, outcome)

    def _is_right(self, key: VirtualServerKey, is_absent: bool) -> bool:
        """Whether the kernel holds what was programmed under a key; a change under way counts as right."""
        wish = self._wishes.get(key)
        if wish is None or wish.server is None or wish.told is None or wish.told.state is not State.PROGRAMMED:
            return True
        return not is_absent and is_as_asked(translate(wish.server), self._read(key))

    def _mend(self, key: VirtualServerKey, is_absent: bool) -> None:
        if is_absent:
            self._absent.add(key)
        self._programming.add(key)
