import pytest

from fleetlb.kube.errors import ApiError, Gone, Unavailable, Undecodable
from fleetlb.kube.pausing import Patience, Pause, Verdict


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [(1, 1.0, 0.2), (1, 0.0, 0.1), (2, 1.0, 0.4), (5, 1.0, 3.2), (9, 1.0, 10.0), (10_000, 1.0, 10.0), (9, 0.0, 5.0)],
)
def test_pauses_grow_to_a_cap_with_jitter(attempt: int, chance: float, seconds: float) -> None:
    assert Pause().seconds(attempt, chance) == pytest.approx(seconds)


def patience() -> Patience:
    return Patience(Pause(initial=1, cap=8), relist_after=3)


REFUSED = Unavailable("refused")
GONE = Gone("too old", status=410)
FORBIDDEN = ApiError("no", status=403)


def run(endings: list[tuple[ApiError | None, bool]]) -> list[Verdict]:
    counting = patience()
    return [counting.after(problem, progressed=progressed, chance=1.0) for problem, progressed in endings]


def test_a_watch_that_was_useful_is_opened_again_at_once() -> None:
    assert run([(None, True)] * 5) == [Verdict(0.0, False)] * 5


def test_empty_endings_are_spaced_out_and_lead_to_a_full_set() -> None:
    assert run([(None, False)] * 4) == [
        Verdict(1.0, False),
        Verdict(2.0, False),
        Verdict(4.0, True),
        Verdict(8.0, False),
    ]


@pytest.mark.parametrize("problem", [FORBIDDEN, Unavailable("x", status=500), Undecodable("x", status=200)])
def test_errors_from_a_living_server_lead_to_a_full_set_too(problem: ApiError) -> None:
    assert [v.relist for v in run([(problem, False)] * 3)] == [False, False, True]


@pytest.mark.parametrize("problem", [REFUSED, Unavailable("busy", status=503), Unavailable("busy", status=429)])
def test_an_absent_server_never_does(problem: ApiError) -> None:
    verdicts = run([(problem, False)] * 6)
    assert not any(v.relist for v in verdicts)
    assert [v.pause for v in verdicts] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_an_expired_version_is_given_up_at_once() -> None:
    assert run([(GONE, False)]) == [Verdict(0.0, True)]
    assert run([(GONE, True)]) == [Verdict(0.0, True)]


def test_but_not_in_a_hot_loop() -> None:
    assert run([(GONE, False)] * 3) == [Verdict(0.0, True), Verdict(2.0, True), Verdict(4.0, True)]


def test_progress_clears_the_count() -> None:
    verdicts = run([(None, False), (None, False), (None, True), (None, False), (None, False), (None, False)])
    assert [v.relist for v in verdicts] == [False, False, False, False, False, True]


def test_a_useful_watch_that_broke_still_gives_the_server_a_moment() -> None:
    assert run([(REFUSED, True)]) == [Verdict(1.0, False)]
