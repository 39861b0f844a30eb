"""What befalls a group of nodes, by chance: failures, drains, bad links, and wishes that change. Pure: the same seed
makes the same schedule, and a schedule is one line that can be read back.

    weight/1 come/2 power-off@2/4 drain@1/0.5 hub-cut@3/2 mend@2/1

Each step has the node it concerns, if any, and the seconds until the next one. First some wishes change while all is
well, so that it shows what they alone do. Then anything happens that `Troubles` allows. Whoever plays it heals
everything in the end.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple, Self

NODES = (1, 2, 3)
FAILURES = (
    "power-off",
    "hang",
    "link-down",
    "hub-cut",
    "programmer-killed",
    "programmer-stopped",
    "bird-killed",
    "bird-stopped",
)
BAD_LINKS = ("lossy-lan", "lossy-hub")
"""The link between all nodes and those outside, and a node's own to the hub."""
WISHES = ("weight", "come", "go")
"""Real servers get other weights; VIPs come, and go."""
MAX_FAILING = 2
"""Nodes that fail at once: one is left that can be asked."""
CALM_STEPS = 3
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
_WISH_PAUSES = (2.0, 3.0)
"""A VIP that came and went between two looks at a kernel would not be seen to have been there."""
_SHARES = {"fail": 5, "mend": 4, "drain": 1, "undrain": 1, "lossy": 1, "clear": 1, "wish": 3}


class Step(NamedTuple):
    """One thing that happens."""

    word: str
    node: int = 0
    """0: none."""
    pause: float = 0.0
    """Seconds until the next step."""

    def __str__(self) -> str:
        return f"{self.word}{f'@{self.node}' if self.node else ''}/{self.pause:g}"


class Troubles(NamedTuple):
    """What is not as it should be. A node has one failure at a time; bad links and drains come on top of it."""

    failing: frozenset[int] = frozenset()
    bad_links: frozenset[int] = frozenset()
    """Of which nodes, to the hub; 0: the one to those outside."""
    draining: frozenset[int] = frozenset()
    is_come: bool = False
    """Whether the VIPs that come and go are there."""

    def allowed(self) -> dict[str, list[tuple[str, int]]]:
        """What may happen next, by kind: words, each with a node or 0."""
        can_fail = [node for node in NODES if node not in self.failing] if len(self.failing) < MAX_FAILING else []
        links = [("lossy-lan", 0), *(("lossy-hub", node) for node in NODES)]
        return {
            "fail": [(word, node) for node in can_fail for word in FAILURES],
            "mend": [("mend", node) for node in sorted(self.failing)],
            "drain": [("drain", node) for node in NODES if node not in self.draining],
            "undrain": [("undrain", node) for node in sorted(self.draining)],
            "lossy": [(word, node) for word, node in links if node not in self.bad_links],
            "clear": [("clear", node) for node in sorted(self.bad_links)],
            "wish": self.wishes(),
        }

    def wishes(self) -> list[tuple[str, int]]:
        """Those that may change."""
        return [("weight", 0), ("go" if self.is_come else "come", 0)]

    def after(self, step: Step) -> Self:
        """What is so after a step. Raises ValueError if it cannot happen now."""
        if not any((step.word, step.node) in each for each in self.allowed().values()):
            known = (*FAILURES, "mend", "drain", "undrain", *BAD_LINKS, "clear", *WISHES)
            rule = f"a node has one failure at a time, and at most {MAX_FAILING} fail at once"
            cure = rule if step.word in known else f"write one of {', '.join(known)}"
            raise ValueError(f"step {str(step)!r} cannot happen there: {cure}")
        node = {step.node}
        if step.word in FAILURES:
            return self._replace(failing=self.failing | node)
        if step.word in BAD_LINKS:
            return self._replace(bad_links=self.bad_links | node)
        match step.word:
            case "mend":
                return self._replace(failing=self.failing - node)
            case "clear":
                return self._replace(bad_links=self.bad_links - node)
            case "drain":
                return self._replace(draining=self.draining | node)
            case "undrain":
                return self._replace(draining=self.draining - node)
        return self if step.word == "weight" else self._replace(is_come=step.word == "come")


class Schedule(NamedTuple):
    """Steps in order."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.steps))

    @property
    def calm(self) -> tuple[Step, ...]:
        """The wishes that change before anything else happens."""
        return self.steps[: next((n for n, step in enumerate(self.steps) if step.word not in WISHES), None)]

    @property
    def rough(self) -> tuple[Step, ...]:
        """The other steps."""
        return self.steps[len(self.calm) :]


def schedule_of(seed: int, steps: int) -> Schedule:
    """That of a seed, with so many steps after the calm ones."""
    return Schedule(tuple(_steps(random.Random(seed), steps)))


def parse_schedule(text: str) -> Schedule:
    """The inverse of `str(schedule)`. Raises ValueError that names the step and the cure."""
    schedule, troubles = Schedule(tuple(map(_parse_step, text.split()))), Troubles()
    for step in schedule.steps:
        troubles = troubles.after(step)
    return schedule


def _steps(chance: random.Random, steps: int) -> Iterator[Step]:
    troubles = Troubles()
    for number in range(CALM_STEPS + steps):
        allowed = {"wish": troubles.wishes()} if number < CALM_STEPS else troubles.allowed()
        step = _one_of(chance, allowed)
        troubles = troubles.after(step)
        yield step


def _one_of(chance: random.Random, allowed: dict[str, list[tuple[str, int]]]) -> Step:
    kinds = [kind for kind, choices in allowed.items() if choices]
    [kind] = chance.choices(kinds, [_SHARES[kind] for kind in kinds])
    word, node = chance.choice(allowed[kind])
    return Step(word, node, chance.choice(_WISH_PAUSES if word in WISHES else _PAUSES))


def _parse_step(text: str) -> Step:
    what, _, pause = text.partition("/")
    word, _, node = what.partition("@")
    try:
        return Step(word, int(node or 0), float(pause or 0))
    except ValueError:
        raise ValueError(f"step {text!r} is not written WORD@NODE/SECONDS, such as hub-cut@2/1.5") from None
