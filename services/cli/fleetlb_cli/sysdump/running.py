"""Collects what a fleet says of itself into one file."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.answering import answer
from fleetlb_cli.local.layout import read_environment
from fleetlb_cli.reaching import Hub, Target, hub
from fleetlb_cli.status.gathering import NATS_SECONDS, gather
from fleetlb_cli.status.view import FleetView
from fleetlb_cli.status.viewing import view_of
from fleetlb_cli.sysdump import hub_parts, secrecy
from fleetlb_cli.sysdump.packing import Archive, archive
from fleetlb_cli.sysdump.parts import Part, Problem, as_json
from fleetlb_cli.sysdump.process_parts import named_places, process_parts
from fleetlb_cli.sysdump.secrecy import Secrecy
from fleetlb_cli.whereabouts import USAGE, WELL, WRONG, Whereabouts, complain

NAME = "fleetlb-sysdump"


def run(where: Whereabouts, output: Path | None, http: tuple[str, ...], settle: float) -> int:
    """Returns the exit code. `settle`: seconds between the two looks of the audit."""
    path = output or Path(time.strftime("fleetlb-sysdump-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    try:
        places = named_places(http)
    except ValueError as problem:
        return complain(f"--http {problem}", USAGE)

    async def work(target: Target) -> int:
        found = {**_local_places(where.state), **places}
        with archive(path, _secrecy(target)) as into:
            async with _parts(target, where.system_namespace, settle) as of_hub:
                problems = await _collect([*of_hub, *process_parts(found)], into)
            into.add(as_json("problems.json", problems))
        for problem in problems:
            complain(f"not in it: {problem.part}: {problem.problem}", WRONG)
        print(path)
        return WRONG if problems else WELL

    return answer(where, NAME, work)


@asynccontextmanager
async def _parts(target: Target, namespace: str, settle: float) -> AsyncIterator[list[Part]]:
    """What is to be had of the hub, over connections for the block. Raises FleetlbError without an API server."""
    cluster = await Cluster.connect(target.kubeconfig, field_manager=NAME)
    try:
        await cluster.uid()
        async with hub(target, NAME) as link:
            yield await _of_hub(cluster, link, target, namespace, settle)
    finally:
        await cluster.close()


async def _of_hub(cluster: Cluster, link: Hub, target: Target, namespace: str, settle: float) -> list[Part]:
    async def look() -> FleetView:
        return view_of(await gather(cluster, link, target.nats_url, namespace))

    parts = [
        hub_parts.versions_part(cluster),
        *hub_parts.object_parts(cluster, namespace),
        hub_parts.status_part(look),
    ]
    bus = await link.bus(NATS_SECONDS)
    if bus is not None:
        parts += [hub_parts.streams_part(bus), hub_parts.audit_part(cluster, bus, target, settle)]
    else:
        parts += [hub_parts.missing_part(each, f"NATS: {link.problem}") for each in ("streams", "audit")]
    return parts


async def _collect(parts: list[Part], into: Archive) -> list[Problem]:
    """One part after the other, with a bar on a terminal; what cannot be had is noted."""
    problems = []
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=len(parts))
        for part in parts:
            progress.update(task, description=part.title)
            try:
                for file in await part.collect():
                    into.add(file)
            except (FleetlbError, OSError) as problem:
                problems.append(Problem(part.title, str(problem) or type(problem).__name__))
            progress.advance(task)
    return problems


def _local_places(state: Path | None) -> dict[str, str]:
    if state is None:
        return {}
    processes = read_environment(state.absolute()).processes
    return {name: process.http for name, process in processes.items() if process.http}


def _secrecy(target: Target) -> Secrecy:
    """With the secrets that this command is given itself."""
    known = [
        *secrecy.of_creds(_text(target.nats_creds)),
        *secrecy.of_kubeconfig(_text(target.kubeconfig)),
        *secrecy.of_environ(os.environ),
    ]
    return Secrecy(known)


def _text(path: Path) -> str:
    return path.read_text(errors="replace")
