"""Runs Kubernetes' own e2e.test, unmodified, as its maintainers do: by ginkgo where there is one.

Must not know who gives Services their addresses.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.upstream.order import Order

HOURS = "3h"
GRACE_SECONDS = 60


def command_of(order: Order, kubectl: str, nodes: int, report: Path) -> tuple[str, ...]:
    """The suite's command line."""
    many = order.ginkgo is not None and order.processes > 1
    prefix = "--" if many else "--ginkgo."
    options = (f"{prefix}focus={order.focus}", f"{prefix}timeout={HOURS}", f"{prefix}no-color", f"{prefix}v")
    suite = (str(order.e2e_test),)
    head = (str(order.ginkgo), "run", f"--procs={order.processes}", *options, *suite, "--") if many else suite + options
    return (
        *order.client,
        *head,
        f"--kubeconfig={order.kubeconfig}",
        "--provider=skeleton",
        f"--kubectl-path={kubectl}",
        f"--num-nodes={nodes}",
        f"--report-dir={report}",
        "--disable-log-dump",
    )


async def run(command: Sequence[str], log: Path) -> int:
    """Its exit code. Cancelled, it ends the suite and everything that the suite started."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the whole group to end, so that specs clean up behind themselves; then insist."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
