"""What each command of `fleetlb restore` does, as an exit code."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Conflict
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.reaching import Target, connected, find_target
from fleetlb_cli.restore.carrying_out import carry_out, closed_leases, open_gate
from fleetlb_cli.restore.deciding import Course, decide
from fleetlb_cli.restore.gathering import look
from fleetlb_cli.restore.telling import as_lines
from fleetlb_cli.whereabouts import BLIND, USAGE, WELL, WRONG, Whereabouts, complain

IN_THE_WAY = WRONG
NAME = "fleetlb-restore"
PATIENCE_SECONDS = 15.0
"""So long for nodes to say what they serve, after NATS has lost it."""
TRIES = 20
"""A Lease is renewed all the time: it is read again as often."""


def show(where: Whereabouts) -> int:
    """What would be changed."""

    async def work(cluster: Cluster, bus: Bus) -> int:
        closed = await closed_leases(cluster, where.system_namespace)
        course = decide(await look(cluster, bus, PATIENCE_SECONDS))
        _say(*as_lines(closed, course))
        return IN_THE_WAY if course.obstacles else WELL

    return _run(work, where)


def accept(where: Whereabouts) -> int:
    """Change it, if nothing is in the way."""

    async def work(cluster: Cluster, bus: Bus) -> int:
        closed = await closed_leases(cluster, where.system_namespace)
        if not closed:
            _say("nothing waits to be accepted; nothing was changed")
            return WELL
        course = decide(await look(cluster, bus, PATIENCE_SECONDS))
        _say(*as_lines(closed, course))
        return IN_THE_WAY if course.obstacles else await _carry_on(cluster, course, where.system_namespace)

    return _run(work, where)


async def _carry_on(cluster: Cluster, course: Course, namespace: str) -> int:
    for step in course.steps:
        await carry_out(cluster, step)
    for _ in range(TRIES):
        try:
            for lease in await closed_leases(cluster, namespace):
                await open_gate(cluster, lease)
        except Conflict:
            continue
        _say("accepted: the manager and the status service act again within seconds")
        return WELL
    _say("the Leases are written by somebody all the time: try again")
    return IN_THE_WAY


def _run(work: Callable[[Cluster, Bus], Awaitable[int]], where: Whereabouts) -> int:
    set_up_logs(NAME, LogLevel.WARNING, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = find_target(where.kubeconfig, where.nats_url, where.nats_creds, where.state)
    except (ValueError, NoFleetError) as problem:
        return complain(str(problem), USAGE)
    try:
        return asyncio.run(_connected(work, target))
    except (FleetlbError, OSError) as problem:
        return complain(f"the fleet cannot be looked at, or changed meanwhile; nothing was opened: {problem}", BLIND)


async def _connected(work: Callable[[Cluster, Bus], Awaitable[int]], target: Target) -> int:
    async with connected(target, NAME) as (cluster, bus):
        return await work(cluster, bus)


def _say(*lines: str) -> None:
    for line in lines:
        print(line)
