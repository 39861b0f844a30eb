"""Usage is the kernel's word."""

import os
import time

from fleetlb_cli.bench.usage import Usage, cpu_between, usage_of


def test_this_process_has_memory_and_its_time_grows() -> None:
    before = usage_of(os.getpid())
    assert before.rss_bytes > 1_000_000
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert usage_of(os.getpid()).cpu_seconds > before.cpu_seconds


def test_only_processes_seen_twice_are_compared() -> None:
    before = {"a": Usage(1.0, 1), "gone": Usage(5.0, 1)}
    after = {"a": Usage(1.5, 1), "new": Usage(9.0, 1)}
    assert cpu_between(before, after) == {"a": 0.5}
