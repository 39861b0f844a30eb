"""Following a supervisor until it is ready or has failed."""

import os
import sys
from pathlib import Path

from fleetlb_cli.local.detaching import News, Teller, detach
from fleetlb_cli.local.layout import Layout

SUPERVISOR = "import os, sys, time; pipe = os.fdopen(int(sys.argv[-1]), 'w', buffering=1); "


def follow(tmp_path: Path, code: str) -> tuple[int, list[str]]:
    said: list[str] = []
    result = detach([sys.executable, "-c", SUPERVISOR + code], Layout(tmp_path), said.append)
    return result, said


def test_ready_is_success_though_it_runs_on(tmp_path: Path) -> None:
    news = """print('{"text": "one"}\\n{"ready": true}', file=pipe)"""
    code = f"{news}; pipe.close(); time.sleep(0.2)"
    assert follow(tmp_path, code) == (0, ["one"])


def test_its_exit_code_is_ours(tmp_path: Path) -> None:
    code = 'print(\'{"text": "error: x", "failed": true}\', file=pipe); sys.exit(2)'
    assert follow(tmp_path, code) == (2, ["error: x"])


def test_without_a_word_the_end_of_its_log_is_shown(tmp_path: Path) -> None:
    result, said = follow(tmp_path, "sys.exit('unforeseen')")
    assert result == 1
    assert "unforeseen" in "\n".join(said)


def test_nobody_listening_is_no_reason_to_stop() -> None:
    reading, writing = os.pipe()
    teller = Teller(writing)
    os.close(reading)
    teller.tell(News(text="one"))
    teller.tell(News(text="two"))
    teller.close()
