"""A fleet of tiny processes under the real supervisor: what `fleetlb local up` does, without its servers.

Usage: tiny_fleet.py STATE NAME=PYTHON...; each process is `python -c PYTHON`, ready as soon as it runs, or never if its
name begins with "never".
"""

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from fleetlb_cli.local import hosting, leftovers
from fleetlb_cli.local.detaching import News
from fleetlb_cli.local.layout import Layout, ProcessPlace
from fleetlb_cli.local.probes import Probe
from fleetlb_cli.local.processes import Program
from fleetlb_cli.local.supervisor import ChildFailedError, Supervisor

START_SECONDS = 5


class TinyEnvironment(msgspec.Struct):
    """The part of env.json that is about processes."""

    processes: dict[str, ProcessPlace]


class TinyFleet:
    """Starts every program at once."""

    def __init__(self, programs: list[Program], supervisor: Supervisor) -> None:
        self._programs = programs
        self._supervisor = supervisor

    @property
    def awaited(self) -> dict[str, Path]:
        """All of them."""
        return {program.name: program.log for program in self._programs}

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """One after the other."""
        for program in self._programs:
            await self._supervisor.launch(tasks, program)

    def stop_order(self) -> tuple[tuple[str, ...], ...]:
        """All together."""
        return ()

    def environment(self) -> TinyEnvironment:
        """Pids as of now."""
        known = self._supervisor.programs.items()
        return TinyEnvironment({name: ProcessPlace(pid=pid, log=str(each.log)) for name, (each, pid) in known})


def say(text: str) -> None:
    """One line that the test reads."""
    print(msgspec.json.encode(News(text=text)).decode(), flush=True)


def main(state: str, *codes: str) -> int:
    """Run until told to stop."""
    place = Layout(Path(state))
    pairs = [code.split("=", 1) for code in codes]
    programs = [
        Program(
            name=name,
            command=(sys.executable, "-c", code),
            log=place.log(name),
            environ=dict(os.environ),
            ready=Probe(url="http://127.0.0.1:1/") if name.startswith("never") else None,
        )
        for name, code in pairs
    ]
    with ExitStack() as stack:
        stack.enter_context(leftovers.locked(place))
        say(f"cleaned {leftovers.clean(place)}")
        sockets = stack.enter_context(hosting.private_sockets(os.environ))
        recorder = hosting.Recorder(place, sockets)
        stack.callback(recorder.remove)
        supervisor = Supervisor(changed=recorder.write, report=say)
        try:
            fleet = TinyFleet(programs, supervisor)
            hosting.supervise(fleet, supervisor, recorder, time.monotonic() + START_SECONDS, lambda: say("ready"))
        except ChildFailedError as problem:
            say(f"error: {problem}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
