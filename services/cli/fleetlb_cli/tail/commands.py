"""`fleetlb tail`: the command. What it needs is imported when it is called: its options are told at once."""

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fleetlb_cli.whereabouts import HERE, Whereabouts

Kind = Literal[
    "observed",
    "allowed",
    "desired",
    "realized",
    "reported",
    "released",
    "resync",
    "renewal",
    "snapshot",
    "credentials",
    "parked",
    "marked",
    "plan",
    "events",
    "told",
]


def tail(
    *,
    where: Whereabouts = HERE,
    tenant: str = "",
    service: str | None = None,
    kind: Annotated[tuple[Kind, ...], Parameter(negative=())] = (),
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    output: Annotated[Literal["text", "json"], Parameter(name=("--output", "-o"))] = "text",
) -> int:
    """Follow the fleet's messages from now on, one line each. Ctrl-C ends it. Writes nothing.

    A line has the time of day (UTC) at which it was heard, the kind, the last station of the change, its trace id,
    whose it is and what it says. Exit codes: 0 ended by Ctrl-C or by the limit, 2 usage, 3 the fleet could not be
    looked at.

    Parameters
    ----------
    tenant
        Only of this tenant.
    service
        Only of this Service: [TENANT/]NAMESPACE/NAME.
    kind
        Only of this kind; may be repeated. Otherwise all but what is sent again and again though nothing happens.
    limit
        End after so many messages.
    output
        text, or json: one object a line.
    """
    from fleetlb_cli.tail.running import run

    return run(where, tenant, service, frozenset(kind), limit, output)
