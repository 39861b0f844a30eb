"""`fleetlb local up --detach`: a supervisor of its own session, watched until it is ready or has failed.

The supervisor tells its progress as JSON lines through an inherited pipe. This module must not know what it starts.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import IO

import msgspec

from fleetlb_cli.local.layout import Layout
from fleetlb_cli.local.processes import last_lines


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line from the supervisor."""

    text: str = ""
    ready: bool = False
    failed: bool = False


class Teller:
    """The supervisor's end of the pipe; nobody listening any more is no reason to stop."""

    def __init__(self, descriptor: int) -> None:
        self._pipe: IO[bytes] | None = os.fdopen(descriptor, "wb", buffering=0)

    def tell(self, news: News) -> None:
        """Send one line while somebody listens."""
        if self._pipe is None:
            return
        try:
            self._pipe.write(msgspec.json.encode(news) + b"\n")
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """The last word has been said."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def detach(command: Sequence[str], place: Layout, report: Callable[[str], None]) -> int:
    """Start `command --report-to FD` and follow it until it is ready (0) or has ended (its own exit code)."""
    place.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    reading, writing = os.pipe()
    with place.supervisor_log.open("ab") as log:
        supervisor = subprocess.Popen(
            [*command, "--report-to", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(writing,),
        )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            last = _follow(pipe, report)
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        raise
    if last.ready:
        supervisor.returncode = 0  # it lives on by design: no warning that nobody waits for it
        return 0
    code = supervisor.wait()
    if not last.failed:  # it had no chance to say why
        report(f"the supervisor ended with exit code {code}; the end of {place.supervisor_log}:")
        report(last_lines(place.supervisor_log))
    return code if code > 0 else 1


def _follow(pipe: IO[bytes], report: Callable[[str], None]) -> News:
    """Pass on what is told, and return the last of it."""
    news = News()
    for line in pipe:
        news = msgspec.json.decode(line, type=News)
        if news.text:
            report(news.text)
    return news
