"""Looks at a fleet once, or again and again."""

from rich.console import Console

from fleetlb_cli.answering import answer
from fleetlb_cli.reaching import Target
from fleetlb_cli.rendering import Line, as_lines, say
from fleetlb_cli.status.looking import looking
from fleetlb_cli.status.view import FleetView
from fleetlb_cli.top.live import show_for_ever
from fleetlb_cli.top.showing import By, page_of
from fleetlb_cli.whereabouts import WELL, Output, Whereabouts

NAME = "fleetlb-top"


def run(by: By, where: Whereabouts, *, once: bool, every: float, output: Output) -> int:
    """Returns the exit code. `every`: seconds."""
    console = Console()
    is_live = console.is_terminal and not once and output in ("table", "wide")

    def draw(fleet: FleetView, problem: str) -> list[Line]:
        return as_lines(page_of(fleet, by, problem), output)

    async def work(target: Target) -> int:
        async with looking(target, NAME, where.system_namespace) as look:
            if is_live:
                await show_for_ever(console, look, draw, every)
            say(console, draw(await look(), ""))
        return WELL

    return answer(where, NAME, work, interrupted=WELL)
