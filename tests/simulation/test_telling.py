"""A failure can be seen again: what is told leads back to it, and comes out the same."""

import subprocess
import sys

import pytest

from tests.simulation.__main__ import main
from tests.simulation.effects import Effect, Fate
from tests.simulation.playing import Played
from tests.simulation.telling import Case, parse_case, sentence


@pytest.mark.parametrize("case", [Case("deleted", 17, Fate.KILLED), Case("random", 3)], ids=str)
def test_the_same_case_has_the_same_effects(case: Case) -> None:
    first, second = case.play(), case.play()
    assert first.digest == second.digest
    assert first.effects == second.effects
    assert first.met


def test_another_seed_has_other_effects() -> None:
    assert Case("random", 1).play().digest != Case("random", 2).play().digest


def test_another_process_plays_the_same() -> None:
    """Under the hash seed of `make simulate`, where sets are walked in one order."""
    program = "from tests.simulation.telling import parse_case; print(parse_case('random:3').play().digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]
        for _ in range(2)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("case", [Case("edited", 0), Case("deleted", 17, Fate.UNANSWERED), Case("random", 3)], ids=str)
def test_a_case_is_found_again_by_its_name(case: Case) -> None:
    assert parse_case(str(case)) == case


@pytest.mark.parametrize("text", ["", "nothing:1", "edited:x", "edited:1:forgotten"])
def test_what_names_no_case_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(text) == 2
    assert "HISTORY:EFFECT:FATE" in capsys.readouterr().err


def test_a_case_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("edited:3:killed") == 0
    shown = capsys.readouterr().out
    assert "killed after effect 3" in shown
    assert "every promise is kept" in shown


def test_a_failure_names_its_command() -> None:
    played = Played((Effect(1, "manager", "POST", True, False),), "", ("manager killed after effect 1: POST",), ("A1",))
    told = sentence(Case("edited", 1, Fate.KILLED), played)
    assert "A1" in told
    assert told.endswith("make simulate REPLAY=edited:1:killed")
