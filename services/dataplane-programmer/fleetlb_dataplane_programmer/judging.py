"""Which wishes this node serves, and what stays where it serves one not: the last of the gates. No I/O, no clock.

A flaw is wrong whoever asks. An objection is about what the owner may have, and needs its allowance: it is looked at
when a wish comes, and once more when the first allowance of its owner does. What was accepted stays accepted when an
allowance shrinks, and over restarts: the manager knows first, and asks for something else.
"""

import msgspec

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.v1 import Probe, RealizedState, VirtualServerDesired
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.deciding import Apply, Decision, Refused, Remove
from fleetlb_dataplane_programmer.gating import objection_to
from fleetlb_dataplane_programmer.health import UNCHECKED, Verdict
from fleetlb_dataplane_programmer.records import Record
from fleetlb_dataplane_programmer.standing import Standing

LATE = (
    "the node does not begin to serve this: a manager asked for it whose term had ended; the one that acts now says it"
    " again if it should be served"
)


class Entry(msgspec.Struct):
    """What is known of one key."""

    desired: VirtualServerDesired
    token: int
    sequence: int = 0
    """Of `desired` in its stream; 0: not known."""
    held: VirtualServer | None = None
    """What the engine was last asked for under the key, but for its real servers that are out."""
    verdict: Verdict = UNCHECKED
    """On the real servers of `held`."""
    state: RealizedState | None = None
    """None: the engine has not answered for `desired` yet."""
    message: str = ""
    reason: str = ""
    """Why it is refused: it goes beyond its tenant's allowance."""
    is_unjudged: bool = False
    """It was accepted while nothing was known of its tenant."""
    before: VirtualServer | None = None
    """What the engine held before a wish that is unjudged."""
    probe: Probe = Probe.PENDING
    failures: int = 0
    """Probes in a row that were not answered."""
    has_let_go: bool = False
    """The removal was announced."""
    journey: Journey = NOT_TRAVELLED
    """Of the change that led to `desired`, until the hub knows what became of it."""
    told: int = 0
    """Stations of it that spans were made of."""

    def serves(self, server: VirtualServer) -> bool:
        """Whether the data plane has exactly this."""
        return self.state is RealizedState.PROGRAMMED and self.held == server


class Judge:
    """Decides about entries, each with the one that stood under its key before."""

    def __init__(self, allowances: Allowances, standing: Standing, *, allow_loopback: bool) -> None:
        """`standing` must hold the key of what is judged."""
        self._allowances = allowances
        self._standing = standing
        self._allow_loopback = allow_loopback

    def decide(self, entry: Entry, before: Entry | None, *, is_served: bool = False) -> Decision:
        """What follows from a wish that came; `is_served`: it came before it could be judged, and was begun."""
        server, held = entry.desired.server, before.held if before else None
        if server is None:
            return Remove(entry.desired.key, entry.token)
        if flaw := self._flaw_of(server):
            return _refuse(entry, flaw, held)
        if not is_served and self._is_late(entry):
            return _refuse(entry, LATE, held, Reason.IN_PROGRESS)
        if objection := self._objection_to(entry.desired.owner.tenant, server):
            return _refuse(entry, objection, held, Reason.BACKEND_NOT_ALLOWED)
        if self._is_unknown(entry):
            entry.before = before.before if before and before.is_unjudged else held
        return _accept(entry, server, is_unjudged=self._is_unknown(entry))

    def recall(self, entry: Entry, record: Record) -> Decision:
        """What follows from a wish that was decided about before this process began."""
        server, held = entry.desired.server, record.held
        if server is None:
            return Remove(entry.desired.key, entry.token)
        kept = held if held and not self._flaw_of(held) else None
        if record.objection:
            is_late = record.objection == LATE
            return _refuse(entry, record.objection, kept, Reason.IN_PROGRESS if is_late else Reason.BACKEND_NOT_ALLOWED)
        if flaw := self._flaw_of(server):
            return _refuse(entry, flaw, kept)
        if record.is_unjudged and not self._is_unknown(entry):  # the process ended before that was on disk
            return self.decide(entry, None, is_served=True)
        return _accept(entry, server, is_unjudged=self._is_unknown(entry))

    def is_settled(self, entry: Entry) -> bool:
        """Whether another allowance changes nothing about an entry."""
        return not entry.reason and not entry.is_unjudged

    def is_confirmed(self, entry: Entry) -> bool:
        """Whether an entry that is not settled is as it should be, now that the allowance of its owner is known."""
        server = entry.desired.server
        if server is not None and entry.reason and self._is_late(entry):
            return entry.message == LATE
        objection = self._objection_to(entry.desired.owner.tenant, server) if server is not None else ""
        return objection == (entry.message if entry.reason else "")

    def decide_again(self, entry: Entry, before: Entry) -> Decision:
        """What follows from the same wish if it is not confirmed; `before` is the entry that was."""
        decision = self.decide(entry, before, is_served=before.is_unjudged)
        if not before.is_unjudged or not isinstance(decision, Refused):
            return decision
        entry.held = before.before
        return Refused(decision.message, entry.held, is_served=True)

    def _is_late(self, entry: Entry) -> bool:
        wish = entry.desired
        return self._allowances.is_late(wish.owner.tenant, wish.generation, entry.sequence)

    def _is_unknown(self, entry: Entry) -> bool:
        return not self._allowances.knows(entry.desired.owner.tenant)

    def _flaw_of(self, server: VirtualServer) -> str:
        return objection_to(server, allow_loopback=self._allow_loopback)

    def _objection_to(self, tenant: str, server: VirtualServer) -> str:
        return self._standing.objection_to(server) or self._allowances.objection_to(tenant, server)


def _accept(entry: Entry, server: VirtualServer, *, is_unjudged: bool) -> Apply:
    entry.held, entry.is_unjudged = server, is_unjudged
    return Apply(server, entry.token)


def _refuse(entry: Entry, message: str, kept: VirtualServer | None, reason: str = "") -> Refused:
    entry.held, entry.state, entry.message, entry.reason = kept, RealizedState.REJECTED, message, reason
    return Refused(message, kept)
