"""Pure parts, and one child's life."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from fleetlb_cli.local import processes
from fleetlb_cli.local.processes import Child, Mark, Program

STAT = "1234 ({name}) {state} 1 " + " ".join(str(number) for number in range(5, 22)) + " 4711 0 0"


@pytest.mark.parametrize("name", ["sleep", "a b", "odd) R 1", "((("])
def test_the_start_time_is_found_behind_any_name(name: str) -> None:
    assert processes.parse_start_time(STAT.format(name=name, state="S")) == 4711


@pytest.mark.parametrize("state", ["Z", "X"])
def test_the_dead_have_no_start_time(state: str) -> None:
    assert processes.parse_start_time(STAT.format(name="x", state=state)) is None


def test_a_reused_pid_is_somebody_else() -> None:
    mine = processes.start_time(os.getpid())
    assert mine is not None
    assert processes.is_running(Mark(os.getpid(), mine))
    assert not processes.is_running(Mark(os.getpid(), mine - 1))
    assert not processes.end_leftover(Mark(os.getpid(), mine - 1))


def program(tmp_path: Path, code: str) -> Program:
    return Program(name="tiny", command=(sys.executable, "-c", code), log=tmp_path / "logs" / "tiny.log")


async def test_output_goes_to_the_log_and_the_exit_code_is_told(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert await child.exited() == 3
    assert sorted(processes.last_lines(child.program.log).split()) == ["err", "out"]


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = Child(msgspec.structs.replace(program(tmp_path, code), grace=0.1))
    while not processes.last_lines(child.program.log):
        assert child.exit_code is None
    await child.stop()
    assert child.exit_code == -9


def test_a_leftover_is_ended(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "import time; time.sleep(60)"))
    assert processes.end_leftover(child.mark)
    child.stop_now()
    assert not processes.is_running(child.mark)


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert processes.last_lines(log, 2) == "line 99998\nline 99999"
    assert "no log" in processes.last_lines(tmp_path / "none")
