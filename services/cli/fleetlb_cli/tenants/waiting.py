"""Waiting for what a manager does to an object."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fleetlb.domain.errors import Transient

T = TypeVar("T")
PAUSE_SECONDS = 0.2


async def until(look: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
    """Look again and again until there is something; None when the time is over.

    An API server that is away in between is waited for. Raises Transient if it still is at the end.
    """
    end = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() >= end
        try:
            found = await look()
        except Transient:
            if is_last:
                raise
            found = None
        if found is not None or is_last:
            return found
        await asyncio.sleep(PAUSE_SECONDS)
