"""The supervisor of the local fleet, its verbs and its manners, with tiny processes instead of servers."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetlb_cli.local import leftovers
from fleetlb_cli.local.layout import Layout
from fleetlb_cli.local.processes import start_time

pytestmark = pytest.mark.integration

TINY_FLEET = Path(__file__).with_name("tiny_fleet.py")
FLEETLB = str(Path(sys.executable).parent / "fleetlb")
SLEEP = "import time; print('sleeping', flush=True); time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, lambda *a: print('asked', flush=True) or exit(0)); " + (
    "print('sleeping', flush=True); time.sleep(300)"
)


class Host:
    """One supervising process, and what it says."""

    def __init__(self, state: Path, *codes: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [sys.executable, str(TINY_FLEET), str(state), *codes], stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line)["text"])

    def hear(self, words: str, seconds: float = 20) -> str:
        """Wait for a line that holds the words."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if words in line:
                return line

    def environment(self) -> dict[str, Any]:
        """env.json."""
        content: dict[str, Any] = json.loads((self.state / "env.json").read_text())
        return content

    def pid(self, name: str) -> int:
        """The pid that env.json shows."""
        return int(self.environment()["processes"][name]["pid"])

    def end(self) -> None:
        """Whatever the test has left."""
        self.process.kill()
        self.process.wait()
        leftovers.clean(Layout(self.state))
        self._thread.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


StartHost = Callable[..., Host]


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[StartHost]:
    hosts: list[Host] = []

    def start(*codes: str) -> Host:
        hosts.append(Host(tmp_path / "state", *codes))
        return hosts[-1]

    yield start
    for host in hosts:
        host.end()


def verb(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLEETLB, "local", *words, "--state", str(host.state)], capture_output=True, text=True, timeout=50, check=False
    )


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    return start_time(pid) is not None


def test_a_crashed_process_starts_again_and_its_last_words_are_told(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}", f"b={SLEEP}")
    host.hear("ready")
    before, other = host.pid("a"), host.pid("b")
    log = Path(host.environment()["processes"]["a"]["log"])
    eventually(lambda: "sleeping" in log.read_text(), "a has said something")
    crashed = time.monotonic()
    os.kill(before, signal.SIGKILL)
    story = host.hear("a was ended by SIGKILL")
    assert "sleeping" in story
    assert "starting it again in 1 s" in story
    eventually(lambda: host.environment()["processes"]["a"]["pid"] not in (None, before), "a runs again")
    assert time.monotonic() - crashed >= 1
    assert is_alive(host.pid("a"))
    assert host.pid("b") == other


def test_delays_grow_while_it_keeps_crashing(start_host: StartHost, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    host = start_host(f"a=import os, time; time.sleep(300) if os.path.exists({str(gate)!r}) else exit(7)")
    host.hear("ready")
    gate.unlink()
    os.kill(host.pid("a"), signal.SIGKILL)
    host.hear("starting it again in 1 s")
    assert "a ended with exit code 7" in host.hear("starting it again in 2 s")
    assert host.environment()["processes"]["a"]["pid"] is None
    host.hear("starting it again in 4 s")
    gate.touch()
    assert verb(host, "start", "a").returncode == 0  # a verb does not wait for the delay
    assert is_alive(host.pid("a"))


def test_kill_returns_with_the_successor_running(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}")
    host.hear("ready")
    before = host.pid("a")
    assert verb(host, "kill", "a").returncode == 0
    assert not is_alive(before)
    assert host.pid("a") != before
    assert is_alive(host.pid("a"))


def test_stop_asks_politely_and_it_stays_down_until_start(start_host: StartHost) -> None:
    host = start_host(f"a={STUBBORN}")
    host.hear("ready")
    before = host.pid("a")
    log = Path(host.environment()["processes"]["a"]["log"])
    eventually(lambda: "sleeping" in log.read_text(), "a listens to signals")
    assert verb(host, "stop", "a").returncode == 0
    assert not is_alive(before)
    assert host.environment()["processes"]["a"]["pid"] is None
    assert log.read_text().endswith("asked\n")
    assert verb(host, "stop", "a").returncode == 0  # nothing to do
    refused = verb(host, "kill", "a")
    assert (refused.returncode, "not running" in refused.stderr) == (1, True)
    assert host.environment()["processes"]["a"]["pid"] is None
    assert verb(host, "start", "a").returncode == 0
    assert is_alive(host.pid("a"))
    assert verb(host, "start", "a").returncode == 0  # runs already


def test_restart_gives_a_new_process(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}", f"b={SLEEP}")
    host.hear("ready")
    before, other = host.pid("a"), host.pid("b")
    assert verb(host, "restart", "a").returncode == 0
    assert not is_alive(before)
    assert is_alive(host.pid("a"))
    assert host.pid("b") == other


def test_an_unknown_process_is_a_usage_error(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}")
    host.hear("ready")
    refused = verb(host, "kill", "c")
    assert refused.returncode == 2
    assert "there is no process 'c'; there are: a" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(start_host: StartHost, number: signal.Signals) -> None:
    host = start_host(f"a={SLEEP}", f"b={STUBBORN}")
    host.hear("ready")
    pids = [host.pid("a"), host.pid("b")]
    host.process.send_signal(number)
    assert host.process.wait(20) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert sorted(path.name for path in host.state.iterdir()) == ["lock", "logs"]


def test_down_stops_everything_and_says_when_nothing_runs(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}")
    host.hear("ready")
    pid = host.pid("a")
    assert verb(host, "down").returncode == 0
    assert not is_alive(pid)
    assert host.process.wait(5) == 0
    again = verb(host, "down")
    assert (again.returncode, "no fleet runs" in again.stdout) == (0, True)
    assert verb(host, "kill", "a").returncode == 1


def test_a_second_signal_insists(start_host: StartHost) -> None:
    host = start_host("a=import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(300)")
    host.hear("ready")
    pid = host.pid("a")
    eventually(lambda: "1" in (host.state / "logs" / "a.log").read_text(), "a ignores SIGTERM")
    host.process.send_signal(signal.SIGTERM)
    eventually(lambda: not (host.state / "env.json").exists(), "the first signal is handled")
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(10) == 128 + signal.SIGTERM
    eventually(lambda: not is_alive(pid), "a is dead")


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_cleans_up(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}")
    host.hear("ready")
    pid = host.pid("a")
    sockets = Path(json.loads((host.state / "running.json").read_text())["sockets"])
    assert sockets.is_dir()
    host.process.kill()
    host.process.wait()
    eventually(lambda: not is_alive(pid), "a died with its parent")
    assert verb(host, "restart", "a").returncode == 1
    again = start_host(f"a={SLEEP}")
    again.hear("cleaned 0")
    again.hear("ready")
    assert is_alive(again.pid("a"))
    assert not sockets.exists()


def test_processes_that_survived_a_crash_are_ended(start_host: StartHost, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.DEVNULL) as survivor:
        mark = [survivor.pid, start_time(survivor.pid)]
        named = {"pid": mark[0], "start_time": mark[1]}
        dead = {"pid": 2**22 + 1, "start_time": 1}
        record = {"supervisor": dead, "children": [named, dead], "sockets": str(tmp_path / "none")}
        (state / "running.json").write_text(json.dumps(record))
        host = start_host(f"a={SLEEP}")
        host.hear("cleaned 1")
        host.hear("ready")
        assert survivor.wait(10) == -signal.SIGKILL


def test_a_second_fleet_in_the_same_folder_is_refused(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}")
    host.hear("ready")
    for options in ([], ["--detach"]):
        refused = verb(host, "up", *options)
        assert refused.returncode == 1
        assert "already running" in refused.stdout + refused.stderr
    assert is_alive(host.pid("a"))


def test_a_failing_child_ends_the_start_with_its_last_words(start_host: StartHost) -> None:
    host = start_host(f"a={SLEEP}", "never-b=print('no such thing'); exit(4)")
    story = host.hear("error: ")
    assert "never-b ended with exit code 4" in story
    assert "no such thing" in story
    assert host.process.wait(20) == 1
    assert not (host.state / "env.json").exists()
    assert not (host.state / "running.json").exists()


def test_one_that_is_never_ready_ends_the_start_when_the_time_is_over(start_host: StartHost) -> None:
    host = start_host(f"never-a={SLEEP}")
    story = host.hear("error: not ready in time")
    assert "never-a" in story
    assert "sleeping" in story
    assert host.process.wait(20) == 1


def test_a_signal_during_the_start_ends_it(start_host: StartHost) -> None:
    host = start_host(f"never-a={SLEEP}")
    log = host.state / "logs" / "never-a.log"
    eventually(lambda: log.exists() and "sleeping" in log.read_text(), "it is starting")
    assert not (host.state / "env.json").exists()
    refused = verb(host, "kill", "never-a")
    assert (refused.returncode, "still starting" in refused.stderr) == (1, True)
    assert verb(host, "down").returncode == 0
    assert host.process.wait(20) == 0
