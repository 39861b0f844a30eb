"""`fleetlb hub init`."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.whereabouts import USAGE, WELL, complain

app = App(name="hub", help="Begin a hub.", help_format="plaintext")


@app.command
def init(
    folder: Annotated[Path, Parameter(help="Where its keys are kept; made if it is not there.")],
    /,
    *,
    name: Annotated[str, Parameter(help="What NATS' operator is called.")] = "fleetlb",
) -> int:
    """Make the keys of a new hub, its first users, and what its NATS server is told of them.

    Nothing that is there is changed, so it can be called again. Whoever has these files is the hub: keep the folder
    where nobody else can read it, and a backup of it elsewhere.
    """
    from fleetlb_cli.hub import keeping

    try:
        accounts = keeping.make_keys(folder, name, int(time.time()))
    except (FleetlbError, OSError) as problem:
        return complain(f"no keys were made: {problem}", USAGE)
    print(f"operator key  {accounts.operator_key}")
    print(f"hub account   {accounts.hub}")
    print(f"{folder / keeping.ACCOUNTS}: for nats-server, to be included in its configuration")
    print(f"{folder / keeping.SECRETS}: for the management cluster: kubectl apply -f {folder / keeping.SECRETS}")
    print(f"{folder / keeping.SEEDS}: the keys themselves; keep a backup, no process needs it")
    return WELL
