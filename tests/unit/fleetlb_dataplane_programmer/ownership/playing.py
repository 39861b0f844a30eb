"""Several nodes on one stream, in a time of its own, with everything that can go wrong between them.

Each node reads the stream in order and late, publishes words that come late, out of order, or never, is paused, cut
off, killed and begun anew, and has a clock that begins anywhere and runs too fast or too slow.
"""

import random
from collections.abc import Iterator

from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb_dataplane_programmer.ownership.electing import Ownership
from fleetlb_dataplane_programmer.ownership.living import Lease, Me

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
LEASE = Lease()
Word = NodePresent | VipCarried


class Stream:
    """Words in their order; of each subject the last is kept for who comes anew."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.life = 0

    def store(self, word: Word) -> None:
        self.words.append(word)

    def lose(self) -> None:
        self.words, self.life = [], self.life + 1

    def kept(self) -> Iterator[tuple[int, Word]]:
        last: dict[tuple[str, str], int] = {}
        for at, word in enumerate(self.words):
            last[word.node, word.address if isinstance(word, VipCarried) else ""] = at
        return ((at + 1, self.words[at]) for at in sorted(last.values()))


class Node:
    """A process on a node, and its clock."""

    def __init__(self, name: str, stream: Stream, chance: random.Random) -> None:
        self.name, self._stream, self._chance = name, stream, chance
        self._offset, self._rate = chance.uniform(-1e6, 1e6), chance.uniform(0.96, 1.04)
        self.wanted: set[str] = set()
        self.draining = False
        self.runs, self.is_paused, self.is_cut_off = True, False, False
        self.deaf_until = 0.0
        self.is_unlucky = True
        """Of its words some come late, or never."""
        self.under_way: list[tuple[float, int, Word]] = []
        self._lives = 0
        self.begin(0.0)

    def now(self, time: float) -> float:
        return self._offset + time * self._rate

    def begin(self, time: float) -> None:
        """Begin anew, at the words that the stream has kept."""
        self._lives += 1
        me = Me(node=self.name, group="default", run=f"{self.name}{self._lives}", lease=LEASE)
        self.ownership = Ownership(me, self.now(time))
        self._life, self._position, self._renew_at, self._is_joined = self._stream.life, 0, 0.0, False
        for address in sorted(self.wanted):
            self.ownership.carry(address)
        self.ownership.drain(self.draining)
        for sequence, word in self._stream.kept():
            self._take(sequence, word, time)
        self._position = len(self._stream.words)

    def answers(self, address: str, time: float) -> bool:
        """Whether a question that comes now is answered."""
        is_awake = self.runs and not self.is_paused
        return is_awake and address in self.ownership.owned and self.ownership.living.holds(self.now(time))

    def work(self, time: float, words: int) -> None:
        """Read some of what has come, do what follows, say what there is to say."""
        if not self.runs or self.is_paused:
            return
        if not self.is_cut_off:
            if self._life != self._stream.life:
                self.begin(time)
            for _ in range(words if time >= self.deaf_until else 0):
                if self._position < len(self._stream.words):
                    self._position += 1
                    self._take(self._position, self._stream.words[self._position - 1], time)
        self.ownership.settle(self.now(time))
        if not self.is_cut_off and self._position == len(self._stream.words):
            self._is_joined = True
        if self._is_joined:
            self._say(time)

    def change(self, address: str, carries: bool, time: float) -> None:
        """A virtual server came to be programmed, or is about to go."""
        (self.wanted.add if carries else self.wanted.discard)(address)
        (self.ownership.carry if carries else self.ownership.drop)(address)
        self.ownership.settle(self.now(time))

    def turn(self, draining: bool, time: float) -> None:
        """An operator drains it, or no more."""
        self.draining = draining
        self.ownership.drain(draining)
        self.ownership.settle(self.now(time))

    def _take(self, sequence: int, word: Word, time: float) -> None:
        if isinstance(word, NodePresent):
            self.ownership.take_present(sequence, word, self.now(time))
        else:
            self.ownership.take_carried(sequence, word)

    def _say(self, time: float) -> None:
        if self.ownership.living.is_fenced:
            return
        if self.now(time) >= self._renew_at or self.ownership.owes_word():
            self._renew_at = self.now(time) + LEASE.renewal
            self._publish(self.ownership.presence(self.now(time)), time)
        for address in ADDRESSES:
            is_under_way = any(isinstance(w, VipCarried) and w.address == address for _, _, w in self.under_way)
            if self.ownership.needs_word_on(address) and not is_under_way:
                self._publish(self.ownership.word_on(address), time)

    def _publish(self, word: Word, time: float) -> None:
        fate = self._chance.random() if self.is_unlucky else 1.0
        if self.is_cut_off or fate < 0.05:
            return
        delay = self._chance.uniform(0.3, 2.5) if fate < 0.1 else self._chance.uniform(0, 0.03)
        self.under_way.append((time + delay, self._stream.life, word))

    def arrive(self, time: float) -> None:
        """What this node has published, also before it died, is stored when its time has come."""
        due = [each for each in self.under_way if each[0] <= time]
        self.under_way = [each for each in self.under_way if each[0] > time]
        for _, life, word in sorted(due, key=lambda each: each[0]):
            if life == self._stream.life:
                self._stream.store(word)


class Play:
    """A group of nodes, a stream, and what chance does to them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stream, self.time = Stream(), 0.0
        self.nodes = [Node(f"node-{number}", self.stream, self.chance) for number in (1, 2, 3)]
        self.is_calm = False

    def step(self) -> None:
        """Some milliseconds pass, and something happens."""
        self.time += self.chance.choice((0.001, 0.01, 0.05))
        for node in self.nodes:
            node.arrive(self.time)
        if not self.is_calm and self.chance.random() < 0.05:
            self._happen(self.chance.choice(self.nodes))
        node = self.chance.choice(self.nodes)
        node.work(self.time, self.chance.choice((0, 1, 2, 50)) if not self.is_calm else 50)

    def answering(self, address: str) -> list[str]:
        """Who would answer a question of this very moment."""
        return [node.name for node in self.nodes if node.answers(address, self.time)]

    def calm_down(self) -> None:
        """From now on everybody lives and every word arrives."""
        self.is_calm = True
        for node in self.nodes:
            node.is_paused = node.is_cut_off = node.is_unlucky = False
            if not node.runs:
                node.runs = True
                node.begin(self.time)

    def _happen(self, node: Node) -> None:
        what = self.chance.random()
        if what < 0.35:
            address = self.chance.choice(ADDRESSES)
            if node.runs and not node.is_paused:
                node.change(address, address not in node.wanted, self.time)
        elif what < 0.5:
            node.is_paused = not node.is_paused
        elif what < 0.65:
            node.is_cut_off = not node.is_cut_off
        elif what < 0.8:
            node.runs = not node.runs
            if node.runs:
                node.is_paused = False
                node.begin(self.time)
        elif what < 0.9:
            if node.runs and not node.is_paused:
                node.turn(not node.draining, self.time)
        elif what < 0.98:
            node.deaf_until = self.time + self.chance.uniform(0.1, 2.0)
        else:
            self.stream.lose()
