"""Runs a command that looks at a fleet, and says what was in its way: one place for all that only look."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.reaching import Target, find_target
from fleetlb_cli.whereabouts import BLIND, INTERRUPTED, USAGE, Whereabouts, complain

Work = Callable[[Target], Coroutine[Any, Any, int]]


def answer(where: Whereabouts, name: str, work: Work, *, interrupted: int = INTERRUPTED) -> int:
    """Run a command that looks at a fleet, under this name; its exit code, or that of what was in its way.

    `interrupted`: the exit code if somebody ends it with Ctrl-C.
    """
    set_up_logs(name, LogLevel.ERROR, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = target_of(where)
    except (ValueError, NoFleetError) as problem:
        return complain(str(problem), USAGE)
    try:
        return asyncio.run(work(target))
    except (FleetlbError, OSError) as problem:
        return complain(f"the fleet cannot be looked at: {problem}", BLIND)
    except KeyboardInterrupt:
        return interrupted


def target_of(where: Whereabouts) -> Target:
    """Where the fleet is. Raises ValueError or NoFleetError."""
    return find_target(where.kubeconfig, where.nats_url, where.nats_creds, where.state)
