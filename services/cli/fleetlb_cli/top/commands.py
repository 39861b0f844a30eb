"""`fleetlb top`: the command."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from fleetlb_cli.answering import HERE, WELL, Whereabouts, answer
from fleetlb_cli.reaching import Target
from fleetlb_cli.rendering import Line, Output, as_lines, say
from fleetlb_cli.status.looking import looking
from fleetlb_cli.status.view import FleetView
from fleetlb_cli.top.live import show_for_ever
from fleetlb_cli.top.showing import By, page_of

NAME = "fleetlb-top"


def top(
    by: By = "tenants",
    /,
    *,
    where: Whereabouts = HERE,
    once: Annotated[bool, Parameter(negative=())] = False,
    every: Annotated[float, Parameter(validator=Number(gte=0.5))] = 2.0,
    output: Annotated[Output, Parameter(name=("--output", "-o"))] = "table",
) -> int:
    """Watch tenants, balancer groups or balancer nodes live, those with most first. Ctrl-C ends it. Writes nothing.

    Exit codes: 0 shown, or ended by Ctrl-C, 2 usage, 3 the management cluster could not be looked at.

    Parameters
    ----------
    by
        tenants, groups or nodes.
    once
        Show it once and end, as happens anyway where there is no terminal.
    every
        Seconds from one look to the next.
    output
        table or wide; and with --once also json, yaml and name.
    """
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
