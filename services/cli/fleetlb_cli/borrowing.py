"""A local fleet for as long as a command needs it: brought up before, taken down after, by the public commands."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleetlb_cli.local.layout import Environment, read_environment

FLEETLB = str(Path(sys.executable).parent / "fleetlb")


class FleetFailed(Exception):
    """The fleet did not come up; its own output has said why."""


@asynccontextmanager
async def borrowed_fleet(state: Path, tenants: str, *options: str) -> AsyncIterator[Environment]:
    """`fleetlb local up --detach` with these options, then `down`, whatever happens between."""
    where = ("--state", str(state))
    try:
        if await _run("up", *where, "--detach", "--tenants", tenants, *options):
            raise FleetFailed(f"the local fleet in {state} did not come up")
        yield read_environment(state)
    finally:
        await _run("down", *where)


async def stop_process(state: Path, process: str) -> None:
    """`fleetlb local stop`. Raises FleetFailed."""
    if await _run("stop", process, "--state", str(state)):
        raise FleetFailed(f"{process} could not be stopped")


async def _run(verb: str, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(FLEETLB, "local", verb, *arguments)
    return await process.wait()


def run_until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run a command; SIGINT and SIGTERM end it in order, with 128 + signal, so that its fleet is taken down."""
    ended_by: list[int] = []

    async def run() -> int:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)

            def on_signal(number: int) -> None:
                ended_by.append(number)
                task.cancel()

            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
        return task.result() if not task.cancelled() else 128 + ended_by[0]

    return asyncio.run(run())
