"""Carries `fleetlb audit` out, and shows what was found."""

import asyncio
import sys

import msgspec
from rich.console import Console

from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.answering import target_of
from fleetlb_cli.audit.running import Sight, audit_for_ever, audit_once
from fleetlb_cli.borrowing import run_until_signalled
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.whereabouts import BLIND, USAGE, WELL, WRONG, Whereabouts, complain


def answer(where: Whereabouts, settle: float, output: str, serve: str | None, every: float) -> int:
    """Returns the exit code."""
    set_up_logs("fleetlb-audit", LogLevel.WARNING, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = target_of(where)
        address = None if serve is None else _address(serve)
    except (ValueError, NoFleetError) as problem:
        return complain(str(problem), USAGE)
    try:
        if address is not None:
            return run_until_signalled(audit_for_ever(target, settle, every, address))
        sight = asyncio.run(audit_once(target, settle))
    except (FleetlbError, OSError) as problem:
        return complain(f"the fleet cannot be looked at: {problem}", BLIND)
    _show(sight, output)
    return WRONG if sight.findings else WELL


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
