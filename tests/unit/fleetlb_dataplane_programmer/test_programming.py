import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.v1 import Hop, Probe, RealizedState, VirtualServerDesired
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey, parse_key
from fleetlb.testkit.wishes import a_virtual_server, a_wish
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.deciding import KEPT_TOKEN, Apply, Decision, Ignored, Next, Refused, Remove
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.health import Target, Verdict, targets_of
from fleetlb_dataplane_programmer.programming import MAX_TOMBSTONES, Ledger
from fleetlb_dataplane_programmer.records import Record

KEY = parse_key("192.0.2.1:443/tcp")
EVIL = "169.254.169.254:80"
FIRST, SECOND = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))


def _ledger(*, max_tombstones: int = MAX_TOMBSTONES, allowances: Allowances | None = None) -> Ledger:
    return Ledger("node-1", allow_loopback=False, max_tombstones=max_tombstones, allowances=allowances)


def _acknowledge(ledger: Ledger, decision: Decision, state: State | None = None, message: str = "") -> Next:
    """The engine's answer to a decision."""
    match decision:
        case Apply(server, token):
            key, usual = server.key, State.PROGRAMMED
        case Remove(key, token):
            usual = State.REMOVED
        case _:
            raise AssertionError(f"nothing to acknowledge: {decision}")
    return ledger.take_outcome(key, Outcome(state=state or usual, token=token, message=message), now=2)


def _served(ledger: Ledger, wish: VirtualServerDesired) -> Decision:
    decision = ledger.fold(wish, now=1)
    _acknowledge(ledger, decision)
    return decision


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(a_wish(generation=7, revision=4), Apply, id="newer revision"),
        pytest.param(a_wish(generation=8, revision=4), Apply, id="newer generation and revision"),
        pytest.param(a_wish(generation=8, revision=1), Apply, id="newer generation, lower revision"),
        pytest.param(a_wish(generation=7, revision=3), Ignored.DUPLICATE, id="the same again"),
        pytest.param(a_wish(generation=7, revision=2), Ignored.STALE, id="older revision"),
        pytest.param(a_wish(generation=6, revision=99), Ignored.STALE, id="a manager that lost its lease"),
        pytest.param(a_wish(real_servers=None, generation=7, revision=4), Remove, id="let go"),
        pytest.param(a_wish(real_servers=None, generation=6, revision=99), Ignored.STALE, id="let go, from the past"),
        pytest.param(a_wish(real_servers=[EVIL], generation=7, revision=4), Refused, id="not allowed"),
    ],
)
def test_which_wish_wins(second: VirtualServerDesired, expected: object) -> None:
    ledger = _ledger()
    ledger.fold(a_wish(generation=7, revision=3), now=1)
    decision = ledger.fold(second, now=1)
    assert decision is expected or isinstance(decision, expected if isinstance(expected, type) else ())


def test_a_tombstone_outlives_its_removal_and_prevents_resurrection() -> None:
    ledger = _ledger()
    _served(ledger, a_wish(revision=1))
    _served(ledger, a_wish(real_servers=None, revision=2))
    assert ledger.fold(a_wish(revision=1), now=1) is Ignored.STALE
    assert len(ledger) == 0
    assert isinstance(ledger.fold(a_wish(revision=3), now=1), Apply)
    assert len(ledger) == 1


def test_a_removal_is_asked_for_even_if_the_key_was_never_heard_of() -> None:
    ledger = _ledger()
    decision = ledger.fold(a_wish(real_servers=None, revision=5), now=1)
    assert isinstance(decision, Remove)
    assert _acknowledge(ledger, decision) is Next.TELL
    realized = ledger.realized(KEY)
    assert realized is not None
    assert (realized.state, realized.revision) == (RealizedState.REMOVED, 5)


def test_only_so_many_tombstones_are_kept_and_the_oldest_go_first() -> None:
    ledger = _ledger(max_tombstones=2)
    keys = [parse_key(f"192.0.2.{n}:80/tcp") for n in (1, 2, 3)]
    for key in keys:
        _served(ledger, a_wish(key, None))
    assert [key in ledger for key in keys] == [False, True, True]
    assert list(ledger.worth_telling()) == keys[1:]


def test_an_acknowledged_wish_is_realized_with_all_that_it_carried() -> None:
    ledger = _ledger()
    wish = msgspec.structs.replace(a_wish(generation=7, revision=3), hops=(Hop("claim", 5),))
    decision = ledger.fold(wish, now=10)
    assert ledger.realized(KEY) is None
    assert _acknowledge(ledger, decision) is Next.PROBE
    realized = ledger.realized(KEY)
    assert realized is not None
    assert (realized.node, realized.generation, realized.revision) == ("node-1", 7, 3)
    assert (realized.state, realized.real_servers, realized.probe) == (RealizedState.PROGRAMMED, 1, Probe.PENDING)
    assert (realized.owner, realized.load_balancer) == (wish.owner, wish.load_balancer)
    assert realized.hops == (Hop("claim", 5), Hop("program", 10), Hop("acknowledge", 2))


def test_a_wish_that_is_overtaken_before_it_was_answered_is_not_forgotten() -> None:
    ledger = _ledger()
    ledger.fold(a_wish(revision=1), 1, FIRST)
    decision = ledger.fold(a_wish(revision=2), 2, SECOND)
    assert ledger.journey(KEY) == Journey(SECOND, (Hop("program", 2),), (FIRST,))
    _acknowledge(ledger, decision)
    assert [hop.name for hop in ledger.take_stations(KEY)] == ["program", "acknowledge"]
    assert ledger.take_stations(KEY) == ()
    ledger.fold(a_wish(revision=3), 3, FIRST)
    assert ledger.journey(KEY).overtaken == (), "the earlier one was answered"


def test_without_real_servers_there_is_nothing_to_probe() -> None:
    ledger = _ledger()
    assert _acknowledge(ledger, ledger.fold(a_wish(real_servers=()), now=1)) is Next.TELL
    realized = ledger.realized(KEY)
    assert realized is not None
    assert (realized.real_servers, realized.reason, realized.probe) == (0, "NoReadyBackend", Probe.PENDING)


def test_drained_real_servers_do_not_count() -> None:
    ledger = _ledger()
    server = msgspec.structs.replace(a_virtual_server(), real_servers=(RealServer("10.0.0.1", 31000, 0),))
    decision = ledger.fold(msgspec.structs.replace(a_wish(), server=server), now=1)
    assert _acknowledge(ledger, decision) is Next.TELL
    realized = ledger.realized(KEY)
    assert realized is not None
    assert realized.real_servers == 0


def test_a_rejection_is_realized_in_the_engines_words_and_may_end() -> None:
    ledger = _ledger()
    decision = ledger.fold(a_wish(), now=1)
    assert _acknowledge(ledger, decision, State.REJECTED, "cannot bind" + "!" * 5000) is Next.TELL
    realized = ledger.realized(KEY)
    assert realized is not None
    assert realized.state is RealizedState.REJECTED
    assert realized.message.startswith("cannot bind")
    assert len(realized.message) <= 1024
    assert _acknowledge(ledger, decision) is Next.PROBE
    realized = ledger.realized(KEY)
    assert realized is not None
    assert (realized.state, realized.message) == (RealizedState.PROGRAMMED, "")


def test_outcomes_of_superseded_wishes_change_nothing() -> None:
    ledger = _ledger()
    first = ledger.fold(a_wish(revision=1), now=1)
    second = ledger.fold(a_wish(revision=2), now=1)
    assert _acknowledge(ledger, first) is Next.NOTHING
    assert ledger.realized(KEY) is None
    let_go = ledger.fold(a_wish(real_servers=None, revision=3), now=1)
    assert _acknowledge(ledger, second) is Next.NOTHING
    assert _acknowledge(ledger, let_go, State.PROGRAMMED) is Next.NOTHING
    assert ledger.realized(KEY) is None
    assert ledger.take_outcome(parse_key("192.0.2.99:1/tcp"), Outcome(state=State.REMOVED, token=1), 1) is Next.NOTHING


def test_a_refused_wish_keeps_what_was_served_also_over_a_restart() -> None:
    ledger = _ledger()
    served = a_wish(revision=1)
    _served(ledger, served)
    refused = ledger.fold(a_wish(real_servers=[EVIL], revision=2), now=1)
    assert isinstance(refused, Refused)
    realized = ledger.realized(KEY)
    assert realized is not None
    assert (realized.state, realized.revision) == (RealizedState.REJECTED, 2)
    assert "169.254.169.254" in realized.message

    record = ledger.record(KEY)
    assert record is not None
    again = _ledger().recall(record)
    assert again == Refused(refused.message, served.server)


def test_what_is_kept_is_judged_again_after_a_restart() -> None:
    kept = a_virtual_server(real_servers=["127.0.0.1:80"])
    record = Record(desired=a_wish(real_servers=[EVIL]), held=kept)
    decision = _ledger().recall(record)
    assert isinstance(decision, Refused)
    assert decision.kept is None


class TestProbes:
    def _programmed(self) -> tuple[Ledger, int]:
        ledger = _ledger()
        decision = _served(ledger, a_wish())
        assert isinstance(decision, Apply)
        return ledger, decision.token

    def test_an_answer_counts_at_once_and_only_once(self) -> None:
        ledger, token = self._programmed()
        assert ledger.take_probe(KEY, token, True, 3) is True
        assert ledger.take_probe(KEY, token, True, 4) is False
        realized = ledger.realized(KEY)
        assert realized is not None
        assert realized.probe is Probe.ANSWERED
        assert realized.hops[-1] == Hop("probe", 3)

    def test_silence_counts_when_it_is_repeated(self) -> None:
        ledger, token = self._programmed()
        ledger.take_probe(KEY, token, True, 3)
        assert [ledger.take_probe(KEY, token, False, 3) for _ in range(4)] == [False, False, True, False]
        assert ledger.take_probe(KEY, token, True, 3) is True

    def test_few_failures_between_answers_are_not_worth_a_word(self) -> None:
        ledger, token = self._programmed()
        answers = [True, False, False, True, False, False, True]
        assert [ledger.take_probe(KEY, token, answer, 3) for answer in answers] == [True] + 6 * [False]

    def test_a_probe_that_could_not_be_made_says_nothing(self) -> None:
        ledger, token = self._programmed()
        assert [ledger.take_probe(KEY, token, None, 3) for _ in range(3)] == [False, False, False]
        realized = ledger.realized(KEY)
        assert realized is not None
        assert realized.probe is Probe.PENDING

    def test_a_probe_of_a_superseded_wish_says_nothing(self) -> None:
        ledger, token = self._programmed()
        _served(ledger, a_wish(revision=2))
        assert ledger.take_probe(KEY, token, True, 3) is False
        realized = ledger.realized(KEY)
        assert realized is not None
        assert realized.probe is Probe.PENDING

    def test_what_was_found_of_a_virtual_server_holds_under_a_wish_for_the_very_same_and_for_no_other(self) -> None:
        ledger, token = self._programmed()
        ledger.take_probe(KEY, token, True, 3)
        found = []
        for wish in (a_wish(revision=2), a_wish(real_servers=["10.0.0.2:31000"], revision=3)):
            _served(ledger, wish)
            realized = ledger.realized(KEY)
            assert realized is not None
            found.append((realized.revision, realized.probe))
        assert found == [(2, Probe.ANSWERED), (3, Probe.PENDING)]

    def test_silence_goes_on_counting_under_a_wish_for_the_very_same(self) -> None:
        ledger, token = self._programmed()
        ledger.take_probe(KEY, token, True, 3)
        ledger.take_probe(KEY, token, False, 3)
        again = _served(ledger, a_wish(revision=2))
        assert isinstance(again, Apply)
        assert [ledger.take_probe(KEY, again.token, False, 3) for _ in range(2)] == [False, True]

    def test_nothing_is_known_of_what_is_not_served_yet(self) -> None:
        ledger, token = self._programmed()
        ledger.take_probe(KEY, token, True, 3)
        ledger.fold(a_wish(real_servers=["10.0.0.2:31000"], revision=2), now=1)
        _served(ledger, a_wish(real_servers=["10.0.0.2:31000"], revision=3))
        realized = ledger.realized(KEY)
        assert realized is not None
        assert realized.probe is Probe.PENDING

    def test_only_what_is_programmed_is_probed(self) -> None:
        ledger, _ = self._programmed()
        assert ledger.probed_keys() == [KEY]
        ledger.fold(a_wish(revision=2), now=1)
        assert ledger.probed_keys() == []
        assert ledger.target(KEY) is None


class TestHealth:
    TWO = ("10.0.0.1:31000", "10.0.0.2:31000")
    OUT = frozenset({Target("10.0.0.1", 31000)})

    def _programmed(self) -> tuple[Ledger, Apply]:
        ledger = _ledger()
        decision = _served(ledger, a_wish(real_servers=self.TWO))
        assert isinstance(decision, Apply)
        return ledger, decision

    def test_who_is_out_takes_no_connections_and_is_said_beside_what_was_wished(self) -> None:
        ledger, asked = self._programmed()
        again = ledger.take_verdict(KEY, Verdict(1, self.OUT))
        assert again is not None
        assert [one.weight for one in again.server.real_servers] == [0, 1]
        assert again.token == asked.token
        assert ledger.serving(KEY) == ledger.target(KEY) == again.server
        realized = ledger.realized(KEY)
        assert realized is not None
        assert (realized.real_servers, realized.healthy, realized.brake) == (2, 1, False)
        record = ledger.record(KEY)
        assert record is not None
        assert record.held is None, "the wish stands"
        assert ledger.take_verdict(KEY, Verdict(2)) == asked

    def test_a_verdict_that_moves_nobody_asks_the_engine_for_nothing(self) -> None:
        ledger, _ = self._programmed()
        assert ledger.take_verdict(KEY, Verdict(0, brake=True)) is None
        realized = ledger.realized(KEY)
        assert realized is not None
        assert (realized.healthy, realized.brake) == (0, True)

    def test_the_same_outcome_again_disturbs_nothing(self) -> None:
        ledger, asked = self._programmed()
        ledger.take_probe(KEY, asked.token, True, 3)
        before = ledger.realized(KEY)
        assert _acknowledge(ledger, asked) is Next.NOTHING
        assert ledger.realized(KEY) == before

    def test_what_was_not_answered_is_worth_a_look_when_the_real_servers_change(self) -> None:
        ledger, asked = self._programmed()
        for _ in range(3):
            ledger.take_probe(KEY, asked.token, False, 3)
        assert _acknowledge(ledger, asked) is Next.PROBE

    def test_when_nobody_is_left_nobody_answers(self) -> None:
        ledger, asked = self._programmed()
        ledger.take_probe(KEY, asked.token, True, 3)
        again = ledger.take_verdict(KEY, Verdict(0, targets_of(asked.server)))
        assert again is not None
        realized = ledger.realized(KEY)
        assert realized is not None
        assert (realized.probe, ledger.target(KEY)) == (Probe.UNANSWERED, None)
        assert ledger.take_verdict(KEY, Verdict(1, self.OUT)) is not None
        assert _acknowledge(ledger, asked) is Next.PROBE

    def test_a_new_wish_begins_without_a_verdict(self) -> None:
        ledger, _ = self._programmed()
        ledger.take_verdict(KEY, Verdict(1, self.OUT))
        wish = a_wish(real_servers=self.TWO, revision=2)
        ledger.fold(wish, now=1)
        assert ledger.serving(KEY) == wish.server

    def test_what_is_kept_under_a_refusal_goes_by_its_health_and_under_no_wish(self) -> None:
        ledger, asked = self._programmed()
        refused = ledger.fold(a_wish(real_servers=[EVIL], revision=2), now=1)
        assert isinstance(refused, Refused)
        again = ledger.take_verdict(KEY, Verdict(1, self.OUT))
        assert again is not None
        assert again.token == KEPT_TOKEN != asked.token
        assert [one.weight for one in again.server.real_servers] == [0, 1]

    def test_of_what_was_let_go_there_is_no_verdict(self) -> None:
        ledger, _ = self._programmed()
        ledger.fold(a_wish(real_servers=None, revision=2), now=1)
        assert ledger.take_verdict(KEY, Verdict(1, self.OUT)) is None
        assert _ledger().take_verdict(KEY, Verdict(1, self.OUT)) is None


class TestWhatTheHubKnows:
    def test_hops_are_told_once(self) -> None:
        ledger = _ledger()
        decision = _served(ledger, a_wish())
        assert isinstance(decision, Apply)
        pending = ledger.realized(KEY)
        assert pending is not None
        ledger.note_told(KEY, pending)
        assert (ledger.realized(KEY) or pending).hops  # the probe is still to come
        ledger.take_probe(KEY, decision.token, True, 3)
        settled = ledger.realized(KEY)
        assert settled is not None
        ledger.note_told(KEY, settled)
        assert (ledger.realized(KEY) or settled).hops == ()

    def test_an_announced_removal_is_worth_remembering_once(self) -> None:
        ledger = _ledger()
        _served(ledger, a_wish(real_servers=None))
        realized = ledger.realized(KEY)
        assert realized is not None
        assert ledger.note_told(KEY, realized) is True
        assert ledger.note_told(KEY, realized) is False
        record = ledger.record(KEY)
        assert record is not None
        assert record.has_let_go

    def test_word_of_an_older_revision_ends_nothing(self) -> None:
        ledger = _ledger()
        _served(ledger, a_wish(real_servers=None))
        old = ledger.realized(KEY)
        assert old is not None
        ledger.fold(a_wish(revision=2), now=1)
        assert ledger.note_told(KEY, old) is False

    def test_tombstones_are_told_again_only_while_the_stream_holds_them(self) -> None:
        ledger = _ledger()
        _served(ledger, a_wish(real_servers=None))
        assert list(ledger.worth_telling()) == [KEY]
        ledger.forget_what_was_asked()
        assert list(ledger.worth_telling()) == []
        assert ledger.fold(a_wish(real_servers=None), now=1) is Ignored.DUPLICATE
        assert list(ledger.worth_telling()) == [KEY]

    def test_what_was_realized_before_is_a_floor_under_a_lost_or_old_memory(self) -> None:
        ledger = _ledger()
        assert ledger.refuse_below(KEY, (7, 9)) is True
        assert ledger.refuse_below(KEY, (7, 3)) is True
        assert ledger.fold(a_wish(generation=7, revision=8), now=1) is Ignored.STALE
        assert isinstance(ledger.fold(a_wish(generation=7, revision=9), now=1), Apply)
        assert ledger.refuse_below(KEY, (7, 9)) is False
        assert ledger.refuse_below(KEY, (7, 8)) is False

    def test_an_older_memory_keeps_serving_but_takes_nothing_older_than_the_floor(self) -> None:
        ledger = _ledger()
        assert isinstance(ledger.recall(Record(desired=a_wish(revision=3))), Apply)
        assert ledger.refuse_below(KEY, (1, 9)) is True
        assert ledger.fold(a_wish(revision=5), now=1) is Ignored.STALE
        assert len(ledger) == 1
        assert isinstance(ledger.fold(a_wish(revision=10), now=1), Apply)


class TestRestart:
    def test_records_bring_back_what_stood(self) -> None:
        ledger = _ledger()
        _served(ledger, a_wish("192.0.2.1:80/tcp"))
        gone = parse_key("192.0.2.2:80/tcp")
        _served(ledger, a_wish(gone, None, revision=4))
        realized = ledger.realized(gone)
        assert realized is not None
        ledger.note_told(gone, realized)
        going = parse_key("192.0.2.3:80/tcp")
        ledger.fold(a_wish(going, None), now=1)

        again = _ledger()
        decisions = {record.desired.key: again.recall(record) for record in ledger.records()}
        assert isinstance(decisions[parse_key("192.0.2.1:80/tcp")], Apply)
        assert isinstance(decisions[going], Remove)
        assert decisions[gone] is Ignored.DUPLICATE
        assert again.fold(a_wish(gone, revision=3), now=1) is Ignored.STALE
        assert again.records() == ledger.records()


KEYS = [parse_key(f"192.0.2.{n}:80/tcp") for n in range(1, 4)]


def _history(seed: int) -> list[VirtualServerDesired]:
    """What managers wrote, fenced: generations and revisions grow; content differs with each."""
    chance = random.Random(seed)
    generation, revisions = 1, dict.fromkeys(KEYS, 0)
    history: list[VirtualServerDesired] = []
    for _ in range(chance.randrange(1, 25)):
        if chance.random() < 0.2:
            generation += 1
        key = chance.choice(KEYS)
        revisions[key] += 1
        backends = None if chance.random() < 0.3 else [f"10.0.0.{chance.randrange(1, 250)}:31000"]
        history.append(a_wish(key, backends, generation=generation, revision=revisions[key]))
    return history


def _plane_after(
    messages: list[VirtualServerDesired], *, restart_at: int | None = None
) -> dict[VirtualServerKey, VirtualServer]:
    """What a faithful engine serves after these messages."""
    plane: dict[VirtualServerKey, VirtualServer] = {}
    ledger = _ledger()

    def do(decision: Decision) -> None:
        if isinstance(decision, Apply):
            plane[decision.server.key] = decision.server
        elif isinstance(decision, Remove):
            plane.pop(decision.key, None)
        else:
            return
        _acknowledge(ledger, decision)

    for number, message in enumerate(messages):
        if number == restart_at:
            records, ledger = ledger.records(), _ledger()
            for record in records:
                do(ledger.recall(record))
        do(ledger.fold(message, now=1))
    return plane


@settings(max_examples=300)
@given(seed=st.integers(0, 10**9), data=st.data())
def test_any_order_repetition_and_loss_converge_to_the_last_word(seed: int, data: st.DataObject) -> None:
    history = _history(seed)
    last = {message.key: message for message in history}
    expected = {key: message.server for key, message in last.items() if message.server is not None}
    # The stream is compacted: whatever else is lost, the last message of a key comes in the end, at least once.
    kept = data.draw(st.lists(st.sampled_from(history), max_size=40)) + list(last.values())
    order = data.draw(st.permutations(kept))
    restart = data.draw(st.none() | st.integers(0, len(order)))
    assert _plane_after(order, restart_at=restart) == expected


@settings(max_examples=200)
@given(seed=st.integers(0, 10**9), order=st.randoms(use_true_random=False))
def test_P2_generations_never_go_down(seed: int, order: random.Random) -> None:
    history = _history(seed)
    order.shuffle(history)
    ledger, highest = _ledger(), dict.fromkeys(KEYS, (0, 0))
    for message in history:
        ledger.fold(message, now=1)
        entry = ledger.get(message.key)
        assert entry is not None
        standing = (entry.desired.generation, entry.desired.revision)
        assert standing >= highest[message.key]
        highest[message.key] = standing


@pytest.mark.parametrize("ask", [Ledger.realized, Ledger.record, Ledger.target, Ledger.serving, Ledger.get])
def test_of_an_unknown_key_nothing_is_said(ask: Callable[[Ledger, VirtualServerKey], object]) -> None:
    assert ask(_ledger(), KEY) is None


def test_what_an_address_serves_is_what_is_programmed_and_has_a_backend() -> None:
    ledger = _ledger()
    _served(ledger, a_wish())
    _served(ledger, a_wish("192.0.2.2:443/tcp"))
    _served(ledger, a_wish("192.0.2.1:80/tcp", real_servers=[]))
    ledger.fold(a_wish("192.0.2.1:81/tcp"), now=1)
    assert [server.key for server in ledger.targets_on(KEY.address)] == [KEY]
    assert ledger.targets_on("192.0.2.9") == []
