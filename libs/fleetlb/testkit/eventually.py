"""Waiting for a condition in a test: by polling with a deadline, never by a sleep that hopes.

Must not know what is waited for.
"""

import asyncio
import time
from collections.abc import Callable

POLL_SECONDS = 0.002


async def eventually(
    condition: Callable[[], object], seconds: float = 15.0, poll_seconds: float = POLL_SECONDS
) -> None:
    """Return as soon as the condition is true; fail the test when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true after {seconds} s: {condition!r}")
        await asyncio.sleep(poll_seconds)
