"""The life of a service process: settings, logs, health pages, tasks, and an orderly end.

    run → settings → logs → health pages → main(process, settings) → … SIGTERM → unready → hooks → tasks → stack → 0

`main` starts what the service does and returns, or runs for ever. Exit codes: 0 stopped as asked, 1 a task failed, 2
wrong usage, 78 wrong settings (EX_CONFIG of sysexits.h), 128 + signal at a second signal. Called by `__main__` modules
only. It must not know what any service does.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

import fleetlb
from fleetlb.runtime import metrics
from fleetlb.runtime.collecting import sink_for
from fleetlb.runtime.health import Health, health_app
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import ProcessSettings, SettingsError, load, masked, split_address
from fleetlb.runtime.tracing import Tracing

S = TypeVar("S", bound=ProcessSettings)

EX_CONFIG = 78
STOP_SECONDS = 10.0
"""Budget of an orderly end; below the 30 s that Kubernetes gives."""

Hook = Callable[[], Awaitable[None]]


class TaskEnded(Exception):
    """A task that should run for ever has returned."""


class _Stop(Exception):
    """Ends the task group in an orderly way."""


class Process:
    """What `main` works with."""

    def __init__(
        self, service: str, tasks: asyncio.TaskGroup, stack: contextlib.AsyncExitStack, tracing: Tracing
    ) -> None:
        """Made by `run`; `stack` is closed in reverse order at the end, after the tasks."""
        self.tracing = tracing
        self.service = service
        self.tasks = tasks
        self.stack = stack
        self.health = Health(service)
        self.stopping = asyncio.Event()
        self.log = structlog.get_logger(service)
        self._hooks: list[Hook] = []

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> asyncio.Task[None]:
        """Run something that never returns; if it does, or fails, the process ends with code 1."""
        return self.tasks.create_task(_eternal(work, name), name=name)

    def on_stop(self, hook: Hook) -> None:
        """Call before the tasks are cancelled, in the order of registration."""
        self._hooks.append(hook)

    async def run_hooks(self) -> None:
        """Call every hook; one that fails does not keep the next from being called."""
        for hook in self._hooks:
            try:
                await hook()
            except Exception:
                self.log.exception("a stop hook failed; going on")


Main = Callable[[Process, S], Awaitable[None]]


def run(
    service: str,
    kind: type[S],
    main: Main[S],
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    commands: Mapping[str, Callable[[S], int]] | None = None,
    stop_seconds: float = STOP_SECONDS,
) -> int:
    """Run a service until it is told to stop; returns the exit code. Defaults: the process's arguments, environment.

    `commands`: further options, such as `--envoy-bootstrap`; one that is given is called with the settings, instead
    of running the service, and gives the exit code.
    """
    try:
        chosen = _choice(service, argv, tuple(commands or ()))
    except SystemExit as asked:
        return int(asked.code or 0)
    environ = os.environ if environ is None else environ
    try:
        settings = load(kind, environ)
        sink = None if chosen else sink_for(service, settings.identity, environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"{service}: {problem}", file=sys.stderr)
        return EX_CONFIG
    if chosen == "--check":
        print(msgspec.json.format(msgspec.json.encode(masked(settings))).decode())
        return 0
    if commands and chosen in commands:
        return commands[chosen](settings)
    set_up_logs(service, settings.log_level, settings.log_format)
    metrics.BUILD_INFO.labels(service, fleetlb.__version__).set(1)
    return asyncio.run(_live(service, settings, main, Tracing(sink), stop_seconds))


def _choice(service: str, argv: Sequence[str] | None, commands: tuple[str, ...]) -> str:
    """The option that was given, or nothing. Raises SystemExit after --help, --version and wrong usage."""
    parser = argparse.ArgumentParser(
        prog=service, description=f"{service}, configured by FLEETLB_* variables", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"{service} {fleetlb.__version__}")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--check",
        dest="chosen",
        action="store_const",
        const="--check",
        help="validate the settings and print them, secrets masked",
    )
    for command in commands:
        group.add_argument(command, dest="chosen", action="store_const", const=command)
    return parser.parse_args(argv).chosen or ""


async def _live(service: str, settings: S, main: Main[S], tracing: Tracing, stop_seconds: float) -> int:
    log = structlog.get_logger(service)
    failures: list[BaseException] = []
    stopper = _Stopper(log, stop_seconds)
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            await _work(Process(service, tasks, stack, tracing), stopper, settings, main)
    except* _Stop:
        pass
    except* Exception as group:
        failures = _leaves(group)
    for problem in failures:
        log.error("failed", problem=str(problem) or type(problem).__name__, exc_info=problem)
    if stopper.asked.is_set():
        log.info("stopped")
        return 0
    return 1


async def _work(process: Process, stopper: "_Stopper", settings: S, main: Main[S]) -> None:
    """Live until told to stop; then stop in order and end the task group."""
    try:
        stopper.watch_signals()
        await _serve_pages(process, settings.http_address)
        process.tasks.create_task(_call(main, process, settings), name="main")
        await stopper.asked.wait()
        process.log.info("stopping", signal=stopper.name)
    finally:
        # Also when a task failed: one that does not let itself be cancelled must not keep the process half dead.
        stopper.begin_countdown()
        process.health.gate("running").close("stopping")
        process.stopping.set()
    await process.run_hooks()
    if process.tracing.sink is not None:
        await process.tracing.sink.close()
    raise _Stop


async def _call(main: Main[S], process: Process, settings: S) -> None:
    await main(process, settings)


async def _eternal(work: Coroutine[Any, Any, object], name: str) -> None:
    await work
    raise TaskEnded(f"task {name!r} returned, though it should run for ever")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for problem in group.exceptions:
        found += _leaves(problem) if isinstance(problem, BaseExceptionGroup) else [problem]
    return found


async def _serve_pages(process: Process, address: str) -> None:
    runner = web.AppRunner(health_app(process.health), access_log=None)
    await runner.setup()
    process.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, *split_address(address)).start()
    process.log.info("listening", http=[f"{place[0]}:{place[1]}" for place in runner.addresses], pid=os.getpid())


class _Stopper:
    """Turns the first SIGTERM or SIGINT into an event; the second, or a budget used up, ends the process at once."""

    def __init__(self, log: Any, seconds: float) -> None:
        self.asked = asyncio.Event()
        self.name = ""
        self._log = log
        self._seconds = seconds

    def watch_signals(self) -> None:
        """Start listening to signals."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def begin_countdown(self) -> None:
        """From now on the end may take as long as the budget."""
        asyncio.get_running_loop().call_later(self._seconds, self._overdue)

    def _overdue(self) -> None:
        waiting = sorted(task.get_name() for task in asyncio.all_tasks())
        self._log.error("the orderly end took too long; ending anyway", seconds=self._seconds, tasks=waiting)
        sys.stdout.flush()
        os._exit(1)

    def _on_signal(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            os._exit(128 + number)
        self.name = number.name
        self.asked.set()


def identity_of(settings: ProcessSettings) -> str:
    """The replica's name in leases and logs."""
    return settings.identity
