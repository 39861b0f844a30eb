"""The delta state machine against a model of Envoy: transcripts, faults, and random interruption."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleetlb_dataplane_programmer.envoy.delta import Push, Request, Retry, Session, Standing
from fleetlb_dataplane_programmer.envoy.resources import Kind, Resource, Resources
from fleetlb_dataplane_programmer.envoy.store import Store
from tests.unit.fleetlb_dataplane_programmer.envoy.model_envoy import ModelEnvoy

RETRY = Retry(initial_seconds=5, cap_seconds=60)
C, E, L = Kind.CLUSTER, Kind.ENDPOINTS, Kind.LISTENER


def resources(name: str, scheduler: int = 0, endpoints: int = 0, admitted: int = 0) -> Resources:
    """As real ones: the Listener depends on the name and on who is admitted."""
    versions = f"{name} c{scheduler}", f"{name} e{endpoints}", f"{name} l{admitted}"
    cluster, load, listener = (Resource(version, b"") for version in versions)
    return cluster, load, listener


class Stand:
    """A store, one session and one Envoy; time stands still unless told."""

    def __init__(self, envoy: ModelEnvoy | None = None, *, store: Store | None = None, chunk: int = 250) -> None:
        self.store = store if store is not None else Store()
        self.store.complete = True
        self.envoy = envoy if envoy is not None else ModelEnvoy()
        self.chunk = chunk
        self.now = 100.0
        self.standings: dict[str, tuple[Standing, str]] = {}
        self.connect()

    def connect(self) -> None:
        self.session = Session(self.store, self._stands, retry=RETRY, chunk=self.chunk)
        self.envoy.connect()

    def _stands(self, name: str, standing: Standing, message: str) -> None:
        self.standings[name] = standing, message

    def want(self, name: str, wanted: Resources | None) -> None:
        self.standings.pop(name, None)
        self.store.put(name, wanted)
        self.session.changed(name)

    def push(self) -> list[Push]:
        return self.session.poll(self.now)

    def read(self) -> None:
        while self.envoy.requests:
            self.session.receive(self.envoy.requests.popleft(), self.now)

    def run(self) -> list[Push]:
        """Until nobody has anything to say."""
        said: list[Push] = []
        while True:
            self.read()
            pushes = self.push()
            if not pushes and not self.envoy.requests:
                return said
            for push in pushes:
                self.envoy.take(push)
            said += pushes
            assert len(said) < 10_000, "they never stop talking"

    def serving(self) -> set[str]:
        return {name for name in self.envoy.listeners if name in self.envoy.clusters and name in self.envoy.endpoints}


def brief(pushes: Iterable[Push]) -> list[tuple[str, ...]]:
    """A push as ("L", "+added", "-removed")."""
    return [
        (p.kind.name[0], *(f"+{name}" for name, _ in p.resources), *(f"-{name}" for name in p.removed)) for p in pushes
    ]


@pytest.fixture
def stand() -> Stand:
    """An Envoy that is connected and has been told that there is nothing."""
    made = Stand()
    made.run()
    made.want("seed", resources("seed"))
    made.run()
    return made


def test_a_fresh_envoy_is_answered_although_there_is_nothing_to_tell() -> None:
    stand = Stand()

    assert brief(stand.run()) == [("C",), ("L",)]


def test_a_fresh_envoy_gets_clusters_then_endpoints_then_listeners() -> None:
    stand = Stand()
    stand.want("a", resources("a"))
    stand.want("b", resources("b"))

    assert brief(stand.run()) == [("C", "+a", "+b"), ("E", "+a", "+b"), ("L", "+a", "+b")]
    assert stand.standings == {"a": (Standing.HELD, ""), "b": (Standing.HELD, "")}


def test_one_more_is_sent_in_one_go(stand: Stand) -> None:
    stand.want("a", resources("a"))

    assert brief(stand.push()) == [("C", "+a"), ("E", "+a"), ("L", "+a")]


def test_new_endpoints_go_alone(stand: Stand) -> None:
    stand.want("seed", resources("seed", endpoints=1))

    assert brief(stand.run()) == [("E", "+seed")]
    assert stand.standings["seed"] == (Standing.HELD, "")


def test_a_listener_that_admits_others_goes_alone(stand: Stand) -> None:
    stand.want("seed", resources("seed", admitted=1))

    assert brief(stand.run()) == [("L", "+seed")]
    assert stand.envoy.listeners == {"seed": "seed l1"}
    assert stand.standings["seed"] == (Standing.HELD, "")


def test_a_changed_cluster_brings_its_endpoints_again(stand: Stand) -> None:
    """Envoy does not ask for them, and the cluster would warm in vain."""
    stand.want("seed", resources("seed", scheduler=1))

    assert brief(stand.run()) == [("C", "+seed"), ("E", "+seed")]
    assert stand.envoy.warming == {}


def test_a_removal_takes_the_listener_first(stand: Stand) -> None:
    stand.want("seed", None)

    assert brief(stand.push()) == [("L", "-seed"), ("C", "-seed")]
    assert "seed" not in stand.standings, "not before Envoy says so"


def test_a_removal_is_told_when_the_listener_is_gone_whatever_the_cluster_does(stand: Stand) -> None:
    stand.want("seed", None)
    listener, _ = stand.push()
    stand.envoy.take(listener)
    stand.read()

    assert stand.standings == {"seed": (Standing.GONE, "")}


def test_what_envoy_never_had_is_gone_at_once(stand: Stand) -> None:
    stand.want("never", None)

    assert stand.run() == []
    assert stand.standings["never"] == (Standing.GONE, "")


def test_removed_and_wished_for_again_while_the_removal_is_under_way(stand: Stand) -> None:
    stand.want("seed", None)
    pushes = stand.push()
    stand.want("seed", resources("seed"))
    for push in pushes:
        stand.envoy.take(push)
    stand.run()

    assert stand.serving() == {"seed"}
    assert stand.standings["seed"] == (Standing.HELD, "")


def test_the_same_wish_again_is_told_without_a_push(stand: Stand) -> None:
    stand.want("seed", resources("seed"))

    assert stand.push() == []
    assert stand.standings["seed"] == (Standing.HELD, "")


def test_a_wish_is_told_only_when_all_its_types_are_acknowledged(stand: Stand) -> None:
    stand.want("a", resources("a"))
    for push in stand.push():
        assert "a" not in stand.standings
        stand.envoy.take(push)
        stand.session.receive(Request(kind=push.kind, nonce=push.nonce), stand.now)

    assert stand.standings["a"] == (Standing.HELD, "")


def test_a_late_acknowledgement_of_clusters_is_patience_not_failure(stand: Stand) -> None:
    """While others warm, endpoints still flow, and nothing is told until the answer comes."""
    stand.envoy.warming["stuck"] = "forever"
    stand.want("a", resources("a"))
    stand.run()
    stand.want("seed", resources("seed", endpoints=7))
    assert brief(stand.run()) == [("E", "+seed")]
    assert "a" not in stand.standings

    stand.envoy.time_out_warming()
    stand.run()

    assert stand.standings["a"] == (Standing.HELD, "")


def test_a_second_thought_about_a_cluster_in_flight_overtakes() -> None:
    """Envoy answers when the first one is warm, and that needs endpoints that would come after the second."""
    stand = Stand()
    stand.want("a", resources("a"))
    stand.read()
    [cluster] = stand.push()
    stand.envoy.take(cluster)
    stand.want("a", resources("a", scheduler=1))
    stand.run()

    assert stand.envoy.warming == {}
    assert stand.envoy.clusters == {"a": "a c1"}
    assert stand.standings["a"] == (Standing.HELD, "")


def test_a_cluster_that_is_given_up_while_it_warms_holds_up_nobody() -> None:
    stand = Stand()
    stand.want("a", resources("a"))
    stand.read()
    [cluster] = stand.push()
    stand.envoy.take(cluster)
    stand.want("a", None)
    stand.want("b", resources("b"))
    stand.run()

    assert stand.serving() == {"b"}
    assert stand.standings == {"a": (Standing.GONE, ""), "b": (Standing.HELD, "")}


def test_endpoints_of_a_cluster_sent_before_envoy_told_its_endpoints_are_sent_again(stand: Stand) -> None:
    """On a reconnect Envoy tells its versions type by type; those of endpoints do not count for a new Cluster."""
    stand.connect()
    stand.want("seed", resources("seed", scheduler=1))
    stand.session.receive(stand.envoy.requests.popleft(), stand.now)
    [cluster] = stand.push()
    stand.envoy.take(cluster)

    assert brief(stand.run()) == [("E", "+seed")]
    assert stand.envoy.warming == {}


def test_nothing_is_pushed_before_the_snapshot_is_complete() -> None:
    stand = Stand()
    stand.want("old", resources("old"))
    stand.run()

    restarted = Stand(stand.envoy, store=Store())
    restarted.store.complete = False
    assert restarted.run() == []
    assert stand.serving() == {"old"}

    restarted.want("new", resources("new"))
    restarted.store.complete = True
    restarted.run()

    assert stand.serving() == {"new"}


def test_a_restarted_programmer_sends_nothing_and_knows_what_stands() -> None:
    stand = Stand()
    names = [f"n{index}" for index in range(600)]
    for name in names:
        stand.want(name, resources(name))
    stand.run()

    restarted = Stand(stand.envoy, store=Store())
    for name in names:
        restarted.want(name, resources(name))

    assert restarted.run() == []
    assert restarted.standings == dict.fromkeys(names, (Standing.HELD, ""))


def test_a_reconnect_sends_the_difference_alone() -> None:
    stand = Stand()
    for name in ("kept", "moved", "going", "tuned", "guarded"):
        stand.want(name, resources(name))
    stand.run()
    stand.connect()
    stand.want("moved", resources("moved", endpoints=1))
    stand.want("tuned", resources("tuned", scheduler=1))
    stand.want("guarded", resources("guarded", admitted=1))
    stand.want("going", None)
    stand.want("coming", resources("coming"))

    said = brief(stand.run())
    pushes = {kind: [push for push in said if push[0] == kind.name[0]] for kind in Kind}

    assert sorted(part for push in pushes[C] for part in push[1:]) == ["+coming", "+tuned", "-going"]
    assert sorted(part for push in pushes[E] for part in push[1:]) == ["+coming", "+moved", "+tuned"]
    assert sorted(part for push in pushes[L] for part in push[1:]) == ["+coming", "+guarded", "-going"]


def test_many_go_in_chunks_and_the_first_serves_before_the_last_is_sent() -> None:
    stand = Stand(chunk=250)
    for index in range(1000):
        stand.want(f"n{index}", resources(f"n{index}"))

    pushes = stand.run()

    assert len(stand.serving()) == 1000
    assert max(len(push.resources) for push in pushes) == 250
    kinds = [push.kind for push in pushes]
    assert kinds.index(L) < len(kinds) - 1 - kinds[::-1].index(C)


def test_a_refused_listener_is_told_and_its_neighbours_serve() -> None:
    stand = Stand()
    stand.envoy.busy = {"b"}
    for name in "abc":
        stand.want(name, resources(name))
    stand.run()

    assert stand.serving() == {"a", "c"}
    assert stand.standings["a"] == stand.standings["c"] == (Standing.HELD, "")
    standing, message = stand.standings["b"]
    assert standing is Standing.REFUSED
    assert "Address already in use" in message


def test_a_refused_listener_is_tried_again_with_growing_patience() -> None:
    stand = Stand()
    stand.envoy.busy = {"b"}
    stand.want("b", resources("b"))
    stand.run()
    waits = []
    for _ in range(6):
        due = stand.session.next_due()
        assert due is not None
        waits.append(due - stand.now)
        stand.now = due - 0.001
        assert stand.run() == []
        stand.now = due
        assert brief(stand.run()) == [("L", "+b")]
    assert waits == pytest.approx([5, 10, 20, 40, 60, 60])

    stand.envoy.busy.clear()
    stand.now += 60
    stand.run()

    assert stand.standings["b"] == (Standing.HELD, "")
    assert stand.session.next_due() is None


def test_new_endpoints_of_a_refused_listener_are_sent_without_trying_it(stand: Stand) -> None:
    stand.envoy.busy = {"b"}
    stand.want("b", resources("b"))
    stand.run()
    stand.want("b", resources("b", endpoints=1))

    assert brief(stand.run()) == [("E", "+b")]
    assert stand.standings["b"][0] is Standing.REFUSED


def test_a_refused_listener_that_is_given_up_is_gone(stand: Stand) -> None:
    stand.envoy.busy = {"b"}
    stand.want("b", resources("b"))
    stand.run()
    stand.want("b", None)
    stand.run()

    assert stand.standings["b"] == (Standing.GONE, "")
    assert "b" not in stand.envoy.clusters
    stand.now += 1000
    assert stand.run() == []


def test_a_push_refused_without_a_name_is_sent_again_one_by_one(stand: Stand) -> None:
    stand.envoy.poison = {"c"}
    for name in "abcde":
        stand.want(name, resources(name))
    stand.run()

    assert stand.serving() == {*"abde", "seed"}
    assert {name for name, (standing, _) in stand.standings.items() if standing is Standing.REFUSED} == {"c"}


def test_a_removal_that_is_refused_is_not_insisted_on(stand: Stand) -> None:
    stand.want("seed", None)
    listener, _ = stand.push()
    stand.session.receive(Request(kind=L, nonce=listener.nonce, error="no"), stand.now)

    assert stand.standings["seed"] == (Standing.GONE, "")


def test_an_answer_to_something_else_is_ignored(stand: Stand) -> None:
    stand.want("seed", resources("seed", endpoints=1))
    [push] = stand.push()
    stand.session.receive(Request(kind=E, nonce="stale"), stand.now)
    stand.session.receive(Request(kind=E), stand.now)
    assert "seed" not in stand.standings

    stand.session.receive(Request(kind=E, nonce=push.nonce), stand.now)
    assert stand.standings["seed"] == (Standing.HELD, "")


def test_a_review_tells_everything_again(stand: Stand) -> None:
    stand.standings.clear()
    stand.session.review()

    assert stand.push() == []
    assert stand.standings == {"seed": (Standing.HELD, "")}


class CountingStore(Store):
    """Counts the looks at it: the state machine cannot work on a name without one."""

    looks = 0

    def get(self, name: str) -> Resources | None:
        self.looks += 1
        return super().get(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("looked at all names")


def added(stand: Stand) -> None:
    stand.want("one more", resources("one more"))


def moved(stand: Stand) -> None:
    stand.want("n3", resources("n3", endpoints=1))


def guarded(stand: Stand) -> None:
    stand.want("n3", resources("n3", admitted=1))


def removed(stand: Stand) -> None:
    stand.want("n3", None)


def refused(stand: Stand) -> None:
    stand.envoy.busy.add("one more")
    stand.want("one more", resources("one more"))


@pytest.mark.parametrize("change", [added, moved, guarded, removed, refused])
def test_a_change_costs_the_same_whatever_else_stands(change: Callable[[Stand], None]) -> None:
    costs = []
    for standing in (10, 3000):
        stand = Stand()
        for index in range(standing):
            stand.want(f"n{index}", resources(f"n{index}"))
        stand.run()
        counting = CountingStore()
        counting.__dict__.update(stand.store.__dict__)
        stand.session._store = stand.store = counting
        change(stand)
        pushes = stand.run()
        costs.append((counting.looks, brief(pushes)))

    assert costs[0] == costs[1]
    assert costs[0][0] < 30


NAMES = st.sampled_from(["a", "b", "c"])


class Interrupted(RuleBasedStateMachine):
    """Wishes, messages, crashes of either side and refusals in any order; in the end Envoy holds what is wanted."""

    @initialize(chunk=st.sampled_from([1, 2, 250]))
    def begin(self, chunk: int) -> None:
        self.stand = Stand(chunk=chunk)
        self.wanted: dict[str, Resources] = {}
        self.to_envoy: list[Push] = []

    @rule(name=NAMES, scheduler=st.integers(0, 1), endpoints=st.integers(0, 1), admitted=st.integers(0, 1))
    def want(self, name: str, scheduler: int, endpoints: int, admitted: int) -> None:
        self.wanted[name] = resources(name, scheduler, endpoints, admitted)
        self.stand.want(name, self.wanted[name])

    @rule(name=NAMES)
    def unwant(self, name: str) -> None:
        self.wanted.pop(name, None)
        self.stand.want(name, None)

    @rule(pushes=st.integers(0, 4), answers=st.integers(0, 4))
    def some_is_said(self, pushes: int, answers: int) -> None:
        self.to_envoy += self.stand.push()
        for push in self.to_envoy[:pushes]:
            self.stand.envoy.take(push)
        del self.to_envoy[:pushes]
        for _ in range(min(answers, len(self.stand.envoy.requests))):
            self.stand.session.receive(self.stand.envoy.requests.popleft(), self.stand.now)

    @rule(name=NAMES, poison=st.booleans())
    def a_listener_turns_bad(self, name: str, poison: bool) -> None:
        if name not in self.stand.envoy.listeners:
            (self.stand.envoy.poison if poison else self.stand.envoy.busy).add(name)

    @rule()
    def all_listeners_are_good(self) -> None:
        self.stand.envoy.busy.clear()
        self.stand.envoy.poison.clear()

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.stand.now += seconds

    @rule()
    def warming_times_out(self) -> None:
        self.stand.envoy.time_out_warming()

    @rule()
    def the_stream_breaks(self) -> None:
        self.lose_what_is_under_way()
        self.stand.connect()

    @rule()
    def the_programmer_restarts(self) -> None:
        self.lose_what_is_under_way()
        before, self.stand = self.stand, Stand(self.stand.envoy, chunk=self.stand.chunk)
        self.stand.now = before.now
        for name, wanted in self.wanted.items():
            self.stand.want(name, wanted)

    @rule()
    def envoy_restarts(self) -> None:
        self.to_envoy.clear()
        before, self.stand.envoy = self.stand.envoy, ModelEnvoy()
        self.stand.envoy.busy = before.busy
        self.stand.envoy.poison = before.poison
        self.stand.connect()

    @rule()
    def all_is_said(self) -> None:
        for push in self.to_envoy:
            self.stand.envoy.take(push)
        self.to_envoy.clear()
        self.stand.run()
        envoy, bad = self.stand.envoy, self.stand.envoy.busy | self.stand.envoy.poison
        assert not envoy.warming
        assert envoy.clusters == {name: wanted[C].version for name, wanted in self.wanted.items()}
        assert envoy.endpoints == {name: wanted[E].version for name, wanted in self.wanted.items()}
        assert envoy.listeners.keys() <= self.wanted.keys()
        for name in self.wanted.keys() - bad:
            standing, _ = self.stand.standings[name]
            assert standing is Standing.REFUSED or envoy.listeners[name] == self.wanted[name][L].version

    @invariant()
    def nothing_told_is_untrue(self) -> None:
        for name, (standing, _) in self.stand.standings.items():
            if standing is Standing.GONE:
                assert name not in self.stand.envoy.listeners

    def lose_what_is_under_way(self) -> None:
        """A Cluster update whose endpoints were lost ends by Envoy's own timeout, with the endpoints it had."""
        self.to_envoy.clear()
        self.stand.envoy.time_out_warming()

    def teardown(self) -> None:
        self.all_listeners_are_good()
        self.all_is_said()
        self.stand.now += RETRY.cap_seconds
        self.all_is_said()
        assert self.stand.envoy.listeners == {name: wanted[L].version for name, wanted in self.wanted.items()}
        for name in self.wanted:
            assert self.stand.standings[name] == (Standing.HELD, "")


Interrupted.TestCase.settings = settings(max_examples=200, stateful_step_count=25)
TestInterrupted = Interrupted.TestCase


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 5), (1, 10), (3, 40), (4, 60), (10_000, 60)])
def test_the_delay_before_another_attempt(attempt: int, seconds: float) -> None:
    assert RETRY.delay(attempt) == seconds
