"""`fleetlb tail`: the command."""

import os
import sys
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fleetlb_cli.answering import HERE, USAGE, WELL, Whereabouts, answer, complain
from fleetlb_cli.naming import wanted_of
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.tail.choosing import Choice
from fleetlb_cli.tail.entries import as_json, as_line
from fleetlb_cli.tail.following import Listener, listening

NAME = "fleetlb-tail"
FORMS = {"text": as_line, "json": as_json}

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
    try:
        choice = Choice(tenant, wanted_of(service) if service is not None else None, frozenset(kind))
    except ValueError as problem:
        return complain(f"--service {problem}", USAGE)

    async def work(target: Target) -> int:
        async with connected(target, NAME) as (cluster, bus):
            bus.on_reconnect(lambda: _note("NATS was away; what was sent meanwhile is not shown"))
            async with listening(cluster, bus, choice) as listener:
                _note("following; Ctrl-C ends it")
                await _show(listener, limit, output)
        return WELL

    return answer(where, NAME, work, interrupted=WELL)


async def _show(listener: Listener, limit: int | None, output: str) -> None:
    """Until the limit, or until nobody reads any more what is printed."""
    shown = dropped = 0
    while limit is None or shown < limit:
        entry = await listener.next()
        try:
            print(FORMS[output](entry), flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
            return
        shown += 1
        if listener.dropped > dropped:
            _note(f"{listener.dropped - dropped} messages were not shown: they came faster than they were read")
            dropped = listener.dropped


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
