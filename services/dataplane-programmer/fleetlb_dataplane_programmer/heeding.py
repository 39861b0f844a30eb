"""Follows what the manager says of tenants, keeps it on disk, and says when it is news. Knows no virtual server."""

import asyncio
import contextlib
from collections.abc import Callable

import prometheus_client
import structlog

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import allowed_stream
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Bus, Message
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.reading import read_allowance
from fleetlb_dataplane_programmer.records import AllowanceRecord
from fleetlb_dataplane_programmer.remembering import Memory, StateFile

UNBELIEVED = prometheus_client.Counter(
    "fleetlb_allowances_unbelieved_total",
    "Allowances of tenants that could not be read, or were not signed by the operator.",
)
FILE = "allowed.jsonl"


class Heeder:
    """Fills the allowances of a node."""

    def __init__(
        self,
        allowances: Allowances,
        state_file: StateFile[AllowanceRecord],
        *,
        group: str,
        operator_key: str,
        on_news: Callable[[str], None],
    ) -> None:
        """`operator_key`: whose signature is asked for, empty: nobody's; `on_news`: called with a tenant's name."""
        self._allowances = allowances
        self._group, self._operator_key = group, operator_key
        self._on_news = on_news
        self.memory = Memory(state_file, record=allowances.record, records=allowances.records)
        self._has_replayed = asyncio.Event()
        self._log = structlog.get_logger()

    def recall(self) -> None:
        """Take up what the state file holds. Blocks; to be called once, before anything is judged."""
        recovered = self.memory.load()
        for record in recovered.records if recovered is not None else ():
            self._allowances.recall(record)
            if recovered is not None and recovered.damage:
                self.memory.note(record.key)

    async def follow(self, bus: Bus) -> None:
        """Take what comes, for ever."""
        await bus.replay_and_follow(
            allowed_stream(self._group).name,
            subjects.allowed_of(self._group),
            self._on_message,
            on_replayed=self._has_replayed.set,
            on_restart=lambda: None,
        )

    async def wait_for_hub(self, seconds: float) -> None:
        """Return when everything was read once, or after this time: an earlier manager says nothing at all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_replayed.wait()

    def _on_message(self, message: Message) -> None:
        if not message.data:
            return  # a purge: only a word ends an allowance
        try:
            said = read_allowance(message, self._group, self._operator_key)
            is_news = self._allowances.fold(said)
        except Poison as problem:
            UNBELIEVED.inc()
            self._log.error("what is said of a tenant is not believed", subject=message.subject, problem=str(problem))
            return
        if is_news:
            self.memory.note(said.tenant)
            self._on_news(said.tenant)
