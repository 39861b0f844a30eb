"""The shared verdict, and patience with unsettled ones."""

import pytest

from fleetlb.testkit.load_balancers import ADDRESS, a_group, a_load_balancer, a_word
from fleetlb_status.judging import Judging, Patience
from fleetlb_status.memory import Key, Memory

KEY: Key = ("tenant-acme", "service-1")


@pytest.fixture
def judging() -> Judging:
    return Judging(Memory(lambda _: None))


def test_no_verdict_before_enough_is_known(judging: Judging) -> None:
    memory = judging.memory
    assert judging.judge(KEY) is None
    memory.set_load_balancer(a_load_balancer())
    assert judging.judge(KEY) is None
    memory.set_group(a_group())
    memory.complete_group("default")
    judged = judging.judge(KEY)
    assert judged is not None
    assert not judged.verdict.is_settled
    memory.fold_realized(a_word())
    judged = judging.judge(KEY)
    assert judged is not None
    assert judged.verdict.is_settled
    assert judged.nodes == ("node-1",)
    assert judged.balancer is memory.load_balancers[KEY]


def test_what_was_published_stays(judging: Judging) -> None:
    judging.memory.set_load_balancer(a_load_balancer())
    judging.memory.set_group(a_group())
    judging.memory.complete_group("default")
    judging.published[KEY] = (ADDRESS,)
    judged = judging.judge(KEY)
    assert judged is not None
    assert judged.verdict.addresses == (ADDRESS,)


def test_patience_ends_and_begins_anew_when_settled(judging: Judging) -> None:
    judging.memory.set_load_balancer(a_load_balancer())
    judging.memory.set_group(a_group())
    judging.memory.complete_group("default")
    unsettled = judging.judge(KEY)
    judging.memory.fold_realized(a_word())
    settled = judging.judge(KEY)
    assert unsettled is not None
    assert settled is not None
    now = 100.0
    patience = Patience(0.5, lambda: now)
    assert patience.left(KEY, unsettled.verdict) == 0.5
    now = 100.2
    assert patience.left(KEY, unsettled.verdict) == pytest.approx(0.3)
    now = 101.0
    assert patience.left(KEY, unsettled.verdict) == 0
    assert patience.left(KEY, settled.verdict) == 0
    assert patience.left(KEY, unsettled.verdict) == 0.5
    patience.exhaust(KEY)
    assert patience.left(KEY, unsettled.verdict) == 0
    patience.forget(KEY)
    assert patience.left(KEY, unsettled.verdict) == 0.5
    now = 102.0
    patience.clear()
    assert patience.left(KEY, unsettled.verdict) == 0.5
