"""The supervising process: from the lock on the state folder to the last child's end.

It ties the parts together and handles signals, time limits and failures. It must not know how any process is called.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.local import control, controlplane, leftovers, planning
from fleetlb_cli.local.choices import Wish
from fleetlb_cli.local.fleet import Fleet
from fleetlb_cli.local.layout import Layout, Sockets, write_json
from fleetlb_cli.local.leftovers import Record
from fleetlb_cli.local.planning import Plan
from fleetlb_cli.local.ports import Claims
from fleetlb_cli.local.processes import Mark, last_lines, start_time
from fleetlb_cli.local.routes import LocalRanges
from fleetlb_cli.local.supervisor import ChildFailedError, NoSuchProcessError, Supervisor, VerbRefusedError

Report = Callable[[str], None]
_IPV6_USERS = 64


class _StopAsked(Exception):
    """SIGINT or SIGTERM."""


class Startable(Protocol):
    """What is supervised: `fleet.Fleet`, or something smaller."""

    @property
    def awaited(self) -> dict[str, Path]:
        """What a start is waiting for now, with the log that may say why."""

    def start(self, tasks: asyncio.TaskGroup) -> Coroutine[None, None, None]:
        """Return when every process is ready."""

    def stop_order(self) -> tuple[tuple[str, ...], ...]:
        """Names of processes, first those that others do not need."""

    def environment(self) -> msgspec.Struct:
        """The contents of env.json as of now."""


def host(
    wish: Wish, place: Layout, environ: Mapping[str, str], timeout: float, report: Report, ready: Callable[[], None]
) -> None:
    """Run a fleet until it is told to stop. Raises what keeps it from starting."""
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        stack.enter_context(leftovers.locked(place))
        if ended := leftovers.clean(place):
            report(f"ended {ended} processes that a crashed fleet had left")
        control_plane = controlplane.ensure(environ, report)
        claims = stack.enter_context(contextlib.closing(Claims()))
        sockets = stack.enter_context(private_sockets(environ))
        plan = planning.plan(wish, place, control_plane, environ, sockets, claims)
        ranges = ranges_of(plan)
        recorder = Recorder(place, sockets, ranges)
        stack.callback(recorder.remove)
        if ranges:
            recorder.write()
            stack.enter_context(_local_ranges(ranges, claims))
        supervisor = Supervisor(changed=recorder.write, report=report)
        supervise(Fleet(plan, supervisor, report), supervisor, recorder, deadline, ready)


def supervise(
    fleet: Startable, supervisor: Supervisor, recorder: "Recorder", deadline: float, ready: Callable[[], None]
) -> None:
    """Start, obey and stop, with the state folder held by the caller."""
    recorder.watch(supervisor, fleet)
    recorder.write()
    asyncio.run(_serve(fleet, supervisor, recorder, deadline, ready))


class Recorder:
    """Writes down every change of a pid: always for the clean-up after a crash, as env.json once all is ready."""

    def __init__(self, place: Layout, sockets: Sockets, ranges: tuple[str, ...] = ()) -> None:
        self._place = place
        self._ranges = ranges
        self._me = Mark(os.getpid(), start_time(os.getpid()) or 0)
        self._supervisor: Supervisor | None = None
        self._fleet: Startable | None = None
        self.sockets = sockets
        self.public = False

    def watch(self, supervisor: Supervisor, fleet: Startable) -> None:
        """Whose processes are written down."""
        self._supervisor, self._fleet = supervisor, fleet

    def write(self) -> None:
        """Before anybody who waits for the change goes on."""
        record = Record(
            supervisor=self._me,
            children=self._supervisor.marks if self._supervisor else (),
            sockets=str(self.sockets.folder),
            ranges=self._ranges,
        )
        write_json(self._place.record, record)
        if self.public and self._fleet:
            write_json(self._place.environment, self._fleet.environment())

    def hide(self) -> None:
        """env.json exists while the fleet is up."""
        self.public = False
        self._place.environment.unlink(missing_ok=True)

    def remove(self) -> None:
        """Nothing runs any more."""
        self.hide()
        self._place.record.unlink(missing_ok=True)


async def _serve(
    fleet: Startable, supervisor: Supervisor, recorder: Recorder, deadline: float, ready: Callable[[], None]
) -> None:
    """Start, obey, stop."""
    stop = asyncio.Event()
    _listen_to_signals(stop, supervisor)
    problem: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise_when(stop))
            await _start(fleet, supervisor, tasks, deadline)
            supervisor.settled = recorder.public = True
            recorder.write()
            server = await control.serve(recorder.sockets.control, lambda order: _obey(supervisor, order))
            async with server:
                ready()
                await stop.wait()
    except* _StopAsked:
        pass
    except* (ChildFailedError, FleetlbError, OSError) as group:
        problem = _first(group)
    finally:
        recorder.hide()
        await supervisor.stop_all(fleet.stop_order())
    if problem is not None:
        raise problem


async def _start(fleet: Startable, supervisor: Supervisor, tasks: asyncio.TaskGroup, deadline: float) -> None:
    """Say what was awaited when the time is over."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(deadline - begun):
            await fleet.start(tasks)
    except TimeoutError:
        stories = [
            f"{what} ({supervisor.trouble(what) or 'still awaited'}); the end of {log}:\n{last_lines(log)}"
            for what, log in fleet.awaited.items()
        ]
        raise ChildFailedError("not ready in time:\n" + "\n".join(stories)) from None


async def _raise_when(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StopAsked


async def _obey(supervisor: Supervisor, order: control.Order) -> control.Outcome:
    """One verb."""
    verbs = {
        "kill": supervisor.kill,
        "stop": supervisor.stop,
        "start": supervisor.start,
        "restart": supervisor.restart,
    }
    if order.verb not in verbs:
        return control.Outcome(code=2, text=f"there is no verb {order.verb!r}")
    try:
        await verbs[order.verb](order.process)
    except NoSuchProcessError as problem:
        return control.Outcome(code=2, text=str(problem))
    except (VerbRefusedError, ChildFailedError) as problem:
        return control.Outcome(code=1, text=str(problem))
    return control.Outcome(code=0)


def _listen_to_signals(stop: asyncio.Event, supervisor: Supervisor) -> None:
    """The first asks, the second insists."""

    def handle(number: signal.Signals) -> None:
        if stop.is_set():
            supervisor.kill_all()
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first real exception of nested groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


@contextlib.contextmanager
def private_sockets(environ: Mapping[str, str]) -> Iterator[Sockets]:
    """A private folder with a short name."""
    parent = leftovers.sockets_folder(environ.get("XDG_RUNTIME_DIR"), Path(tempfile.gettempdir()))
    folder = tempfile.mkdtemp(prefix="fleetlb-", dir=parent)
    try:
        yield Sockets(Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ranges_of(plan: Plan) -> tuple[str, ...]:
    """What must be local: the VIPs, and the nodes of tenants that live here. Under ipvs the programmer sees to it."""
    if plan.wish.engine is EngineName.IPVS:
        return ()
    here = (plan.chosen.pool, *(plan.tenants[name] for name in plan.hosted))
    pool = (plan.chosen.pool.cidr,) if plan.wish.attached else ()
    return pool + tuple(ranges.cidr6 for ranges in here if ranges.cidr6 is not None)


@contextlib.contextmanager
def _local_ranges(ranges: tuple[str, ...], claims: Claims) -> Iterator[None]:
    """Routes for as long as the fleet runs."""
    claims.take_first("ipv6", range(_IPV6_USERS))
    routes = LocalRanges()
    try:
        routes.add(ranges)
        yield
    finally:
        others = any(not claims.take(f"ipv6/{number}") for number in range(_IPV6_USERS))
        routes.remove(last=not others)
