"""Owned VIPs are answered for, others never, and their number costs nothing."""

import functools
import timeit

from fleetlb_dataplane_programmer.layer2.answering import Responder
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import arp, mac_of, packed, read_claim, solicitation

ALICE, OURS = "02:00:00:00:00:0a", mac_of("02:00:00:00:00:01")
QUESTIONS = {
    "10.77.0.1": arp("10.5.0.2", "10.77.0.1", ALICE),
    "fd77::1": solicitation("fe80::a", "fd77::1", ALICE),
}


def test_only_what_is_owned_is_answered_for() -> None:
    responder = Responder()
    for vip, question in QUESTIONS.items():
        assert responder.answer(question, OURS) is None
        assert responder.own(packed(vip))
        answer = responder.answer(question, OURS)
        assert answer is not None
        assert read_claim(answer).address == vip
        assert responder.disown(packed(vip))
        assert responder.answer(question, OURS) is None


def test_one_vip_answers_not_for_another() -> None:
    responder = Responder()
    responder.own(packed("10.77.0.2"))
    responder.own(packed("fd77::2"))
    for question in QUESTIONS.values():
        assert responder.answer(question, OURS) is None


def test_it_is_told_whether_something_changed() -> None:
    responder = Responder()
    assert [responder.own(b"1234"), responder.own(b"1234")] == [True, False]
    assert [responder.disown(b"1234"), responder.disown(b"1234")] == [True, False]


def test_what_is_no_question_gets_nothing() -> None:
    responder = Responder()
    responder.own(packed("10.77.0.1"))
    for frame in (b"", QUESTIONS["10.77.0.1"][:-1], bytes(60)):
        assert responder.answer(frame, OURS) is None


def test_an_answer_costs_the_same_however_many_are_owned() -> None:
    """With one look at each of 50,000 it would cost some thousand times as much, not some five."""
    costs = []
    for count in (1, 50_000):
        responder = Responder()
        for number in range(count):
            responder.own(packed("10.77.0.1") if not number else (0x0A780000 + number).to_bytes(4, "big"))
        ask = timeit.Timer(functools.partial(responder.answer, QUESTIONS["10.77.0.1"], OURS))
        costs.append(min(ask.repeat(20, 50)))
    assert costs[1] < 5 * costs[0]
