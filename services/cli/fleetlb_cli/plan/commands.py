"""`fleetlb plan`: the command. What it needs is imported when it is called: its options are told at once."""

from typing import Annotated

from cyclopts import Parameter

from fleetlb_cli.plan.options import Form, Place, Watcher
from fleetlb_cli.whereabouts import HERE, Whereabouts

ANYWHERE, AS_USUAL = Place(), Watcher()


def plan(
    *,
    file: Annotated[
        str,
        Parameter(
            name=("--file", "-f"), help="Manifest of Services, AddressPools; - for stdin.", allow_leading_hyphen=True
        ),
    ],
    place: Place = ANYWHERE,
    watcher: Watcher = AS_USUAL,
    where: Whereabouts = HERE,
    output: Annotated[Form, Parameter(name=("--output", "-o"), help="table, json or yaml.")] = "table",
) -> int:
    """Tell what would become of manifests if they were applied now, by the fleet's own decisions. Writes nothing.

    Exit codes: 0 all would be granted, 1 something would be refused or is not ours, 2 usage, also a manifest that
    cannot be read, 3 the fleet could not be looked at.
    """
    from fleetlb_cli.plan.running import run

    return run(file, place, watcher, where, output)
