"""`fleetlb status`: the command. What it needs is imported when it is called: its options are told at once."""

from typing import Annotated

from cyclopts import Parameter

from fleetlb_cli.whereabouts import HERE, Output, Whereabouts


def status(
    *,
    where: Whereabouts = HERE,
    output: Annotated[Output, Parameter(name=("--output", "-o"), help="table, wide, json, yaml or name.")] = "table",
) -> int:
    """Show the whole fleet on one screen, what is wrong with it, and what to look at next. Writes nothing.

    Exit codes: 0 nothing is wrong, 1 something is, 2 usage, 3 the management cluster could not be looked at.
    """
    from fleetlb_cli.status.running import run

    return run(where, output)
