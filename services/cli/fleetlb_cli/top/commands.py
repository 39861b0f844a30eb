"""`fleetlb top`: the command. What it needs is imported when it is called: its options are told at once."""

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fleetlb_cli.whereabouts import HERE, Output, Whereabouts

By = Literal["tenants", "groups", "nodes"]


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
    from fleetlb_cli.top.running import run

    return run(by, where, once=once, every=every, output=output)
