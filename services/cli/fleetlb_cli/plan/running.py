"""Reads manifests, asks a fleet about them, and shows what it says."""

import sys
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.service_wishes import Selection
from fleetlb_cli.answering import answer
from fleetlb_cli.local.layout import NoFleetError, read_environment
from fleetlb_cli.plan.asking import Misasked, Whose, ask_about_pool, ask_about_services
from fleetlb_cli.plan.manifests import Written, read_manifests
from fleetlb_cli.plan.options import Form, Place, Watcher
from fleetlb_cli.plan.showing import page_of
from fleetlb_cli.plan.verdicts import ServiceVerdict, Verdicts
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.rendering import as_lines, say
from fleetlb_cli.whereabouts import USAGE, WELL, WRONG, Whereabouts, complain

NAME = "fleetlb-plan"


def run(file: str, place: Place, watcher: Watcher, where: Whereabouts, output: Form) -> int:
    """Returns the exit code."""
    try:
        written = read_manifests(_text_of(file), place.namespace)
    except (ValueError, OSError) as problem:
        return complain(f"{file}: {problem}" if isinstance(problem, ValueError) else str(problem), USAGE)
    if written.services and not place.tenant:
        return complain("--tenant: say whose Services they are", USAGE)
    try:
        ours = watcher.load_balancer_class or _class_of_local(where.state, place.tenant)
    except NoFleetError as problem:
        return complain(str(problem), USAGE)
    if place.tenant_kubeconfig is not None and not place.tenant_kubeconfig.is_file():
        return complain(f"--tenant-kubeconfig: there is no file {place.tenant_kubeconfig}", USAGE)
    whose = Whose(place.tenant, place.cluster, Selection(ours, watcher.dialect, watcher.service_label))

    async def work(target: Target) -> int:
        try:
            found = await _plan(target, written, whose, place.tenant_kubeconfig or target.tenants.get(place.tenant))
        except Misasked as problem:
            return complain(str(problem), USAGE)
        say(Console(), as_lines(page_of(found), output))
        return WELL if found.are_granted else WRONG

    return answer(where, NAME, work)


async def _plan(target: Target, written: Written, whose: Whose, kubeconfig: Path | None) -> Verdicts:
    services: list[ServiceVerdict] = []
    notes: list[str] = []
    async with connected(target, NAME) as (cluster, bus), AsyncExitStack() as stack:
        if written.services:
            if kubeconfig is not None:
                own = await Cluster.connect(kubeconfig, field_manager=NAME)
                stack.push_async_callback(own.close)
                whose = whose._replace(own=own)
            services, notes = await ask_about_services(cluster, bus, written.services, whose)
        pools = [await ask_about_pool(cluster, bus, pool) for pool in written.pools]
    return Verdicts(services=tuple(services), pools=tuple(pools), others=written.others, notes=tuple(notes))


def _text_of(file: str) -> str:
    """Raises ValueError and OSError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError("this is no text in UTF-8") from None


def _class_of_local(state: Path | None, tenant: str) -> str | None:
    """The class of a local fleet's watcher. Raises NoFleetError."""
    if state is None:
        return None
    found = read_environment(state.absolute()).tenants.get(tenant)
    return found.load_balancer_class if found is not None else None
