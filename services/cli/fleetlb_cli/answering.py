"""Where a command finds the fleet, and what becomes of one that cannot look at it: one place for all that only look."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.reaching import Target, find_target

WELL, WRONG, USAGE, BLIND = 0, 1, 2, 3
INTERRUPTED = 130
SYSTEM_NAMESPACE = "fleetlb-system"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Options that say where the fleet is."""

    kubeconfig: Annotated[Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise.")] = None
    nats_url: Annotated[str | None, Parameter(help="Where the hub's NATS is.")] = None
    nats_creds: Annotated[
        Path | None, Parameter(help="Credentials file of the hub account; reading streams is enough.")
    ] = None
    state: Annotated[Path | None, Parameter(help="Folder of a local fleet, instead of the three above.")] = None
    system_namespace: Annotated[str, Parameter(help="Where the fleet's processes hold their Leases.")] = (
        SYSTEM_NAMESPACE
    )


HERE = Whereabouts()
Work = Callable[[Target], Coroutine[Any, Any, int]]


def answer(where: Whereabouts, name: str, work: Work, *, interrupted: int = INTERRUPTED) -> int:
    """Run a command that looks at a fleet, under this name; its exit code, or that of what was in its way.

    `interrupted`: the exit code if somebody ends it with Ctrl-C.
    """
    set_up_logs(name, LogLevel.ERROR, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = find_target(where.kubeconfig, where.nats_url, where.nats_creds, where.state)
    except (ValueError, NoFleetError) as problem:
        return complain(str(problem), USAGE)
    try:
        return asyncio.run(work(target))
    except (FleetlbError, OSError) as problem:
        return complain(f"the fleet cannot be looked at: {problem}", BLIND)
    except KeyboardInterrupt:
        return interrupted


def complain(text: str, code: int) -> int:
    """Say on standard error what went wrong; returns the exit code."""
    print(text, file=sys.stderr)
    return code
