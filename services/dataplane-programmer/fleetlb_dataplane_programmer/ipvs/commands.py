"""Runs a program of the node's and gives back its output. Knows no program; the event loop goes on meanwhile."""

import asyncio
import os
from asyncio.subprocess import PIPE

from fleetlb.domain.errors import Transient

_SECONDS = 20.0
_ENVIRONMENT = {"LC_ALL": "C"}


class CommandFailed(Transient):
    """The text has the program's own words."""


class ProgramMissing(CommandFailed):
    """There is no program of this name."""


async def run(*command: str, stdin: str = "") -> bytes:
    """Standard output. It runs in the network namespace of the calling thread, and dies with the caller.

    Raises CommandFailed, also when it takes longer than 20 s: then nobody knows what it did.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=os.environ | _ENVIRONMENT
        )
    except FileNotFoundError:
        raise ProgramMissing(f"there is no program {command[0]}") from None
    except OSError as problem:
        raise CommandFailed(f"{command[0]} cannot be started: {problem}") from problem
    try:
        async with asyncio.timeout(_SECONDS):
            output, errors = await process.communicate(stdin.encode())
    except TimeoutError:
        raise CommandFailed(f"{command[0]} was not done after {_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        words = " ".join(errors.decode(errors="replace").split()) or f"exit status {process.returncode}"
        raise CommandFailed(f"{command[0]}: {words[:500]}")
    return output
