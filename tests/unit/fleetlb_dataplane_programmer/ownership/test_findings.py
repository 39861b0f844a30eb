"""What a node may say that calls VIPs of others: never of a fault that may be its own."""

from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.announcing import MAX_PORTS, VipReached
from fleetlb_dataplane_programmer.ownership.duties import Announced
from fleetlb_dataplane_programmer.ownership.findings import FAILURES, Findings

VIP, OTHER = "10.0.0.1", "10.0.0.2"
ONE, TWO = Announced("node-1", 7), Announced("node-2", 8)
DOOR, ANOTHER = (VIP, 80), (OTHER, 80)


def begun(*, met: bool = True) -> Findings:
    """Of two VIPs the other is reached, at the same node unless `met` is false."""
    findings = Findings("eth1")
    assert findings.begin(OTHER, ONE if met else TWO, [80]) == 80
    findings.note_answered(ANOTHER, 1, 300)
    assert findings.begin(VIP, ONE, [80]) == 80
    return findings


def fail(findings: Findings, times: int, *, is_witnessed: bool = True) -> None:
    for _ in range(times):
        findings.note_unanswered(DOOR, 5, is_witnessed=is_witnessed)


def lost(findings: Findings) -> tuple[int, ...]:
    word = findings.word(VIP)
    return word.lost if word else ()


def test_what_is_answered_is_reached() -> None:
    findings = begun()
    findings.note_answered(DOOR, 5, 412)
    word = VipReached(node="node-1", term=7, ports=(80,), over="eth1", since=5, micros=412)
    assert findings.word(VIP) == word
    findings.note_answered(DOOR, 9, 999)
    assert findings.word(VIP) == word, "it is said once"


def test_what_is_not_answered_several_times_in_a_row_is_lost_and_comes_back() -> None:
    findings = begun()
    fail(findings, FAILURES - 1)
    assert findings.word(VIP) is None
    assert findings.is_in_doubt(VIP)
    fail(findings, 1)
    assert findings.word(VIP) == VipReached(node="node-1", term=7, lost=(80,), over="eth1", since=5)
    assert not findings.is_in_doubt(VIP)
    findings.note_answered(DOOR, 6, 400)
    assert lost(findings) == ()
    fail(findings, FAILURES - 1)
    findings.note_answered(DOOR, 6, 400)
    fail(findings, FAILURES - 1)
    assert lost(findings) == (), "not in a row"


def test_without_a_witness_nothing_is_said_and_what_was_said_is_void() -> None:
    findings = begun()
    fail(findings, 10, is_witnessed=False)
    assert findings.word(VIP) is None
    fail(findings, FAILURES)
    assert lost(findings) == (80,)
    fail(findings, 1, is_witnessed=False)
    assert findings.word(VIP) is None
    fail(findings, FAILURES - 1)
    assert findings.word(VIP) is None, "it is counted from the beginning"


def test_of_a_node_that_was_never_reached_nothing_is_said() -> None:
    """There may be no way between the two at all, as where a switch keeps its ports apart."""
    findings = begun(met=False)
    fail(findings, 2 * FAILURES)
    assert findings.word(VIP) is None
    assert findings.begin("10.0.0.3", ONE, [80]) == 80
    findings.note_answered(("10.0.0.3", 80), 2, 300)
    fail(findings, FAILURES)
    assert lost(findings) == (80,)


def test_what_is_found_is_of_one_announcement() -> None:
    findings = begun()
    fail(findings, FAILURES)
    findings.begin(VIP, ONE, [80])
    assert lost(findings) == (80,)
    findings.begin(VIP, Announced("node-1", 9), [80])
    assert findings.word(VIP) is None
    fail(findings, FAILURES - 1)
    assert findings.word(VIP) is None


def test_ports_take_turns_but_for_one_that_is_in_doubt() -> None:
    findings = Findings("eth1")
    assert findings.begin(VIP, ONE, [443, 80]) == 80
    findings.note_answered(DOOR, 1, 300)
    assert findings.is_in_doubt(VIP), "one was not called yet"
    assert findings.begin(VIP, ONE, [443, 80]) == 443
    for _ in range(FAILURES):
        assert findings.begin(VIP, ONE, [443, 80]) == 443
        findings.note_unanswered((VIP, 443), 3, is_witnessed=True)
    assert findings.word(VIP) == VipReached(node="node-1", term=7, ports=(80,), lost=(443,), over="eth1", since=3)
    assert findings.begin(VIP, ONE, [443, 80]) == 80
    assert findings.begin(VIP, ONE, [80]) == 80
    assert findings.begin(VIP, ONE, []) == 0
    assert findings.begin(VIP, ONE, range(1, 100)) == 1
    findings.note_answered((VIP, 1), 4, 1)
    for port in range(2, MAX_PORTS + 1):
        assert findings.begin(VIP, ONE, range(1, 100)) == port
        findings.note_answered((VIP, port), 4, 1)
    assert findings.begin(VIP, ONE, range(1, 100)) == 1


def test_a_witness_is_what_was_answered_last_and_something_else() -> None:
    findings = begun()
    assert findings.witness(DOOR) == ANOTHER
    assert findings.witness(ANOTHER) is None
    findings.note_answered(DOOR, 2, 300)
    assert (findings.witness(ANOTHER), findings.witness(DOOR)) == (DOOR, ANOTHER)
    findings.note_witness(ANOTHER, answered=False)
    assert findings.witness(DOOR) is None
    findings.note_witness(ANOTHER, answered=True)
    assert findings.witness(DOOR) == ANOTHER
    findings.forget(OTHER)
    assert findings.witness(DOOR) is None
    findings.note_witness(ANOTHER, answered=True)
    assert findings.witness(DOOR) is None, "it is called no more"


def test_what_is_called_no_more_is_nothing() -> None:
    findings = begun()
    findings.note_answered(DOOR, 1, 1)
    findings.forget(VIP)
    findings.note_answered(DOOR, 1, 1)
    fail(findings, FAILURES)
    assert (findings.word(VIP), findings.is_in_doubt(VIP)) == (None, False)


@given(st.lists(st.tuples(st.sampled_from([VIP, OTHER]), st.sampled_from([ONE, TWO]), st.booleans()), max_size=60))
def test_who_is_answered_by_nobody_never_says_that_something_is_lost(calls: list[tuple[str, Announced, bool]]) -> None:
    """Whatever it calls, and whatever it had reached before its own link failed."""
    findings = Findings("eth1")
    for address, announced in ((VIP, ONE), (OTHER, TWO)):
        findings.begin(address, announced, [80, 443])
        findings.note_answered((address, 80), 1, 1)
    for address, announced, is_other_port in calls:
        port = findings.begin(address, announced, [80, 443])
        door = (address, 443 if is_other_port else port)
        other = findings.witness(door)
        if other is not None:
            findings.note_witness(other, answered=False)
        findings.note_unanswered(door, 5, is_witnessed=False)
        assert all(not word.lost for each in (VIP, OTHER) if (word := findings.word(each)))
