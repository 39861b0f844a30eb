"""At most one node answers for a VIP, at every instant of every play, and one does once all is calm."""

import os

import pytest

from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb_dataplane_programmer.ownership.carriers import weight
from fleetlb_dataplane_programmer.ownership.electing import Ownership
from fleetlb_dataplane_programmer.ownership.living import Me
from tests.unit.fleetlb_dataplane_programmer.ownership.playing import ADDRESSES, LEASE, Play

SEEDS = range(20_000 if os.environ.get("FLEETLB_HISTORIES") == "soak" else 150)
STEPS = 2500


@pytest.mark.parametrize("seed", SEEDS)
def test_never_do_two_answer_and_one_does_in_the_end(seed: int) -> None:
    """P3 without any window, as long as clocks agree on how long a second is."""
    play = Play(seed)
    for _ in range(STEPS):
        play.step()
        for address in ADDRESSES:
            assert len(play.answering(address)) <= 1, (play.time, address, play.answering(address))
    play.calm_down()
    until = play.time + 12
    while play.time < until:
        play.step()
        for address in ADDRESSES:
            assert len(play.answering(address)) <= 1, (play.time, address, play.answering(address))
    for address in ADDRESSES:
        carry = [node for node in play.nodes if address in node.wanted]
        first = max(carry, key=lambda node: (not node.draining, weight(node.name, address)), default=None)
        assert play.answering(address) == ([first.name] if first else []), address


class Alone:
    """node-1, with words of others as it is given them. Time is in seconds, from 100."""

    def __init__(self, *others: str) -> None:
        self.me = Ownership(Me(node="node-1", group="default", run="a", lease=LEASE), 100.0)
        self.sequence = 0
        for name in others:
            self.hears(name, 100.0)

    def hears(self, name: str, now: float, *, read: int = 0, draining: bool = False) -> None:
        """A presence of another node."""
        self.sequence += 1
        word = NodePresent(
            node=name, group="default", epoch=1, run=name, number=self.sequence, lease_ms=1500, read=read,
            draining=draining,
        )  # fmt: skip
        self.me.take_present(self.sequence, word, now)

    def hears_carried(self, name: str, address: str) -> None:
        """Another node carries a VIP."""
        self.sequence += 1
        word = VipCarried(
            node=name, group="default", address=address, epoch=1, run=name, number=self.sequence, carried=True
        )
        self.me.take_carried(self.sequence, word)

    def reads_back(self, word: NodePresent, now: float) -> None:
        """A presence of its own."""
        self.sequence += 1
        self.me.take_present(self.sequence, word, now)

    def carries(self, address: str) -> None:
        """It carries a VIP, says so, and reads that."""
        self.me.carry(address)
        self.sequence += 1
        self.me.take_carried(self.sequence, self.me.word_on(address))

    def renews(self, now: float) -> None:
        """It sends a presence, and reads it at once."""
        self.me.settle(now)
        self.reads_back(self.me.presence(now), now)

    def owns(self, now: float) -> list[str]:
        """What it answers for after everything that was read."""
        self.me.settle(now)
        return list(self.me.owned)


def a_vip(first: str, second: str) -> str:
    """An address for which the first node comes before the second."""
    addresses = (f"10.0.0.{number}" for number in range(1, 255))
    return next(address for address in addresses if weight(first, address) > weight(second, address))


def test_nothing_is_answered_for_one_lease_after_the_start() -> None:
    alone = Alone()
    alone.carries("10.0.0.1")
    alone.renews(101.4)
    assert alone.owns(101.45) == []
    assert alone.owns(101.5) == ["10.0.0.1"]


def test_the_lease_ends_earlier_for_its_holder_than_for_the_others() -> None:
    alone = Alone()
    alone.renews(100.0)
    assert alone.me.living.holds(101.34)
    assert not alone.me.living.holds(101.36)


def test_who_is_dead_is_so_only_once_what_he_said_meanwhile_was_read() -> None:
    vip = a_vip("node-2", "node-1")
    alone = Alone()
    alone.carries(vip)
    alone.hears("node-2", 101.0)
    alone.hears_carried("node-2", vip)
    alone.renews(102.0)
    assert alone.owns(102.4) == []
    assert alone.owns(102.6) == []
    last = alone.me.presence(102.6)
    assert alone.owns(102.7) == []
    alone.reads_back(last, 102.7)
    assert alone.owns(102.7) == [vip]


def test_who_is_alive_after_all_stays_first() -> None:
    vip = a_vip("node-2", "node-1")
    alone = Alone()
    alone.carries(vip)
    alone.hears("node-2", 101.0)
    alone.hears_carried("node-2", vip)
    alone.renews(102.0)
    last = alone.me.presence(102.6)
    alone.hears("node-2", 102.65)
    alone.reads_back(last, 102.7)
    assert alone.owns(102.7) == []


def test_a_lease_that_ended_unnoticed_is_another_one() -> None:
    vip = a_vip("node-1", "node-2")
    alone = Alone("node-2")
    alone.hears_carried("node-2", vip)
    alone.carries(vip)
    alone.renews(101.5)
    alone.hears("node-2", 101.6, read=alone.sequence)
    assert alone.owns(101.7) == [vip]
    sent = alone.me.presence(102.8)
    alone.hears("node-2", 102.9, read=alone.sequence)
    alone.reads_back(sent, 103.0)
    assert alone.owns(103.0) == []
    alone.hears("node-2", 103.1, read=alone.sequence)
    assert alone.owns(103.1) == [vip]


def test_of_two_under_one_name_the_later_counts_while_it_lives() -> None:
    alone = Alone()
    alone.carries("10.0.0.1")
    alone.renews(101.5)
    assert alone.owns(101.6) == ["10.0.0.1"]
    stranger = NodePresent(node="node-1", group="default", epoch=9, run="b", number=1, lease_ms=1500)
    alone.me.take_present(alone.sequence + 1, stranger, 101.7)
    assert (alone.owns(101.7), alone.me.living.is_fenced) == ([], True)
    assert (alone.owns(103.3), alone.me.living.is_fenced, alone.me.living.epoch) == ([], False, 10)
    alone.renews(103.3)
    assert alone.owns(103.3) == ["10.0.0.1"]


def test_a_renewal_looks_at_no_vip() -> None:
    """O(change): of 1,000 VIPs none is looked at when nothing but time has passed."""
    alone = Alone("node-2")
    for number in range(1000):
        alone.carries(f"10.0.{number // 250}.{number % 250}")
    for now in (101.4, 101.6):
        alone.hears("node-2", now, read=alone.sequence)
        alone.renews(now)
    alone.owns(101.6)
    asked: list[str] = []
    said = alone.me.carriers.said
    alone.me.carriers.said = lambda address, node: asked.append(address) or said(address, node)  # type: ignore[method-assign, func-returns-value]
    alone.hears("node-2", 101.7, read=alone.sequence)
    alone.renews(101.8)
    alone.owns(101.8)
    assert asked == []
