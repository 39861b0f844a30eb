"""Tells each step of something that goes on by itself, until it has come to its last one. Must not know what it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fleetlb_cli.node.steps import Progress
from fleetlb_cli.whereabouts import WELL, WRONG, complain

LOOK_SECONDS = 0.5


async def tell_steps(look: Callable[[], Awaitable[Progress]], timeout: float) -> int:
    """Print a line whenever `look` finds another step. Returns the exit code: after the last one, or after `timeout`
    seconds, which ends nothing but the telling."""
    ends_at, told = time.monotonic() + timeout, ""
    while True:
        progress = await look()
        line = f"{progress.step}: {progress.text}"
        if line != told:
            told = line
            print(line, flush=True)
        if progress.is_last:
            return WELL
        if time.monotonic() >= ends_at:
            return complain(f"not done after {timeout:g} s; it goes on: call again to see how far", WRONG)
        await asyncio.sleep(LOOK_SECONDS)
