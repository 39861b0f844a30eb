from collections.abc import Iterable

import pytest
from prometheus_client import REGISTRY
from prometheus_client.samples import Exemplar

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.v1 import Hop
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.measuring import PROGRAMMING_SECONDS, Stopwatch

TRACE = f"00-{7:032x}-{7:016x}-01"
BEGAN = 1_800_000_000_000_000
PROGRAMMED = Outcome(state=State.PROGRAMMED, token=1)


class Clock:
    """Microseconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stopwatch(clock: Clock) -> Stopwatch:
    return Stopwatch(clock)


def told(metric: str) -> float:
    return REGISTRY.get_sample_value(metric) or 0.0


def timed(stopwatch: Stopwatch, hops: Iterable[tuple[str, int]], outcome: Outcome = PROGRAMMED) -> list[float]:
    """Seconds that an outcome had the histogram note. Hops: a name, and milliseconds since the process began."""
    name = "fleetlb_network_programming_duration_seconds"
    count, total = told(f"{name}_count"), told(f"{name}_sum")
    journey = Journey(TRACE, tuple(Hop(station, BEGAN + at * 1000) for station, at in hops))
    stopwatch.answered(outcome, Journey(TRACE, journey.hops[:-1]), journey)
    more = told(f"{name}_count") - count
    assert more in (0, 1)
    return [told(f"{name}_sum") - total] if more else []


def test_a_change_is_timed_from_its_sight_to_the_data_plane(stopwatch: Stopwatch) -> None:
    assert timed(stopwatch, [("watch", 10), ("claim", 20), ("acknowledge", 260)]) == [pytest.approx(0.25)]


def test_the_time_names_its_trace(stopwatch: Stopwatch) -> None:
    timed(stopwatch, [("watch", 0), ("acknowledge", 60_000)])
    samples = [sample for family in PROGRAMMING_SECONDS.collect() for sample in family.samples]
    exemplars: list[Exemplar] = [s.exemplar for s in samples if s.labels.get("le") == "120.0" and s.exemplar]
    assert [(exemplar.labels, exemplar.value) for exemplar in exemplars] == [({"trace_id": f"{7:032x}"}, 60.0)]


def test_clocks_that_disagree_give_no_time_below_zero(stopwatch: Stopwatch) -> None:
    assert timed(stopwatch, [("watch", 10), ("acknowledge", 5)]) == [0.0]


@pytest.mark.parametrize(
    "hops",
    [
        [("watch", -1), ("acknowledge", 10)],
        [("decide", 1), ("acknowledge", 10)],
        [("watch", 1), ("probe", 10)],
        [],
    ],
    ids=["from before the process", "nobody saw it", "it was programmed before", "no journey"],
)
def test_what_is_no_change_of_a_tenant_on_its_way_is_not_timed(
    stopwatch: Stopwatch, hops: list[tuple[str, int]]
) -> None:
    assert timed(stopwatch, hops) == []


@pytest.mark.parametrize("state", [State.REMOVED, State.REJECTED])
def test_only_what_is_served_is_timed(stopwatch: Stopwatch, state: State) -> None:
    assert timed(stopwatch, [("watch", 1), ("acknowledge", 2)], Outcome(state=state, token=1)) == []


def test_an_outcome_that_leads_nowhere_is_not_timed(stopwatch: Stopwatch) -> None:
    before = told("fleetlb_network_programming_duration_seconds_count")
    journey = Journey(TRACE, (Hop("watch", BEGAN), Hop("acknowledge", BEGAN)))
    stopwatch.answered(PROGRAMMED, journey, journey)
    assert told("fleetlb_network_programming_duration_seconds_count") == before


def test_a_data_plane_that_does_not_answer_is_seen(stopwatch: Stopwatch, clock: Clock) -> None:
    queued, last = "fleetlb_sync_last_queued_timestamp_seconds", "fleetlb_sync_last_timestamp_seconds"
    stopwatch.asked()
    clock.now += 2_000_000
    stopwatch.answered(PROGRAMMED, NOT_TRAVELLED, NOT_TRAVELLED)
    assert told(last) - told(queued) == 2
    clock.now += 500_000
    stopwatch.asked()
    assert told(queued) - told(last) == 0.5
