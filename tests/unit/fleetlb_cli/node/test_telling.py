"""Each step is told once, and telling ends with the last one or with patience."""

from collections.abc import Awaitable, Callable, Iterable

import pytest

from fleetlb_cli.node import telling
from fleetlb_cli.node.steps import Progress, Step
from fleetlb_cli.whereabouts import WELL, WRONG

ASKED, HEARD = Progress(Step.ASKED, "not yet"), Progress(Step.HEARD, "it did")
LAST = Progress(Step.EMPTY, "done", is_last=True)


def seeing(steps: Iterable[Progress]) -> Callable[[], Awaitable[Progress]]:
    each = iter(steps)

    async def look() -> Progress:
        return next(each)

    return look


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LOOK_SECONDS", 0.0)


async def test_each_step_is_told_once_until_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert await telling.tell_steps(seeing([ASKED, ASKED, HEARD, HEARD, LAST]), timeout=60.0) == WELL
    assert capsys.readouterr().out.splitlines() == ["asked: not yet", "heard: it did", "empty: done"]


async def test_who_runs_out_of_patience_learns_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert await telling.tell_steps(seeing([ASKED]), timeout=0.0) == WRONG
    told = capsys.readouterr()
    assert told.out.splitlines() == ["asked: not yet"]
    assert "not done after 0 s; it goes on: call again" in told.err
