"""Which node calls a VIP of another: the one that would announce it next, and nobody while that is being settled."""

import pytest

from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb_dataplane_programmer.ownership.carriers import Carriers, weight
from fleetlb_dataplane_programmer.ownership.duties import Announced, to_be_called
from fleetlb_dataplane_programmer.ownership.living import Lease, Living, Me

VIP, TERM = "10.0.0.1", 1_799_990_000_000_000
FIRST, SECOND, THIRD = sorted(("node-1", "node-2", "node-3"), key=lambda node: weight(node, VIP), reverse=True)
LEASE = Lease(seconds=1.5, margin=0.15)
NOW = 100.0


def carriers(*announcing: str) -> Carriers:
    """All three carry the VIP, and these announce it."""
    found = Carriers()
    for number, node in enumerate((FIRST, SECOND, THIRD), start=1):
        said = {"epoch": 1, "run": "r", "number": number, "carried": True, "announced": node in announcing}
        word = VipCarried(node=node, group="g", address=VIP, since=TERM, **said)  # type: ignore[arg-type]
        found.take(number, word)
    return found


def living(me: str, *others: str, draining: tuple[str, ...] = (), silent: bool = False) -> Living:
    """A node that takes part, and has heard the others."""
    made = Living(Me(node=me, group="g", run="r", lease=LEASE), NOW - 10)
    made.drain(me in draining)
    for node in others:
        word = NodePresent(node=node, group="g", epoch=1, run="x", number=1, lease_ms=1500, draining=node in draining)
        made.take_other(word, NOW)
    made.settle(NOW)
    if not silent:
        made.take_own(9, made.presence(1, 8, NOW), NOW)
    made.settle(NOW)
    return made


def duty(me: str, found: Carriers | None = None, *, alive: tuple[str, ...] = (), **of: object) -> Announced | None:
    others = alive or tuple(node for node in (FIRST, SECOND, THIRD) if node != me)
    return to_be_called(me, VIP, found or carriers(FIRST), living(me, *others, **of), NOW)  # type: ignore[arg-type]


def test_the_next_one_calls_and_no_other() -> None:
    assert [duty(node) for node in (FIRST, SECOND, THIRD)] == [None, Announced(FIRST, TERM), None]


def test_when_the_next_one_is_dead_or_gives_way_another_calls() -> None:
    assert duty(THIRD, alive=(FIRST,)) == Announced(FIRST, TERM)
    assert duty(THIRD, draining=(SECOND,)) == Announced(FIRST, TERM)
    assert duty(SECOND, draining=(SECOND,)) is None
    assert duty(SECOND, draining=(SECOND, THIRD)) == Announced(FIRST, TERM)


@pytest.mark.parametrize(("announcing", "is_called"), [((FIRST,), True), ((FIRST, SECOND), False), ((), False)])
def test_it_is_called_only_at_the_one_that_announces_it(announcing: tuple[str, ...], is_called: bool) -> None:
    assert (duty(SECOND, carriers(*announcing)) is not None) is is_called


def test_who_announces_it_and_is_dead_is_not_called() -> None:
    assert duty(SECOND, alive=(THIRD,)) is None


def test_who_does_not_carry_it_or_takes_no_part_does_not_call() -> None:
    assert to_be_called("node-9", VIP, carriers(FIRST), living("node-9", FIRST, SECOND, THIRD), NOW) is None
    assert duty(SECOND, silent=True) is None
    assert to_be_called(SECOND, "10.0.0.2", carriers(FIRST), living(SECOND, FIRST, THIRD), NOW) is None
