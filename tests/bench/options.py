"""`python -m tests.bench.options`: how long commands take to tell their options, beside a bare interpreter."""

import os
import statistics
import subprocess
import sys
import time

COMMANDS = ("", "why", "trace", "status", "plan", "top", "tail", "sysdump", "tenant", "audit", "restore", "local")
ROUNDS = 7


def main() -> int:
    """Prints medians; judges nothing, for that depends on the machine and on who else is at work there."""
    sys.stdout.write(f"median of {ROUNDS}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    sys.stdout.write(f"{'':<24}{'wall, ms':>10}{'CPU, ms':>10}\n")
    _tell("python -c pass", [sys.executable, "-c", "pass"])
    for command in COMMANDS:
        words = [command] if command else []
        _tell(" ".join(("fleetlb", *words, "--help")), [sys.executable, "-m", "fleetlb_cli", *words, "--help"])
    return 0


def _tell(name: str, command: list[str]) -> None:
    rounds = [_measured(command) for _ in range(ROUNDS)]
    wall, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    sys.stdout.write(f"{name:<24}{wall:>10.0f}{cpu:>10.0f}\n")


def _measured(command: list[str]) -> tuple[float, float]:
    """Milliseconds: by the clock, and of processor time."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall * 1000, used * 1000


if __name__ == "__main__":
    sys.exit(main())
