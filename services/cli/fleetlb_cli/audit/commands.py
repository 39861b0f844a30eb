"""`fleetlb audit`: the command, and where it finds the fleet."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.console import Console

from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.audit.running import Sight, audit_for_ever, audit_once
from fleetlb_cli.borrowing import run_until_signalled
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.reaching import find_target

NOTHING_FOUND, FOUND, USAGE, BLIND = 0, 1, 2, 3


def audit(
    *,
    kubeconfig: Annotated[Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise.")] = None,
    nats_url: Annotated[str | None, Parameter(help="Where the hub's NATS is.")] = None,
    nats_creds: Annotated[
        Path | None, Parameter(help="Credentials file of the hub account; reading streams is enough.")
    ] = None,
    state: Annotated[Path | None, Parameter(help="Folder of a local fleet, instead of the three above.")] = None,
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
    console = Console(stderr=True)
    set_up_logs("fleetlb-audit", LogLevel.WARNING, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = find_target(kubeconfig, nats_url, nats_creds, state)
        address = None if serve is None else _address(serve)
    except (ValueError, NoFleetError) as problem:
        console.print(str(problem), markup=False)
        return USAGE
    try:
        if address is not None:
            return run_until_signalled(audit_for_ever(target, settle, every, address))
        sight = asyncio.run(audit_once(target, settle))
    except (FleetlbError, OSError) as problem:
        console.print(f"the fleet cannot be looked at: {problem}", markup=False)
        return BLIND
    _show(sight, output)
    return FOUND if sight.findings else NOTHING_FOUND


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--serve {text[:80]}: write HOST:PORT, such as 127.0.0.1:9105")
    return host.strip("[]"), int(port)


def _show(sight: Sight, output: str) -> None:
    console = Console(soft_wrap=True)
    if output == "json":
        console.out(msgspec.json.format(msgspec.json.encode(sight), indent=2).decode(), highlight=False)
        return
    for finding in sight.findings:
        console.print(f"{finding.invariant}: {finding.about} {finding.text}", markup=False, highlight=False)
    looked = ", ".join(f"{count} {name}" for name, count in sight.looked_at.items())
    verdict = f"{len(sight.findings)} findings" if sight.findings else "nothing found"
    console.print(f"{verdict} ({looked}; checked {', '.join(sight.checked)})", markup=False, highlight=False)
