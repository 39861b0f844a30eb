"""Goes round every few seconds and looks whether others changed what this node carries. Knows no diff and no wish.

What looks different is read by netlink in slices, so that a large table never holds up a change for long. Between
rounds a glance tells whether the whole table is gone, as after `ipvsadm -C`: a large one takes seconds to restore.
"""

import asyncio
from collections.abc import Callable

import prometheus_client
import structlog

from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.engine import OnRepaired
from fleetlb_dataplane_programmer.ipvs.auditing import ABSENT, Watch, key_of, read_blocks
from fleetlb_dataplane_programmer.ipvs.surroundings import Surroundings

DRIFT = prometheus_client.Counter(
    "fleetlb_ipvs_drift_total", "Virtual servers that were found changed by others and mended."
)

ROUND_SECONDS = 3.0
"""With the time of a round, drift is mended within five seconds."""
GLANCE_SECONDS = 0.5
_SLICE = 16
_NAMED = 5


class Patrol:
    """The rounds."""

    def __init__(
        self,
        is_right: Callable[[VirtualServerKey, bool], bool],
        mend: Callable[[VirtualServerKey, bool], None],
        surroundings: Surroundings,
        on_repaired: OnRepaired,
        *,
        read_text: Callable[[], bytes],
        read_head: Callable[[], bytes],
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        """`read_text` gives the table as text, `read_head` its first lines.

        `is_right` reads and compares a virtual server; `mend` gets the bad; both hear whether the text has nothing of
        it. `on_repaired` hears once a round how much was mended.
        """
        self._is_right, self._mend = is_right, mend
        self._surroundings, self._on_repaired = surroundings, on_repaired
        self._read_text, self._read_head = read_text, read_head
        self._round_seconds = round_seconds
        self._watch = Watch()
        self._last_hash = 0
        self._log = structlog.get_logger()

    def expect(self, key: VirtualServerKey) -> None:
        """The virtual server was programmed."""
        self._watch.expect(key)
        self._last_hash = 0

    def forget(self, key: VirtualServerKey) -> None:
        """The virtual server was removed."""
        self._watch.forget(key)
        self._last_hash = 0

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            try:
                await self._until_round()
                repaired = await self.look()
                if repaired := repaired + await self._surroundings.audit():
                    self._on_repaired(repaired)
            except (Transient, OSError) as problem:
                self._log.warning("the round could not be finished", problem=str(problem))

    async def _until_round(self) -> None:
        """Wait for the time of the next round, or until the table is found empty. Raises OSError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._round_seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(GLANCE_SECONDS, left))
            if self._watch.misses_all(self._read_head()):
                return

    async def look(self) -> int:
        """One round over the kernel's table; how many were wrong. Raises Transient, OSError."""
        text = self._read_text()
        if hash(text) == self._last_hash:
            return 0
        self._last_hash = hash(text)  # not the text, which is as large as all else that is known of the table
        wrong: list[VirtualServerKey] = []
        for number, block in enumerate(self._watch.suspects(read_blocks(text))):
            key = key_of(block.name)
            if key is None:
                continue
            is_absent = block.fingerprint == ABSENT
            if self._is_right(key, is_absent):
                self._watch.accept(block)
            else:
                wrong.append(key)
                self._mend(key, is_absent)
                DRIFT.inc()
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        if wrong:
            some = [str(key) for key in wrong[:_NAMED]]
            self._log.warning("others changed the kernel's table; it is mended", virtual_servers=len(wrong), some=some)
        return len(wrong)
