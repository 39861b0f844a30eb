"""`fleetlb audit`: the command. What it needs is imported when it is called: its options are told at once."""

from typing import Annotated, Literal

from cyclopts import Parameter

from fleetlb_cli.whereabouts import HERE, Whereabouts


def audit(
    *,
    where: Whereabouts = HERE,
    settle: Annotated[float, Parameter(help="Seconds between the two looks.")] = 5.0,
    output: Annotated[Literal["text", "json"], Parameter(help="text or json.")] = "text",
    serve: Annotated[
        str | None, Parameter(help="HOST:PORT: go on for ever, and show the findings as metrics there.")
    ] = None,
    every: Annotated[float, Parameter(help="Seconds between audits then.")] = 60.0,
) -> int:
    """Check on a live fleet, from outside and without writing anything, what it promises.

    Looks twice and tells what was wrong both times. Exit codes: 0 nothing found, 1 something found, 2 usage, 3 the
    fleet could not be looked at.
    """
    from fleetlb_cli.audit.answering import answer

    return answer(where, settle, output, serve, every)
