"""Shows a fleet on a terminal, again and again, until somebody has seen enough."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console
from rich.live import Live

from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.rendering import Line, as_text
from fleetlb_cli.status.looking import Look
from fleetlb_cli.status.view import FleetView

Draw = Callable[[FleetView, str], list[Line]]
"""Lines for a fleet, and for why the last look at it failed (empty: it did not)."""


async def show_for_ever(console: Console, look: Look, draw: Draw, every: float) -> NoReturn:
    """Look every so many seconds. Raises FleetlbError if the first look fails; later ones are shown to have failed."""
    fleet = await look()
    with Live(as_text(draw(fleet, "")), console=console, screen=True, auto_refresh=False) as screen:
        while True:
            await asyncio.sleep(every)
            try:
                fleet, problem = await look(), ""
            except FleetlbError as met:
                problem = str(met)
            screen.update(as_text(draw(fleet, problem)), refresh=True)
