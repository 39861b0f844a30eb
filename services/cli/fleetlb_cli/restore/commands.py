"""The commands of `fleetlb restore`.

Exit codes: 0 as asked; 1 something is in the way, and nothing was opened; 2 usage; 3 the fleet could not be looked at.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

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

app = App(name="restore", help="After the management cluster was put back to an older state.")

DONE, IN_THE_WAY, USAGE, BLIND = 0, 1, 2, 3
NAME = "fleetlb-restore"
PATIENCE_SECONDS = 15.0
"""So long for nodes to say what they serve, after NATS has lost it."""
TRIES = 20
"""A Lease is renewed all the time: it is read again as often."""

Kubeconfig = Annotated[Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise.")]
NatsUrl = Annotated[str | None, Parameter(help="Where the hub's NATS is.")]
NatsCreds = Annotated[Path | None, Parameter(help="Credentials file of the hub account.")]
State = Annotated[Path | None, Parameter(help="Folder of a local fleet, instead of the three above.")]
Namespace = Annotated[str, Parameter(help="Where the Leases of the manager and of the status service are.")]


@app.command
def show(
    *,
    kubeconfig: Kubeconfig = None,
    nats_url: NatsUrl = None,
    nats_creds: NatsCreds = None,
    state: State = None,
    system_namespace: Namespace = "fleetlb-system",
) -> int:
    """Tell whether a restore waits to be accepted, and what would be changed. Writes nothing."""

    async def work(cluster: Cluster, bus: Bus) -> int:
        closed = await closed_leases(cluster, system_namespace)
        course = decide(await look(cluster, bus, PATIENCE_SECONDS))
        _say(*as_lines(closed, course))
        return IN_THE_WAY if course.obstacles else DONE

    return _run(work, kubeconfig, nats_url, nats_creds, state)


@app.command
def accept(
    *,
    kubeconfig: Kubeconfig = None,
    nats_url: NatsUrl = None,
    nats_creds: NatsCreds = None,
    state: State = None,
    system_namespace: Namespace = "fleetlb-system",
) -> int:
    """Claim each address for whom balancer nodes serve it, then let the manager and the status service act again."""

    async def work(cluster: Cluster, bus: Bus) -> int:
        closed = await closed_leases(cluster, system_namespace)
        if not closed:
            _say("nothing waits to be accepted; nothing was changed")
            return DONE
        course = decide(await look(cluster, bus, PATIENCE_SECONDS))
        _say(*as_lines(closed, course))
        return IN_THE_WAY if course.obstacles else await _carry_on(cluster, course, system_namespace)

    return _run(work, kubeconfig, nats_url, nats_creds, state)


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
        return DONE
    _say("the Leases are written by somebody all the time: try again")
    return IN_THE_WAY


def _run(
    work: Callable[[Cluster, Bus], Awaitable[int]],
    kubeconfig: Path | None,
    nats_url: str | None,
    nats_creds: Path | None,
    state: Path | None,
) -> int:
    set_up_logs(NAME, LogLevel.WARNING, LogFormat.CONSOLE, to=sys.stderr)
    try:
        target = find_target(kubeconfig, nats_url, nats_creds, state)
    except (ValueError, NoFleetError) as problem:
        print(problem, file=sys.stderr)
        return USAGE
    try:
        return asyncio.run(_connected(work, target))
    except (FleetlbError, OSError) as problem:
        print(f"the fleet cannot be looked at, or changed meanwhile; nothing was opened: {problem}", file=sys.stderr)
        return BLIND


async def _connected(work: Callable[[Cluster, Bus], Awaitable[int]], target: Target) -> int:
    async with connected(target, NAME) as (cluster, bus):
        return await work(cluster, bus)


def _say(*lines: str) -> None:
    for line in lines:
        print(line)
