"""`fleetlb sysdump`: the command. What it needs is imported when it is called: its options are told at once."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fleetlb_cli.whereabouts import HERE, Whereabouts


def sysdump(
    *,
    where: Whereabouts = HERE,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    http: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    settle: float = 5.0,
) -> int:
    """Write down what a fleet says of itself, for whoever is asked for help: objects, messages, metrics, findings.

    Secrets are not asked for, and whatever looks like one is taken out. Exit codes: 0 everything is in it, 1 something
    could not be had (problems.json in it says what), 2 usage, 3 the management cluster could not be looked at.

    Parameters
    ----------
    output
        The file, FILE.tar.gz, readable by you alone; otherwise fleetlb-sysdump-TIME.tar.gz.
    http
        http://HOST:PORT where a process shows /metrics, /healthz and /readyz; may be repeated. Those of a local fleet
        are known.
    settle
        Seconds between the two looks of the audit.
    """
    from fleetlb_cli.sysdump.running import run

    return run(where, output, http, settle)
