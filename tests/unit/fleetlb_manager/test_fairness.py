from fleetlb_manager.fairness import Turns
from fleetlb_manager.identities import ServiceKey
from tests.unit.fleetlb_manager.manager_world import a_key


def test_one_tenants_flood_is_queued_in_shares() -> None:
    queue: list[ServiceKey] = []
    turns = Turns(queue.append, share=2)
    for number in range(5):
        turns.add(a_key(f"u{number}"))
    turns.add(a_key("u9", "globex"))
    assert queue == [a_key("u0"), a_key("u1"), a_key("u9", "globex")]
    assert turns.waiting() == 3
    turns.done(a_key("u0"))
    assert queue[-1] == a_key("u2")
    for uid in ("u1", "u2", "u3", "u4"):
        turns.done(a_key(uid))
    assert queue[-2:] == [a_key("u3"), a_key("u4")]
    assert turns.waiting() == 0


def test_who_is_queued_already_is_passed_on_at_once() -> None:
    queue: list[ServiceKey] = []
    turns = Turns(queue.append, share=1)
    turns.add(a_key("u1"))
    turns.add(a_key("u1"))
    turns.add(a_key("u2"))
    turns.add(a_key("u2"))
    assert queue == [a_key("u1"), a_key("u1")]
    turns.done(a_key("u1"))
    turns.done(a_key("u1"))
    turns.done(a_key("u2"))
    turns.done(a_key("u2"))
    assert queue == [a_key("u1"), a_key("u1"), a_key("u2")]


def test_nothing_is_lost_over_a_long_history() -> None:
    queue: list[ServiceKey] = []
    turns = Turns(queue.append, share=3)
    keys = [a_key(f"u{number}") for number in range(100)]
    for key in keys:
        turns.add(key)
    done = 0
    while done < len(queue):
        turns.done(queue[done])
        done += 1
    assert set(queue) == set(keys)
