"""Says everything again when the hub may have lost it: soon, but not all clusters and not all Services at once.

Must not know what is said.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import NoReturn

import structlog

from fleetlb_tenant_watcher import counts

JITTER_SECONDS = 1.0
CHUNK = 64
CHUNK_SECONDS = 0.02
"""Pause after each chunk, so that a fresh edit never queues behind thousands of repetitions."""

log = structlog.get_logger(__name__)


class Repeats:
    """Requests to say everything again; those that come before it begins are one."""

    def __init__(
        self, unsay: Callable[[], None], keys: Callable[[], Iterable[str]], add: Callable[[str], None]
    ) -> None:
        """`unsay` notes that nothing was said; then every one of `keys` is passed to `add`."""
        self._unsay = unsay
        self._keys = keys
        self._add = add
        self._asked = asyncio.Event()
        self._reason = ""

    def ask(self, reason: str) -> None:
        """Say everything again before long."""
        self._reason = reason
        self._asked.set()

    async def run(self) -> NoReturn:
        """Work for ever."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(random.random() * JITTER_SECONDS)  # noqa: S311 - jitter
            self._asked.clear()
            counts.REPUBLISHED.labels(self._reason).inc()
            log.info("publishing everything again", reason=self._reason)
            self._unsay()
            await self._add_all()

    async def _add_all(self) -> None:
        keys = tuple(self._keys())
        for start in range(0, len(keys), CHUNK):
            for key in keys[start : start + CHUNK]:
                self._add(key)
            await asyncio.sleep(CHUNK_SECONDS)
