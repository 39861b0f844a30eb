"""What a ledger makes of wishes that go beyond the allowance of their tenant, in whatever order both come."""

import itertools

import pytest

from fleetlb.contracts.v1 import RealizedState, TenantAllowed, VirtualServerDesired
from fleetlb.domain.bars import Bar
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.wishes import a_wish, an_allowance
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.deciding import Apply, Decision, Ignored, Refused, Remove
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.programming import Ledger

KEY, OTHER = parse_key("192.0.2.1:443/tcp"), parse_key("192.0.2.2:443/tcp")
MINE, MORE, THEIRS = ["10.0.0.1:31000"], ["10.0.0.1:31000", "10.0.0.2:31000"], ["10.2.0.1:31000"]


class Node:
    """A ledger and what an engine would hold by its decisions."""

    def __init__(self, *said: TenantAllowed, required: bool = False) -> None:
        self.allowances = Allowances(operator_key="OKEY" if required else "")
        for one in said:
            self.allowances.fold(one)
        self.ledger = Ledger("node-1", allow_loopback=False, allowances=self.allowances)
        self.serves: dict[str, list[str]] = {}

    def restarted(self) -> "Node":
        after = Node(*(record.said for record in self.allowances.records()))
        for record in self.ledger.records():
            after.do(record.desired.key, after.ledger.recall(record))
        return after

    def wish(self, wish: VirtualServerDesired, sequence: int = 0) -> Decision:
        decision = self.ledger.fold(wish, now=1, sequence=sequence)
        self.do(wish.key, decision)
        return decision

    def hear(self, said: TenantAllowed) -> list[Decision]:
        if not self.allowances.fold(said) or not self.allowances.knows(said.tenant):
            return []
        decisions = self.ledger.judge_again(said.tenant)
        for key, decision in decisions:
            self.do(key, decision)
        return [decision for _, decision in decisions if not isinstance(decision, Ignored)]

    def do(self, key: object, decision: Decision) -> None:
        match decision:
            case Apply(server, token):
                self.serves[str(key)] = [f"{real.address}:{real.port}" for real in server.real_servers]
                self.ledger.take_outcome(server.key, Outcome(state=State.PROGRAMMED, token=token), now=1)
            case Remove():
                self.serves.pop(str(key), None)
            case Refused(_, None, True):
                self.serves.pop(str(key), None)
            case Refused(_, kept, _) if kept is not None:
                self.serves[str(key)] = [f"{real.address}:{real.port}" for real in kept.real_servers]

    def said(self) -> tuple[RealizedState, str, str]:
        word = self.ledger.realized(KEY)
        assert word is not None
        return word.state, word.reason, word.message


def test_what_goes_beyond_is_refused_and_what_was_served_stays() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, MINE))
    node.wish(a_wish(OTHER, MINE))
    assert isinstance(node.wish(a_wish(KEY, THEIRS, revision=2)), Refused)
    assert node.serves == {str(KEY): MINE, str(OTHER): MINE}
    state, reason, message = node.said()
    assert (state, reason) == (RealizedState.REJECTED, "BackendNotAllowed")
    assert "10.2.0.1 port 31000" in message
    assert "spec.nodeCIDRs" in message
    assert isinstance(node.wish(a_wish(KEY, MORE, revision=3)), Apply)
    assert node.said()[:2] == (RealizedState.PROGRAMMED, "")


def test_a_wish_that_came_before_the_allowance_is_served_until_it_comes_and_then_given_up() -> None:
    node = Node()
    node.wish(a_wish(KEY, THEIRS))
    node.wish(a_wish(OTHER, MINE))
    assert node.serves == {str(KEY): THEIRS, str(OTHER): MINE}
    assert [type(decision) for decision in node.hear(an_allowance())] == [Refused]
    assert node.serves == {str(OTHER): MINE}
    assert node.said()[0] is RealizedState.REJECTED


def test_what_was_served_before_an_unjudged_wish_comes_back() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, MINE))
    node.hear(an_allowance(node_cidrs=None, revision=2))
    node.wish(a_wish(KEY, THEIRS, revision=2))
    node.wish(a_wish(KEY, ["10.3.0.1:31000"], revision=3))
    assert node.serves == {str(KEY): ["10.3.0.1:31000"]}
    node.hear(an_allowance(revision=3))
    assert node.serves == {str(KEY): MINE}


def test_an_allowance_that_shrinks_takes_nothing_away_before_the_manager_does() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, MINE))
    assert node.hear(an_allowance(node_cidrs=("10.5.0.0/16",), revision=2)) == []
    assert node.restarted().serves == node.serves == {str(KEY): MINE}
    assert isinstance(node.wish(a_wish(KEY, MORE, revision=2)), Refused)
    assert node.serves == {str(KEY): MINE}


def test_an_allowance_that_grows_lets_in_what_was_refused() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, THEIRS))
    assert node.serves == {}
    assert [type(decision) for decision in node.hear(an_allowance(node_cidrs=("10.2.0.0/16",), revision=2))] == [Apply]
    assert node.serves == {str(KEY): THEIRS}
    assert node.said()[:2] == (RealizedState.PROGRAMMED, "")


def test_a_refusal_says_what_is_wrong_now() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, THEIRS))
    node.hear(an_allowance(node_cidrs=("10.2.0.0/16",), node_port_range="1-2", revision=2))
    assert "spec.nodePortRange" in node.said()[2]
    assert node.serves == {}


def test_a_restart_changes_nothing_about_refusals() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, MINE))
    node.wish(a_wish(KEY, THEIRS, revision=2))
    node.wish(a_wish(OTHER, THEIRS))
    after = node.restarted()
    assert after.serves == {str(KEY): MINE}
    assert after.said() == node.said()
    assert after.ledger.records() == node.ledger.records()


def test_what_was_remembered_without_any_allowance_is_served_and_judged_when_one_comes() -> None:
    before = Node()
    before.wish(a_wish(KEY, THEIRS))
    before.wish(a_wish(OTHER, MINE))
    after = before.restarted()
    assert after.serves == before.serves
    after.hear(an_allowance())
    assert after.serves == {str(OTHER): MINE}


def test_who_ends_between_an_allowance_and_what_follows_from_it_draws_the_conclusion_afterwards() -> None:
    node = Node()
    node.wish(a_wish(KEY, THEIRS))
    node.wish(a_wish(OTHER, MINE))
    written = node.ledger.records()
    after = Node(an_allowance())
    for record in written:
        after.do(record.desired.key, after.ledger.recall(record))
    assert after.serves == {str(OTHER): MINE}
    assert after.said()[0] is RealizedState.REJECTED
    assert [record.is_unjudged for record in after.ledger.records()] == [False, False]


def test_what_turned_out_well_is_not_judged_again_after_a_restart() -> None:
    node = Node()
    node.wish(a_wish(KEY, MINE))
    node.hear(an_allowance())
    node.hear(an_allowance(node_cidrs=("10.5.0.0/16",), revision=2))
    assert node.restarted().serves == {str(KEY): MINE}


def test_where_they_are_required_nothing_new_is_served_without_one() -> None:
    node = Node(required=True)
    assert isinstance(node.wish(a_wish(KEY, MINE)), Refused)
    assert node.serves == {}
    node.hear(an_allowance())
    assert node.serves == {str(KEY): MINE}


def test_a_vip_of_this_node_is_no_backend() -> None:
    node = Node()
    node.wish(a_wish(OTHER, MINE))
    refused = node.wish(a_wish(KEY, ["192.0.2.2:31000"]))
    assert isinstance(refused, Refused)
    assert "it is a VIP" in refused.message


def test_another_tenants_allowance_changes_nothing() -> None:
    node = Node()
    node.wish(a_wish(KEY, THEIRS))
    assert node.hear(an_allowance("globex")) == []
    assert node.serves == {str(KEY): THEIRS}


BARRED = an_allowance(generation=2, bars=(Bar(2, 10),))


def test_what_an_earlier_term_asks_for_too_late_is_not_begun_until_it_is_said_again() -> None:
    node = Node(BARRED)
    assert isinstance(node.wish(a_wish(KEY, MINE, generation=1), sequence=11), Refused)
    assert node.serves == {}
    assert node.said()[:2] == (RealizedState.REJECTED, "InProgress")
    assert isinstance(node.wish(a_wish(KEY, MINE, generation=2), sequence=12), Apply)
    assert node.serves == {str(KEY): MINE}


def test_what_stood_when_a_term_began_to_let_go_is_begun() -> None:
    node = Node(BARRED)
    assert isinstance(node.wish(a_wish(KEY, MINE, generation=1), sequence=10), Apply)
    assert isinstance(node.wish(a_wish(OTHER, MINE, generation=2), sequence=11), Apply)


def test_a_late_wish_that_came_before_its_tenant_was_vouched_for_is_not_begun_then() -> None:
    node = Node(required=True)
    node.wish(a_wish(KEY, MINE, generation=1), sequence=11)
    node.wish(a_wish(OTHER, MINE, generation=1), sequence=10)
    node.hear(BARRED)
    assert node.serves == {str(OTHER): MINE}
    assert node.said()[1] == "InProgress"
    assert [type(decision) for decision in node.hear(an_allowance(generation=2, revision=2))] == [Apply]


def test_a_late_wish_is_late_after_a_restart_too() -> None:
    node = Node(BARRED)
    node.wish(a_wish(KEY, MINE, generation=1), sequence=11)
    after = node.restarted()
    assert after.ledger.records() == node.ledger.records()
    assert after.said() == node.said()
    after.hear(an_allowance(generation=2, revision=2, bars=(Bar(2, 10),)))
    assert after.serves == {}
    assert after.said() == node.said()


def test_no_bar_takes_away_what_a_node_serves() -> None:
    node = Node(an_allowance())
    node.wish(a_wish(KEY, MINE, generation=1), sequence=11)
    assert node.hear(BARRED) == []
    assert node.restarted().serves == {str(KEY): MINE}
    assert isinstance(node.wish(a_wish(KEY, MORE, generation=1, revision=2), sequence=12), Refused)
    assert node.serves == {str(KEY): MINE}
    assert node.restarted().serves == {str(KEY): MINE}


def test_nor_what_it_began_before_anything_was_said_of_the_tenant() -> None:
    node = Node()
    node.wish(a_wish(KEY, MINE, generation=1), sequence=11)
    written = node.ledger.records()
    node.hear(BARRED)
    assert node.serves == {str(KEY): MINE}
    after = Node(BARRED)
    for record in written:
        after.do(record.desired.key, after.ledger.recall(record))
    assert after.serves == {str(KEY): MINE}


STEPS = (
    a_wish(KEY, MINE),
    a_wish(KEY, THEIRS, revision=2),
    a_wish(OTHER, THEIRS),
    an_allowance(node_cidrs=("10.9.0.0/16",)),
    an_allowance(revision=2),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(STEPS)))), ids=str)
def test_in_whatever_order_they_come_nothing_beyond_is_served_in_the_end(order: tuple[int, ...]) -> None:
    node = Node()
    for number in order:
        step = STEPS[number]
        if isinstance(step, VirtualServerDesired):
            node.wish(step)
        else:
            node.hear(step)
    assert all(served == MINE for served in node.serves.values())
    assert node.ledger.realized(OTHER) is not None
    assert node.said()[0] is RealizedState.REJECTED
