"""Looks at a fleet once, and shows it."""

from rich.console import Console

from fleetlb_cli.answering import answer
from fleetlb_cli.reaching import Target
from fleetlb_cli.rendering import as_lines, say
from fleetlb_cli.status.looking import looking
from fleetlb_cli.status.showing import page_of
from fleetlb_cli.whereabouts import WELL, WRONG, Output, Whereabouts

NAME = "fleetlb-status-command"


def run(where: Whereabouts, output: Output) -> int:
    """Returns the exit code."""

    async def work(target: Target) -> int:
        async with looking(target, NAME, where.system_namespace) as look:
            fleet = await look()
        say(Console(), as_lines(page_of(fleet), output))
        return WELL if fleet.serving else WRONG

    return answer(where, NAME, work)
