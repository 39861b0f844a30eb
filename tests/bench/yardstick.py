"""How quiet the machine is: one fixed piece of work, timed again and again; its times say what others took."""

import os
import threading
import time
import timeit

from tests.bench.findings import Findings, median, number, quantile

QUIET = 1.25
"""Times the best one that still counts as quiet."""
_STEPS, _CALLS = 100_000, 1_000
_FIRST_SECONDS = 0.5
_PAUSE_SECONDS = 0.1


_LOCK = threading.Lock()


def _lock_once() -> None:
    with _LOCK:
        pass


class Yardstick:
    """Waits for quiet before a measurement, but not for ever."""

    def __init__(self, patience_seconds: float) -> None:
        """`patience_seconds`: for all waiting together."""
        self._patience = patience_seconds
        self.samples: list[float] = []
        self._waits = self._in_vain = 0
        until = time.perf_counter() + _FIRST_SECONDS
        while time.perf_counter() < until:
            self._measure()

    def wait_for_quiet(self) -> None:
        """Return when the machine seems to be ours, or patience is at its end."""
        self._waits += 1
        began = time.perf_counter()
        while self._measure() > QUIET * min(self.samples):
            if self._patience <= time.perf_counter() - began:
                self._in_vain += 1
                break
            time.sleep(_PAUSE_SECONDS)
        self._patience -= time.perf_counter() - began

    def findings(self, load: str) -> Findings:
        """What others took; `load` is what the host said of itself."""
        best = min(self.samples)
        row = (
            number(best * 1000),
            *(number(quantile(self.samples, share) / best) for share in (0.5, 0.9, 1.0)),
            number(min(timeit.repeat(os.getppid, number=_CALLS)) / _CALLS * 1e6),
            number(min(timeit.repeat(_lock_once, number=_CALLS)) / _CALLS * 1e6),
        )
        return Findings(
            title="The machine meanwhile",
            columns=(
                "a fixed piece of work, best (ms)",
                "median × best",
                "p90 × best",
                "worst × best",
                "a system call (µs)",
                "a lock (µs)",
            ),
            rows=[row],
            notes=[
                f"Load of the host as this began: {load or 'not known'}."
                f" Of {self._waits} measurements {self._in_vain} began although it was not quiet"
                f" (more than {QUIET} × best)."
            ],
            samples={"yardstick": self.samples},
        )

    @property
    def slowdown(self) -> float:
        """Times the best that the middle one took."""
        return median(self.samples) / min(self.samples)

    def _measure(self) -> float:
        """Arithmetic and system calls: the two things that are slow for different reasons."""
        began = time.perf_counter()
        total = 0
        for step in range(_STEPS):
            total += step
        for _ in range(_CALLS):
            os.getppid()
        self.samples.append(time.perf_counter() - began)
        return self.samples[-1]
