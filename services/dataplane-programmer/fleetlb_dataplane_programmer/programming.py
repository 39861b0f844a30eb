"""Which wish stands under each key, what the engine must do for it, and what may be said of it. No I/O, no clock.

Of a key's wishes the one with the highest (generation, revision) stands: the generation is the manager's fence, so a
manager that lost its lease changes nothing, however high its revisions. A wish to let go of a key stays as a
tombstone, or an old wish that comes late would bring the key back. In whatever order, how often and with whatever
losses messages arrive, the ledger ends the same (tests: test_programming.py).
"""

import itertools
from collections.abc import Iterator

import msgspec

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.v1 import Hops, Probe, RealizedState, VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.deciding import KEPT_TOKEN, Apply, Decision, Ignored, Next, Order, order_of
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.health import Verdict, effective, takers
from fleetlb_dataplane_programmer.judging import Entry, Judge
from fleetlb_dataplane_programmer.records import Record
from fleetlb_dataplane_programmer.slimming import slim
from fleetlb_dataplane_programmer.standing import Standing

MAX_TOMBSTONES = 10_000
MAX_MESSAGE = 1024
FAILURES_THAT_COUNT = 3
"""Probes in a row, before it is said that nobody answers."""


class Ledger:
    """The standing wish of every key of the group, on this node."""

    def __init__(
        self,
        node: str,
        *,
        allow_loopback: bool,
        max_tombstones: int = MAX_TOMBSTONES,
        allowances: Allowances | None = None,
    ) -> None:
        """Empty. `node` signs what is realized; `allowances` is filled by others, who then call `judge_again`."""
        self._node = node
        self._standing = Standing()
        self._judge = Judge(allowances or Allowances(), self._standing, allow_loopback=allow_loopback)
        self._max_tombstones = max_tombstones
        self._entries: dict[VirtualServerKey, Entry] = {}
        self._floors: dict[VirtualServerKey, Order] = {}
        self._tombstones: dict[VirtualServerKey, None] = {}
        self._asked: dict[VirtualServerKey, None] = {}
        self._tokens = itertools.count(KEPT_TOKEN + 1)

    def __len__(self) -> int:
        """Keys that are not known to be gone."""
        return len(self._entries) - len(self._tombstones)

    def __contains__(self, key: VirtualServerKey) -> bool:
        return key in self._entries

    def get(self, key: VirtualServerKey) -> Entry | None:
        """What is known of a key. To be read only."""
        return self._entries.get(key)

    def fold(self, desired: VirtualServerDesired, now: int, trace: str = "", sequence: int = 0) -> Decision:
        """Take a wish from the bus, sent with a trace context. `now`: microseconds since 1970, for the hops alone;
        `sequence`: where the wish stands in its stream."""
        key = desired.key
        entry, order = self._entries.get(key), order_of(desired)
        if order < max(self._floors.get(key, order), order_of(entry.desired) if entry else order):
            return Ignored.STALE
        if desired.server is None:
            self._asked[key] = None
        if entry and order == order_of(entry.desired):
            return Ignored.DUPLICATE
        self._floors.pop(key, None)
        journey = Journey(trace, desired.hops).then("program", now)
        if entry and entry.state is None:
            journey = journey.overtaking(entry.journey)
        stands = self._stand(msgspec.structs.replace(desired, hops=()), journey, sequence)
        decision = self._judge.decide(stands, entry)
        if isinstance(decision, Apply) and entry is not None and entry.serves(decision.server):
            stands.probe, stands.failures = entry.probe, entry.failures  # of the very same virtual server
        return decision

    def recall(self, record: Record) -> Decision:
        """Take a wish from the state file, the only one of its key, as if the process had never ended."""
        key = record.desired.key
        if record.has_let_go:
            self._entries[key] = Entry(record.desired, next(self._tokens), state=RealizedState.REMOVED, has_let_go=True)
            self._bury(key)
            return Ignored.DUPLICATE
        return self._judge.recall(self._stand(record.desired, NOT_TRAVELLED, record.sequence), record)

    def judge_again(self, tenant: str) -> list[tuple[VirtualServerKey, Decision]]:
        """The allowance of a tenant is news: what follows for those of its keys that it concerns. O(its keys)."""
        concerned = [key for key in self._standing.of(tenant) if not self._judge.is_settled(self._entries[key])]
        return [(key, self._judge_again(self._entries[key])) for key in concerned]

    def refuse_below(self, key: VirtualServerKey, order: Order) -> bool:
        """This node has realized `order` before: nothing older may stand. True if that was not known here."""
        entry = self._entries.get(key)
        if entry and order_of(entry.desired) >= order:
            return False
        self._floors[key] = max(order, self._floors.get(key, order))
        return True

    def take_outcome(self, key: VirtualServerKey, outcome: Outcome, now: int) -> Next:
        """What the engine says. Outcomes of superseded wishes change nothing, nor does one that was heard before."""
        entry = self._entries.get(key)
        if entry is None or entry.token != outcome.token:
            return Next.NOTHING
        if (entry.desired.server is None) is not (outcome.state is State.REMOVED):
            return Next.NOTHING
        state, message = RealizedState(outcome.state), outcome.message[:MAX_MESSAGE]
        if (entry.state, entry.message) == (state, message):  # real servers fell or rose
            return Next.PROBE if self.target(key) and entry.probe is not Probe.ANSWERED else Next.NOTHING
        entry.journey = entry.journey.then("acknowledge", now)
        entry.state, entry.message = state, message
        if outcome.state is State.REMOVED:
            self._bury(key)
        return Next.PROBE if self.target(key) else Next.TELL

    def take_verdict(self, key: VirtualServerKey, verdict: Verdict) -> Apply | None:
        """Who takes connections from now on. What the engine must be asked for if that changes, under the old token."""
        entry = self._entries.get(key)
        if entry is None or entry.held is None:
            return None
        before, entry.verdict = entry.verdict, verdict
        serving = effective(entry.held, verdict.out)
        if takers(entry.held) and not takers(serving):  # there is nobody to probe
            entry.probe, entry.failures = Probe.UNANSWERED, FAILURES_THAT_COUNT
        if before.out == verdict.out:
            return None
        return Apply(serving, entry.token if entry.held is entry.desired.server else KEPT_TOKEN)

    def serving(self, key: VirtualServerKey) -> VirtualServer | None:
        """What the engine is asked for under a key: real servers that are out have weight 0."""
        entry = self._entries.get(key)
        return effective(entry.held, entry.verdict.out) if entry and entry.held else None

    def target(self, key: VirtualServerKey) -> VirtualServer | None:
        """The virtual server to probe under a key, if there is any real server to answer."""
        entry, serving = self._entries.get(key), self.serving(key)
        if entry is None or entry.state is not RealizedState.PROGRAMMED or serving is None:
            return None
        return serving if takers(serving) else None

    def targets_on(self, address: str) -> list[VirtualServer]:
        """The virtual servers of an address that have a real server to answer."""
        return [target for key in self._standing.on(address) if (target := self.target(key)) is not None]

    def awaits_probe(self, key: VirtualServerKey) -> bool:
        """Whether a better word may come soon."""
        return self.target(key) is not None and self._entries[key].probe is Probe.PENDING

    def take_probe(self, key: VirtualServerKey, token: int, answered: bool | None, now: int) -> bool:
        """The outcome of a probe of the wish with `token`, None if it could not be made. True if the word changes.

        One lost packet, or one dead real server among many, must not say that a Service is down.
        """
        entry = self._entries.get(key)
        if entry is None or entry.token != token or entry.state is not RealizedState.PROGRAMMED or answered is None:
            return False
        entry.failures = 0 if answered else entry.failures + 1
        if 0 < entry.failures < FAILURES_THAT_COUNT:
            return False
        before, entry.probe = entry.probe, Probe.ANSWERED if answered else Probe.UNANSWERED
        if before is not entry.probe and entry.journey.hops:
            entry.journey = entry.journey.then("probe", now)
        return before is not entry.probe

    def realized(self, key: VirtualServerKey) -> VirtualServerRealized | None:
        """What may be said of a key; None while the engine has not answered."""
        entry = self._entries.get(key)
        if entry is None or entry.state is None:
            return None
        return VirtualServerRealized(
            node=self._node,
            key=key,
            generation=entry.desired.generation,
            revision=entry.desired.revision,
            state=entry.state,
            owner=entry.desired.owner,
            load_balancer=entry.desired.load_balancer,
            real_servers=takers(entry.held) if entry.held else 0,
            healthy=entry.verdict.healthy,
            brake=entry.verdict.brake,
            reason=entry.reason or entry.desired.reason,
            message=entry.message,
            probe=entry.probe,
            hops=entry.journey.hops,
        )

    def journey(self, key: VirtualServerKey) -> Journey:
        """Of the change that led to what may be said of a key."""
        entry = self._entries.get(key)
        return entry.journey if entry else NOT_TRAVELLED

    def take_stations(self, key: VirtualServerKey) -> Hops:
        """The stations of that journey that were not taken before."""
        entry = self._entries.get(key)
        if entry is None:
            return ()
        taken, entry.told = entry.told, len(entry.journey.hops)
        return entry.journey.hops[taken:]

    def note_told(self, key: VirtualServerKey, realized: VirtualServerRealized) -> bool:
        """The hub has `realized`. True if that ends the life of the key, which is worth remembering."""
        entry = self._entries.get(key)
        if entry is None or order_of(entry.desired) != (realized.generation, realized.revision):
            return False
        if realized.probe is entry.probe and (realized.probe is not Probe.PENDING or not self.target(key)):
            entry.journey, entry.told = NOT_TRAVELLED, 0
        if realized.state is not RealizedState.REMOVED or entry.has_let_go:
            return False
        entry.has_let_go = True
        return True

    def forget_what_was_asked(self) -> None:
        """The desired stream is about to be read anew: tombstones that it still holds will come again."""
        self._asked.clear()

    def worth_telling(self) -> Iterator[VirtualServerKey]:
        """Keys of which the hub should hold a word: acknowledged, and no tombstone that nobody asks for any more."""
        for key, entry in list(self._entries.items()):
            if entry.state is not None and (entry.state is not RealizedState.REMOVED or key in self._asked):
                yield key

    def probed_keys(self) -> list[VirtualServerKey]:
        """Keys that have something to probe."""
        return [key for key in self._entries if self.target(key)]

    def record(self, key: VirtualServerKey) -> Record | None:
        """What must outlive this process."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        held = entry.held if entry.held != entry.desired.server else None
        objection = entry.message if entry.reason else ""
        return Record(
            desired=entry.desired,
            held=held,
            has_let_go=entry.has_let_go,
            objection=objection,
            is_unjudged=entry.is_unjudged,
            sequence=entry.sequence,
        )

    def records(self) -> list[Record]:
        """Everything that must outlive this process, tombstones by age."""
        keys = [*(key for key in self._entries if key not in self._tombstones), *self._tombstones]
        return [record for key in keys if (record := self.record(key))]

    def _stand(self, desired: VirtualServerDesired, journey: Journey, sequence: int) -> Entry:
        """Let a wish stand, not judged yet."""
        key, desired = desired.key, slim(desired)
        self._tombstones.pop(key, None)
        if desired.server is None:
            self._standing.drop(key)
        else:
            self._standing.put(desired.key, desired.owner.tenant)
        entry = self._entries[desired.key] = Entry(desired, next(self._tokens), sequence, journey=journey)
        return entry

    def _judge_again(self, entry: Entry) -> Decision:
        if self._judge.is_confirmed(entry):
            entry.is_unjudged = False
            return Ignored.DUPLICATE
        return self._judge.decide_again(self._stand(entry.desired, NOT_TRAVELLED, entry.sequence), entry)

    def _bury(self, key: VirtualServerKey) -> None:
        """Keep a tombstone, and no more of them than fit."""
        self._tombstones[key] = None
        while len(self._tombstones) > self._max_tombstones:
            oldest = next(iter(self._tombstones))
            del self._tombstones[oldest], self._entries[oldest]
            self._asked.pop(oldest, None)
