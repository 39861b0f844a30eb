"""`fleetlb status`: the command."""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from fleetlb_cli.answering import HERE, WELL, WRONG, Whereabouts, answer
from fleetlb_cli.reaching import Target
from fleetlb_cli.rendering import Output, as_lines, say
from fleetlb_cli.status.looking import looking
from fleetlb_cli.status.showing import page_of

NAME = "fleetlb-status-command"


def status(
    *,
    where: Whereabouts = HERE,
    output: Annotated[Output, Parameter(name=("--output", "-o"), help="table, wide, json, yaml or name.")] = "table",
) -> int:
    """Show the whole fleet on one screen, what is wrong with it, and what to look at next. Writes nothing.

    Exit codes: 0 nothing is wrong, 1 something is, 2 usage, 3 the management cluster could not be looked at.
    """

    async def work(target: Target) -> int:
        async with looking(target, NAME, where.system_namespace) as look:
            fleet = await look()
        say(Console(), as_lines(page_of(fleet), output))
        return WELL if fleet.serving else WRONG

    return answer(where, NAME, work)
