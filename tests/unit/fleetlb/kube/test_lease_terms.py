import dataclasses
import random

import msgspec
import pytest

from fleetlb.kube.lease_terms import (
    GENERATION,
    Action,
    Lease,
    LeaseMeta,
    LeaseSpec,
    Past,
    Verb,
    decide_lease,
    micro_time,
    new_lease,
    release_patch,
    term_patch,
)

EPOCH = 1_700_000_000
LAST = EPOCH + 41
"""The generation of the last term, unless a case says otherwise."""
NEW = Past()
CREATE, ACQUIRE, RENEW, WAIT = Verb.CREATE, Verb.ACQUIRE, Verb.RENEW, Verb.WAIT


def lease(holder: str | None, generation: object = LAST, duration: int | None = 15) -> Lease:
    annotations = {} if generation is None else {GENERATION: str(generation)}
    return Lease(
        metadata=LeaseMeta(name="l", namespace="ns", resource_version="7", annotations=annotations),
        spec=LeaseSpec(holder_identity=holder, lease_duration_seconds=duration, renew_time="t", lease_transitions=3),
    )


@dataclasses.dataclass(frozen=True)
class Case:
    lease: Lease | None
    expected: Action
    past: Past = NEW
    age: float = 0.0


CASES = {
    "no lease: create at the current time": Case(None, Action(CREATE, EPOCH)),
    "no lease, but terms of ours before": Case(None, Action(CREATE, EPOCH + 6), Past(tried=EPOCH + 5)),
    "deleted while held": Case(None, Action(CREATE, LAST + 1), Past(held=LAST, tried=LAST)),
    "released": Case(lease(""), Action(ACQUIRE, LAST + 1)),
    "never held": Case(lease(None), Action(ACQUIRE, LAST + 1)),
    "held by another, just seen": Case(lease("b"), Action(WAIT)),
    "held by another, almost expired": Case(lease("b"), Action(WAIT), age=14.9),
    "held by another, expired": Case(lease("b"), Action(ACQUIRE, LAST + 1), age=15.0),
    "the holder's duration counts": Case(lease("b", duration=60), Action(WAIT), age=59),
    "no duration stated, young": Case(lease("b", duration=None), Action(WAIT), age=14),
    "no duration stated, old": Case(lease("b", duration=None), Action(ACQUIRE, LAST + 1), age=15),
    "same identity after a restart": Case(lease("a"), Action(ACQUIRE, LAST + 1)),
    "ours": Case(lease("a"), Action(RENEW, LAST), Past(held=LAST, tried=LAST)),
    "ours, however old": Case(lease("a"), Action(RENEW, LAST), Past(held=LAST, tried=LAST), age=100),
    "ours, term given up meanwhile": Case(lease("a"), Action(ACQUIRE, LAST + 1), Past(tried=LAST)),
    "ours, the write's outcome was unknown": Case(
        lease("a", LAST + 1), Action(ACQUIRE, LAST + 2), Past(tried=LAST + 1)
    ),
    "a write that did not arrive": Case(lease("", LAST), Action(ACQUIRE, LAST + 2), Past(tried=LAST + 1)),
    "taken by another while held": Case(lease("b", LAST + 1), Action(WAIT), Past(held=LAST, tried=LAST)),
    "taken by a living namesake": Case(lease("a", LAST + 1), Action(WAIT), Past(held=LAST, tried=LAST)),
    "a namesake that died": Case(lease("a", LAST + 1), Action(ACQUIRE, LAST + 2), Past(tried=LAST), age=15),
    "generation lost": Case(lease("", None), Action(ACQUIRE, EPOCH + 1)),
    "generation lost while held": Case(lease("a", None), Action(ACQUIRE, LAST + 1), Past(held=LAST, tried=LAST)),
    "generation is nonsense": Case(lease("", "x" * 9), Action(ACQUIRE, EPOCH + 1)),
    "generation is not ours to believe": Case(lease("", "9" * 40), Action(ACQUIRE, EPOCH + 1)),
    "generation is negative": Case(lease("", "-5"), Action(ACQUIRE, EPOCH + 1)),
    "an older state of the lease": Case(lease("", EPOCH - 9), Action(ACQUIRE, EPOCH + 1)),
    "an older state, and a clock that is behind": Case(
        lease("", EPOCH - 9), Action(ACQUIRE, EPOCH + 78), Past(floor=EPOCH + 77)
    ),
    "no lease, and a clock that is behind": Case(None, Action(CREATE, EPOCH + 78), Past(floor=EPOCH + 77)),
    "generation was set back": Case(lease("", 3), Action(ACQUIRE, LAST + 1), Past(tried=LAST)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_decisions(case: Case) -> None:
    now = 1000.0
    action = decide_lease(case.lease, "a", case.past, observed_at=now - case.age, now=now, epoch_seconds=EPOCH)
    assert action == case.expected


def test_a_new_lease() -> None:
    made = new_lease("ns", "l", "a", Action(CREATE, 42), duration=15, epoch=0.5)
    assert msgspec.to_builtins(made) == {
        "metadata": {"name": "l", "namespace": "ns", "annotations": {GENERATION: "42"}},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "1970-01-01T00:00:00.500000Z",
            "renewTime": "1970-01-01T00:00:00.500000Z",
            "leaseTransitions": 0,
        },
    }


def test_patches_change_only_what_belongs_to_the_term() -> None:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": micro_time(0)}
    renewal = term_patch(lease("a"), "a", Action(RENEW, 41), duration=15, epoch=0)
    assert renewal == {"metadata": {"resourceVersion": "7"}, "spec": spec}
    takeover = term_patch(lease("b"), "a", Action(ACQUIRE, 42), duration=15, epoch=0)
    assert takeover == {
        "metadata": {"resourceVersion": "7", "annotations": {GENERATION: "42"}},
        "spec": {**spec, "acquireTime": micro_time(0), "leaseTransitions": 4},
    }
    assert release_patch(lease("a"), epoch=0) == {
        "metadata": {"resourceVersion": "7"},
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(0)},
    }


@pytest.mark.parametrize("seed", range(20))
def test_generations_only_grow_and_never_two_hold_the_same(seed: int) -> None:
    """Three candidates, restarts, deletions, lost writes, clocks that run: every won term has its own generation."""
    chance = random.Random(seed)
    now, wall, won = 0.0, float(EPOCH), [0]
    current: Lease | None = None
    pasts = {name: Past() for name in "abc"}
    observed: dict[str, tuple[object, float]] = {}
    for _ in range(400):
        step = chance.choice([0.1, 1.0, 6.0, 16.0])
        now, wall = now + step, wall + step
        name = chance.choice("abc")
        event = chance.random()
        if event < 0.05:
            pasts[name] = Past()
        elif event < 0.08:
            current = None
            now, wall = now + 60, wall + 60  # generations run ahead of the clock by no more terms than it has seconds
        beat = current.beat if current else None
        if observed.get(name, (None, 0.0))[0] != beat:
            observed[name] = (beat, now)
        action = decide_lease(
            current, name, pasts[name], observed_at=observed.get(name, (None, now))[1], now=now, epoch_seconds=int(wall)
        )
        if action.verb is WAIT:
            continue
        pasts[name] = Past(0, max(pasts[name].tried, action.generation))
        if chance.random() < 0.1:
            continue  # the write did not arrive
        if action.verb is not RENEW:
            assert action.generation > won[-1]
            won.append(action.generation)
        current = Lease(
            metadata=LeaseMeta(annotations={GENERATION: str(action.generation)}),
            spec=LeaseSpec(holder_identity=name, lease_duration_seconds=15, renew_time=micro_time(wall)),
        )
        if chance.random() > 0.1:  # else: it arrived, but the answer was lost
            pasts[name] = Past(action.generation, action.generation)
    assert len(won) > 20
