"""Borrows a fleet and shows the demonstration on it."""

import asyncio
import time
from pathlib import Path

from rich.console import Console

from fleetlb_cli.borrowing import FleetFailed, borrowed_fleet, run_until_signalled
from fleetlb_cli.demo.running import Demonstration


def run(state: Path, tenants: str, *, once: bool) -> int:
    """Returns the exit code."""
    try:
        return run_until_signalled(_demo(once, state, tenants))
    except FleetFailed as problem:
        Console(stderr=True).print(str(problem))
        return 1


async def _demo(once: bool, state: Path, tenants: str) -> int:
    console = Console()
    begun = time.monotonic()
    async with borrowed_fleet(state, tenants) as environment:
        console.print(f"fleet ready after {time.monotonic() - begun:.1f} s")
        held = await Demonstration(environment, console, begun).run(str(state))
        console.print("every step was true" if held else "[red]not every step was true[/]")
        if not once:
            console.print("\nThe fleet stays up until Ctrl-C.")
            await asyncio.Event().wait()
    return 0 if held else 1
