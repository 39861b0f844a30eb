"""Random histories of a manager. A failure prints the one command that tells its history again."""

import os
import re
from collections.abc import Iterator

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers
from hypothesis.stateful import run_state_machine_as_test

from tests.random.machine import History
from tests.random.promises import REACHED

HISTORIES = {"few": 100, "test": 2_000, "soak": 100_000}
"""How many, by what FLEETLB_HISTORIES says; the one place for these numbers."""
STEPS = 100
SEED = "2"
"""Where nothing else is said, but for a soak: the same histories each time, so that no test fails by chance."""
ENOUGH = 1_000
"""So many reach every rare path; a failure among fewer is told as it is, which is quick."""
RARE = frozenset(
    {
        "a stale run went on",
        "an address was kept for another",
        "crash after an effect",
        "quarantine ended",
        "refused: AddressInUse",
        "refused: AddressNotAllowed",
        "refused: PoolExhausted",
        "refused: QuotaExceeded",
        "refused: SharingConflict",
        "joined",
        "left a shared address",
        "released",
        "served",
        "adopted",
        "a node refused what is older",
        "a node did not begin what came too late",
        "moved",
        "moved back",
    }
)
BLOB = re.compile(r"@reproduce_failure\('[^']*', (b'[^']*')\)")


@pytest.fixture(autouse=True)
def _same_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis also draws numbers that stand in the code: one more there would make every history another one."""
    monkeypatch.setattr(providers, "_get_local_constants", lambda: providers._local_constants)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """A million lines of log help nobody."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.timeout(0)
def test_promises_are_kept_whatever_happens() -> None:
    histories = HISTORIES[os.environ.get("FLEETLB_HISTORIES", "few")]
    told = os.environ.get("REPLAY", "")
    history = type("History", (History,), {})
    if told:
        hypothesis.reproduce_failure(hypothesis.__version__, told.encode())(history)
    elif seed := os.environ.get("SEED") or (SEED if histories < HISTORIES["soak"] else ""):
        hypothesis.seed(int(seed))(history)
    try:
        run_state_machine_as_test(history, settings=_settings(histories))
    except BaseException as problem:
        for found in BLOB.finditer("\n".join(getattr(problem, "__notes__", []))):
            problem.add_note(f"to see it again: make random REPLAY={found[1][2:-1]}")
        raise
    if histories >= ENOUGH and not told:
        assert not (missed := RARE - REACHED.keys()), f"never reached: {missed}"


def _settings(histories: int) -> settings:
    return settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if histories >= ENOUGH else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
