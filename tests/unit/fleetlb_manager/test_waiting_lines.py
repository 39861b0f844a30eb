import random

from fleetlb.domain.addresses import Family
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.waiting_lines import (
    SLACK,
    WaitingLines,
    address_resource,
    pool_resource,
    quota_resource,
)
from tests.unit.fleetlb_manager.manager_world import a_key

POOL = pool_resource("default", Family.IPV4)
OTHER = pool_resource("other", Family.IPV4)


def test_the_oldest_is_called_first_and_once() -> None:
    lines = WaitingLines()
    lines.wait(a_key("young"), (POOL,), "2026-11-25T12:00:09Z")
    lines.wait(a_key("old"), (POOL,), "2026-11-25T12:00:01Z")
    lines.wait(a_key("old-too"), (POOL,), "2026-11-25T12:00:01Z")
    assert [lines.call(POOL) for _ in range(4)] == [a_key("old"), a_key("old-too"), a_key("young"), None]
    assert lines.waiting(POOL) == 3


def test_a_unit_is_kept_for_who_was_called_until_it_came_back() -> None:
    lines = WaitingLines()
    lines.wait(a_key("u1"), (POOL,), "t")
    assert lines.kept_from(a_key("new"), POOL) == 0
    lines.call(POOL)
    assert lines.kept_from(a_key("new"), POOL) == 1
    assert lines.kept_from(a_key("u1"), POOL) == 0
    assert lines.wait(a_key("u1"), (POOL,), "t") == []
    assert lines.kept_from(a_key("new"), POOL) == 0
    assert lines.call(POOL) == a_key("u1")


def test_who_is_refused_again_keeps_its_place() -> None:
    lines = WaitingLines()
    lines.wait(a_key("u1"), (POOL,), "t")
    lines.wait(a_key("u2"), (POOL,), "t")
    lines.call(POOL)
    lines.wait(a_key("u1"), (POOL,), "later")
    assert lines.call(POOL) == a_key("u1")
    assert lines.since(a_key("u1")) < lines.since(a_key("u2")) < lines.since(a_key("nobody"))


def test_leaving_tells_whose_unit_is_free_again() -> None:
    lines = WaitingLines()
    lines.wait(a_key("u1"), (POOL, OTHER), "t")
    lines.call(OTHER)
    assert lines.leave(a_key("u1")) == [OTHER]
    assert lines.leave(a_key("u1")) == []
    assert lines.call(POOL) is None
    assert lines.waiting(POOL) == 0


def test_waiting_for_something_else_gives_up_the_first() -> None:
    lines = WaitingLines()
    lines.wait(a_key("u1"), (POOL,), "t")
    lines.call(POOL)
    assert lines.wait(a_key("u1"), (quota_resource("acme"),), "t") == [POOL]
    assert lines.call(quota_resource("acme")) == a_key("u1")
    assert lines.call(address_resource("192.0.2.1")) is None


def test_a_line_stays_small_however_often_one_changes_its_mind() -> None:
    lines = WaitingLines()
    lines.wait(a_key("steady"), (POOL,), "t")
    for _ in range(20 * SLACK):
        lines.wait(a_key("fickle"), (POOL,), "t")
        lines.leave(a_key("fickle"))
    assert len(lines._lines[POOL].heap) <= 2 + SLACK + 1
    assert lines.call(POOL) == a_key("steady")


def test_random_histories_agree_with_a_sorted_list() -> None:
    chance = random.Random(7)
    lines = WaitingLines()
    waiting: dict[ServiceKey, int] = {}
    for number in range(3000):
        key = a_key(f"u{chance.randrange(40)}")
        act = chance.random()
        if act < 0.5:
            lines.wait(key, (POOL,), "t")
            waiting.setdefault(key, number)
        elif act < 0.7:
            lines.leave(key)
            waiting.pop(key, None)
        else:
            expected = min(waiting, key=lambda k: waiting[k]) if waiting else None
            called = lines.call(POOL)
            assert called == expected
            if called is not None:
                lines.leave(called)
                del waiting[called]


def test_all_who_wait_for_any_of_some_resources_are_known_the_oldest_first_and_called_or_not() -> None:
    lines = WaitingLines()
    lines.wait(a_key("young"), ["address/192.0.2.1"], "2026-11-25T12:00:03Z")
    lines.wait(a_key("old"), ["address/192.0.2.1", "sharing/acme/k"], "2026-11-25T12:00:01Z")
    lines.wait(a_key("other"), ["sharing/acme/k"], "2026-11-25T12:00:02Z")
    lines.wait(a_key("stranger"), ["pool/default/IPv4"], "2026-11-25T12:00:00Z")
    assert lines.call("address/192.0.2.1") == a_key("old")
    both = ["address/192.0.2.1", "sharing/acme/k", "sharing/acme/none"]
    assert [key.uid for key in lines.members(both)] == ["old", "other", "young"]
    assert lines.members([]) == []
