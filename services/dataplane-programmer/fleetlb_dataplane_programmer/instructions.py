"""Hears what the manager says to all nodes of this node's group: who is to be emptied, and what to say by BGP.

Level-triggered: what was believed last stands until something newer is, over restarts and while there is no hub. A word
from before it counts for nothing, nor does one that the operator did not sign where that is asked. Must not know what
follows from it.
"""

from collections.abc import Callable

import prometheus_client
import structlog

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Bus, Message
from fleetlb_dataplane_programmer.reading import read_instruction
from fleetlb_dataplane_programmer.records import InstructionRecord
from fleetlb_dataplane_programmer.remembering import Memory, StateFile

UNBELIEVED = prometheus_client.Counter(
    "fleetlb_instructions_unbelieved_total",
    "Words on the node's group that could not be read, or were not signed by the operator.",
)
FILE = "instructed.jsonl"

OnInstructed = Callable[[GroupInstructed], None]


def is_out(said: GroupInstructed, node: str) -> bool:
    """Whether a node is none of its group, as its operator has taken it out: it announces nothing, whatever it
    carries. Managers that name no nodes say nothing of that."""
    return bool(said.nodes) and node not in said.nodes


class Instructions:
    """What is said of a group, to whom it concerns."""

    def __init__(
        self, group: str, state_file: StateFile[InstructionRecord], *heeders: OnInstructed, operator_key: str
    ) -> None:
        """`heeders` hear of every new instruction, in this order, and return at once. `operator_key`: whose signature
        is asked for, empty: nobody's."""
        self._group, self._heeders, self._operator_key = group, heeders, operator_key
        self._said: GroupInstructed | None = None
        self._disbelieves = False
        self._memory: Memory[str, InstructionRecord] = Memory(
            state_file, record=lambda _: self._record(), records=lambda: [each for each in (self._record(),) if each]
        )
        self._log = structlog.get_logger()

    def recall(self) -> None:
        """Take up what was believed before this process began, unless another signature was asked for then. Blocks."""
        recovered = self._memory.load()
        for record in recovered.records if recovered is not None else ():
            if record.operator_key == self._operator_key:
                self._take(record.said)
        self._memory.allow()

    async def follow(self, bus: Bus) -> None:
        """Read what is said, for ever."""
        await bus.replay_and_follow(
            announced_stream(self._group).name,
            subjects.instructed(self._group),
            self._on_message,
            on_replayed=lambda: None,
            on_restart=lambda: None,
        )

    async def run(self) -> None:
        """Keep on disk what is believed, for ever."""
        await self._memory.run()

    async def save(self) -> None:
        """Write it now."""
        await self._memory.flush()

    def _on_message(self, message: Message) -> None:
        if not message.data:
            return
        try:
            said = read_instruction(message, self._group, self._operator_key)
        except Poison as problem:
            UNBELIEVED.inc()
            if not self._disbelieves:
                self._log.error("what the group is told is not believed", problem=str(problem))
            self._disbelieves = True
            return
        self._disbelieves = False
        known = self._said
        if known is None or (_order_of(said) >= _order_of(known) and said != known):
            self._take(said)
            self._memory.note(said.group)

    def _take(self, said: GroupInstructed) -> None:
        self._said = said
        for heed in self._heeders:
            heed(said)

    def _record(self) -> InstructionRecord | None:
        return InstructionRecord(said=self._said, operator_key=self._operator_key) if self._said is not None else None


def _order_of(said: GroupInstructed) -> tuple[int, int]:
    return said.generation, said.revision
