"""The life of a process is tested on real processes: exit codes, signals and standard output are its interface."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fleetlb

DEMO = Path(__file__).with_name("demo_service.py")
SECONDS = 15
STOP_SECONDS = 2.0
"""The demo's budget for an orderly end."""


class Child:
    """A running demo service and the lines that it has written."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        environ = {"PATH": os.defpath, "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0", **variables}
        self.process = subprocess.Popen(
            [sys.executable, DEMO, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        """Read lines until one holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not written: {self.lines}")

    def listening(self) -> str:
        """Where its pages are."""
        return str(json.loads(self.until("listening"))["http"][0])

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, rest of the output, errors."""
        out, err = self.process.communicate(timeout=SECONDS)
        self.lines += out.splitlines()
        return self.process.returncode, out, err


Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[Child] = []

    def begin(*arguments: str, **variables: str) -> Child:
        children.append(Child(*arguments, **variables))
        return children[-1]

    yield begin
    for child in children:
        child.process.kill()
        child.process.communicate()


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_sigterm_stops_in_order_with_exit_code_0(start: Start) -> None:
    child = start(FLEETLB_MODE="serve")
    child.until("set up")
    child.process.send_signal(signal.SIGTERM)
    code, _, _ = child.finish()
    assert code == 0
    order = ["stopping", "hook ready=False stopping=True", "cancelled worker", "closed last-opened", "closed first"]
    places = [next(number for number, line in enumerate(child.lines) if text in line) for text in order]
    assert places == sorted(places)
    assert any("a stop hook failed" in line for line in child.lines)
    assert json.loads(child.lines[-1])["msg"] == "stopped"


@pytest.mark.parametrize("mode", ["serve", "run-for-ever"])
def test_sigint_stops_too(start: Start, mode: str) -> None:
    child = start(FLEETLB_MODE=mode)
    child.listening()
    child.process.send_signal(signal.SIGINT)
    assert child.finish()[0] == 0


def test_pages_tell_alive_ready_and_metrics(start: Start) -> None:
    child = start(FLEETLB_MODE="serve")
    address = child.listening()
    child.until("set up")
    status, body = get(address, "/healthz")
    assert (status, json.loads(body)) == (
        200,
        {"service": "demo", "version": fleetlb.__version__, "pid": child.process.pid},
    )
    assert get(address, "/readyz")[0] == 200
    status, body = get(address, "/metrics")
    assert status == 200
    assert f'fleetlb_build_info{{service="demo",version="{fleetlb.__version__}"}} 1.0' in body


def test_a_closed_gate_is_told(start: Start) -> None:
    child = start(FLEETLB_MODE="wait")
    address = child.listening()
    child.until("set up")
    status, body = get(address, "/readyz")
    assert status == 503
    assert json.loads(body)["closed"] == [{"gate": "demo", "reason": "not there yet"}]


@pytest.mark.parametrize(
    ("mode", "told"),
    [("task-fails", "on purpose"), ("task-ends", "'ending' returned"), ("main-fails", "on purpose")],
)
def test_a_failure_ends_the_process_with_exit_code_1_and_its_reason(start: Start, mode: str, told: str) -> None:
    child = start(FLEETLB_MODE=mode)
    code, out, _ = child.finish()
    assert code == 1
    failed = [json.loads(line) for line in out.splitlines() if '"failed"' in line]
    assert told in failed[0]["problem"]
    assert "Traceback" in failed[0]["exception"]
    assert "closed first-opened" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(start: Start, number: signal.Signals, code: int) -> None:
    child = start(FLEETLB_MODE="hang-in-hook")
    child.until("set up")
    child.process.send_signal(signal.SIGTERM)
    child.until("hook ready=False")
    began = time.monotonic()
    child.process.send_signal(number)
    assert child.finish()[0] == code
    assert time.monotonic() - began < STOP_SECONDS / 2


def test_an_end_that_never_comes_is_forced_within_the_budget(start: Start) -> None:
    child = start(FLEETLB_MODE="stubborn")
    child.until("set up")
    began = time.monotonic()
    child.process.send_signal(signal.SIGTERM)
    code, out, _ = child.finish()
    assert code == 1
    assert "took too long" in out
    assert "stubborn" in out
    assert time.monotonic() - began < STOP_SECONDS + 3


def test_wrong_settings_are_told_all_at_once_with_exit_code_78(start: Start) -> None:
    child = start(FLEETLB_LOG_LEVEL="loud", FLEETLB_MOOD="good")
    code, out, err = child.finish()
    assert code == 78
    assert out == ""
    told = err.splitlines()
    assert len(told) == 3
    assert any("FLEETLB_MODE is not set" in line for line in told)
    assert any("FLEETLB_LOG_LEVEL='loud'" in line for line in told)
    assert any("FLEETLB_MOOD is no setting: did you mean FLEETLB_MODE?" in line for line in told)


def test_check_prints_the_settings_with_secrets_masked(start: Start) -> None:
    child = start("--check", FLEETLB_MODE="serve", FLEETLB_TOKEN="hunter2")
    code, out, _ = child.finish()
    assert code == 0
    shown = json.loads(out)
    assert (shown["mode"], shown["token"], shown["http_address"]) == ("serve", "***", "127.0.0.1:0")
    assert "hunter2" not in out


def test_check_fails_as_a_start_would(start: Start) -> None:
    code, out, err = start("--check").finish()
    assert (code, out) == (78, "")
    assert "FLEETLB_MODE is not set" in err


def test_version_needs_no_settings(start: Start) -> None:
    code, out, _ = start("--version").finish()
    assert (code, out.strip()) == (0, f"demo {fleetlb.__version__}")


@pytest.mark.parametrize("arguments", [["--what"], ["extra"], ["--check", "--show"], ["--chec"]])
def test_wrong_usage_is_exit_code_2(start: Start, arguments: list[str]) -> None:
    code, out, err = start(*arguments, FLEETLB_MODE="serve").finish()
    assert (code, out) == (2, "")
    assert "usage: demo" in err


def test_a_command_is_run_instead_of_the_service(start: Start) -> None:
    code, out, _ = start("--show", FLEETLB_MODE="serve").finish()
    assert (code, out.strip()) == (5, "mode is serve")


def test_a_taken_port_is_a_failure_with_its_reason(start: Start) -> None:
    address = start(FLEETLB_MODE="serve").listening()
    child = start(FLEETLB_MODE="serve", FLEETLB_HTTP_ADDRESS=address)
    code, out, _ = child.finish()
    assert code == 1
    assert "in use" in out


def test_an_idle_process_is_small_and_does_nothing(start: Start) -> None:
    child = start(FLEETLB_MODE="serve")
    child.until("set up")
    stat = Path(f"/proc/{child.process.pid}/stat")

    def ticks() -> int:
        fields = stat.read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    status = Path(f"/proc/{child.process.pid}/status").read_text()
    resident_kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident_kib < 60 * 1024
    before = ticks()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        time.sleep(0.1)
    assert (ticks() - before) / os.sysconf("SC_CLK_TCK") <= 0.01
