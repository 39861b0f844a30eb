"""What is tried out on a copy leaves no trace in the original, and what cannot be copied is an error."""

import collections
import enum
from typing import Any

import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.tenancy import Usage
from fleetlb_manager.forking import Fork
from fleetlb_manager.proposals import Proposals
from fleetlb_manager.usage import UsageLedger
from fleetlb_manager.waiting_lines import WaitingLines
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_world


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [1, {2}]}},
        collections.OrderedDict(a=[1]),
        collections.Counter("aab"),
        [{"x": Colour.RED, "y": Family.IPV4}, (1, "2", None)],
        {a_key(): a_claim()},
    ],
)
def test_a_copy_is_equal_and_shares_no_container(value: Any) -> None:
    copy = Fork().of(value)
    assert copy == value
    assert type(copy) is type(value)
    assert not _containers(copy) & _containers(value)


def _containers(value: Any) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*map(_containers, value.values()))
    if isinstance(value, list | set):
        return {id(value)}.union(*map(_containers, value))
    return set()


def test_what_is_frozen_is_shared() -> None:
    claim, key = a_claim(), a_key()
    copy = Fork().of({"claim": claim, "key": key})
    assert copy["claim"] is claim
    assert copy["key"] is key


def test_what_hangs_together_hangs_together_in_the_copy() -> None:
    """Claims keep the memory's own book, and a chooser asks the memory by a method of it."""
    world = a_world()
    fork = Fork(world.memory.observations)
    fork.replace(world.marks, by=None)
    memory, folding, chooser = fork.of(world.memory), fork.of(world.folding), fork.of(world.chooser)
    assert memory.claims._book is memory.book is not world.memory.book
    assert memory.observations is world.memory.observations
    assert folding._memory is memory
    assert folding._marks is None
    assert chooser._capabilities.__self__ is memory


def test_one_thing_in_two_places_is_one_thing_in_the_copy() -> None:
    shared: dict[str, int] = {}
    copy = Fork().of([shared, shared])
    assert copy[0] is copy[1]
    ring: list[Any] = []
    ring.append(ring)
    around = Fork().of({"ring": ring})
    assert around["ring"][0] is around["ring"]


def test_bookkeeping_goes_its_own_way() -> None:
    proposals, lines, usage = Proposals(), WaitingLines(), UsageLedger()
    lines.wait(a_key("u1"), ["pool/default/IPv4"], "2026")
    fork = Fork()
    fork.of(proposals).put(a_key(), ("192.0.2.1",), "k")
    fork.of(usage).reserve(a_key(), Usage(addresses=1))
    fork.of(lines).wait(a_key("u2"), ["pool/default/IPv4"], "2025")
    assert fork.of(lines).call("pool/default/IPv4") == a_key("u2")
    assert list(proposals.addresses()) == []
    assert usage.of("acme") == Usage()
    assert (lines.waiting("pool/default/IPv4"), lines.called("pool/default/IPv4")) == (1, 0)


@pytest.mark.parametrize("value", [object(), [object()], {"a": iter(())}, bytearray(b"x"), lambda: None, [print]])
def test_what_might_change_unseen_is_an_error(value: Any) -> None:
    if callable(value):
        assert Fork().of(value) is value  # a function holds no state of its own
        return
    with pytest.raises(TypeError, match="cannot be copied"):
        Fork().of(value)
