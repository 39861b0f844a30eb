"""A service that misbehaves on request; run as a process by test_process.py."""

import asyncio
import contextlib
import sys
from typing import Annotated

from fleetlb.runtime.process import Process, run
from fleetlb.runtime.settings import ProcessSettings, setting

STOP_SECONDS = 2.0


class Settings(ProcessSettings, frozen=True, kw_only=True):
    mode: Annotated[str, setting("what to do")]
    token: Annotated[str, setting("something secret", secret=True)] = "s3cret"


def say(text: str) -> None:
    print(text, flush=True)


async def forever(name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        say(f"cancelled {name}")


async def fail() -> None:
    raise ValueError("on purpose")


async def end() -> None:
    await asyncio.sleep(0)


async def hang() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def main(process: Process, settings: Settings) -> None:
    process.stack.callback(say, "closed first-opened")
    process.stack.callback(say, "closed last-opened")

    async def hook() -> None:
        say(f"hook ready={process.health.ready} stopping={process.stopping.is_set()}")

    async def bad_hook() -> None:
        raise ValueError("bad hook")

    process.on_stop(bad_hook)
    process.on_stop(hook)
    gate = process.health.gate("demo", "not there yet")
    if settings.mode in ("serve", "run-for-ever", "hang-in-hook", "stubborn"):
        gate.open()
    begin(process, settings.mode)
    if settings.mode == "run-for-ever":
        await forever("main")
    if settings.mode == "main-fails":
        raise ValueError("on purpose")
    say("set up")


def begin(process: Process, mode: str) -> None:
    if mode in ("serve", "task-fails"):
        process.spawn(forever("worker"), "worker")
    match mode:
        case "task-fails":
            process.spawn(fail(), "failing")
        case "task-ends":
            process.spawn(end(), "ending")
        case "hang-in-hook":
            process.on_stop(hang)
        case "stubborn":
            process.spawn(stubborn(), "stubborn")


def show(settings: Settings) -> int:
    print(f"mode is {settings.mode}")
    return 5


if __name__ == "__main__":
    sys.exit(run("demo", Settings, main, commands={"--show": show}, stop_seconds=STOP_SECONDS))
