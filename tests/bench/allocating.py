"""What a choice and its return cost the book of addresses, the fuller it is, beside a bare two-level bitmap.

`python -m tests.bench.allocating` prints it. The bitmap knows no holder, no pool and no order of return: it is the
least that can find a free address. Both take and give addresses as texts, as claims spell them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fleetlb.domain.address_pools import AddressRange, number_of, parse_intervals, spell
from fleetlb.domain.addresses import Family, parse_address
from fleetlb.domain.allocation import AddressBook
from tests.bench.findings import Findings, Goal, Row, median, number, page
from tests.bench.yardstick import Yardstick

USED = (0, 1024, 16384, 65536)
"""Addresses held while it is measured, of twice as many."""
BATCH = 256
ROUNDS = 15
TIMES_BITMAP, FLAT = 3.0, 1.5
_FIRST = int(parse_address("10.0.0.0"))
_WORD, _WORDS = 256, 512


class Allocator(Protocol):
    """What is measured."""

    def take(self) -> str:
        """A free address, taken."""

    def give_back(self, address: str) -> None:
        """It is free again."""


class Bitmap:
    """131,072 addresses: a bit each that is 1 where it is free, and a bit for each word that has a free one."""

    def __init__(self) -> None:
        """All free."""
        self._words = [(1 << _WORD) - 1] * _WORDS
        self._some_free = (1 << _WORDS) - 1

    def take(self) -> str:
        """The lowest one."""
        at = (self._some_free & -self._some_free).bit_length() - 1
        word = self._words[at]
        lowest = word & -word
        self._words[at] = word = word ^ lowest
        if not word:
            self._some_free ^= 1 << at
        return spell(Family.IPV4, _FIRST + at * _WORD + lowest.bit_length() - 1)

    def give_back(self, address: str) -> None:
        """Set its bit."""
        at, bit = divmod(number_of(parse_address(address))[1] - _FIRST, _WORD)
        self._words[at] |= 1 << bit
        self._some_free |= 1 << at


class Book:
    """The book of the manager, with one pool."""

    def __init__(self, excluded: Sequence[str] = ()) -> None:
        """All free but what is excluded."""
        self._book = AddressBook()
        self._book.set_pool(AddressRange(name="p", intervals=parse_intervals(["10.0.0.0/15"], excluded)))

    def take(self) -> str:
        """The next one."""
        address = self._book.choose("p", Family.IPV4)
        assert address is not None
        assert self._book.take(address, "somebody", pool="p")
        return address

    def give_back(self, address: str) -> None:
        """Note it."""
        self._book.give_back(address)


_SINGLES = [f"10.0.{number}.255" for number in range(0, 256, 4)]
_MEASURED: dict[str, Callable[[], Allocator]] = {
    "two-level bitmap": Bitmap,
    "book": Book,
    "book, 64 addresses excluded": lambda: Book(_SINGLES),
}


def measure(used: Sequence[int], rounds: int, yardstick: Yardstick) -> Findings:
    """One at a time taken and given back, with so many others held."""
    rows: list[Row] = []
    samples: dict[str, list[float]] = {}
    best: dict[tuple[str, int], float] = {}
    for name, make in _MEASURED.items():
        allocator, held = make(), 0
        for wanted in used:
            while held < wanted:
                allocator.take()
                held += 1
            yardstick.wait_for_quiet()
            times = [_batch(allocator) for _ in range(rounds)]
            samples[f"{name}, {wanted} used"], best[name, wanted] = times, min(times)
            ratio = best[name, wanted] / best["two-level bitmap", wanted]
            rows.append((name, f"{wanted:,}", number(median(times) * 1e6), number(min(times) * 1e6), number(ratio)))
    return Findings(
        title="An address taken and given back",
        columns=("by", "others in use", "µs, median", "µs, best", "× bitmap, best"),
        rows=rows,
        goals=[goal for name in list(_MEASURED)[1:] for goal in _goals(name, used, best)],
        samples=samples,
    )


def _goals(name: str, used: Sequence[int], best: dict[tuple[str, int], float]) -> list[Goal]:
    worst = max(best[name, each] / best["two-level bitmap", each] for each in used)
    slope = max(best[name, each] for each in used) / min(best[name, each] for each in used)
    return [
        Goal(name=f"{name}, beside the bitmap", measured=worst, bound=TIMES_BITMAP, unit="×"),
        Goal(
            name=f"{name}, worst beside best of {used[0]:,} to {used[-1]:,} used", measured=slope, bound=FLAT, unit="×"
        ),
    ]


def _batch(allocator: Allocator) -> float:
    """Seconds for one address; a batch is held at a time, so that each finds what the one before left."""
    began = time.perf_counter()
    for address in [allocator.take() for _ in range(BATCH)]:
        allocator.give_back(address)
    return (time.perf_counter() - began) / BATCH


def main() -> int:
    """0 even where a goal falls short: the table says so."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.allocating", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: does it run at all?")
    rounds, patience = (2, 0.0) if parser.parse_args().quick else (ROUNDS, 60.0)
    yardstick = Yardstick(patience)
    sys.stdout.write(page([measure(USED, rounds, yardstick), yardstick.findings("")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
