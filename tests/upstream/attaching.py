"""A cluster attached to a fleet for as long as something is shown on it: untouched before, untouched after.

Must not know what is shown.
"""

import asyncio
import datetime
import shutil
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleetlb_cli.borrowing import FleetFailed, borrowed_fleet, run_until_signalled
from fleetlb_cli.local import leftovers
from fleetlb_cli.local.layout import Layout
from tests.upstream import order as orders
from tests.upstream import page
from tests.upstream.admitting import NAMESPACE, AdmissionError, Kubectl, admit, dismiss, held_services, is_admitted
from tests.upstream.order import Attachment, covering

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance-upstream.md"
TENANT = "upstream"
RELEASE_SECONDS = 180.0
"""Of a namespace's objects its pods go first, each after its time of grace; some of the suite's have a minute."""


def attempt(work: Coroutine[Any, Any, int]) -> int:
    """The exit code of a command that attaches a cluster."""
    code = 1
    try:
        code = run_until_signalled(work)
    except* (AdmissionError, FleetFailed, OSError) as problems:
        fail("\n".join(map(str, problems.exceptions)), code)
    return code


@asynccontextmanager
async def attached(order: Attachment, kubectl: Kubectl) -> AsyncIterator[list[Any]]:
    """Everything from an untouched cluster to an untouched cluster; its Nodes. The order's folder is new and empty."""
    fleet = order.folder / "fleet"
    _clear(order.folder, fleet)
    order.folder.mkdir(parents=True)
    nodes = kubectl.read("get", "nodes")["items"]
    async with _admitted(kubectl, order.folder / "watcher.kubeconfig") as kubeconfig:
        options = ["--attach", f"{TENANT}={kubeconfig}", "--engine", order.engine.value]
        options += ["--forwarding", order.forwarding.value]
        options += [word for cidr in covering(addresses(nodes)) for word in ("--node-cidr", f"{TENANT}={cidr}")]
        options += [word for cidr in _pods(order, nodes) for word in ("--pod-cidr", f"{TENANT}={cidr}")]
        options += [word for cidr in order.ranges for word in ("--pool-cidr", cidr)]
        async with borrowed_fleet(fleet, TENANT, *options):
            try:
                yield nodes
            finally:
                await _until_released(kubectl)


def facts(order: Attachment, kubectl: Kubectl, nodes: list[Any]) -> dict[str, str]:
    """What a table says of the run behind it."""
    return {
        "Kubernetes": kubectl.read("version")["serverVersion"]["gitVersion"],
        "nodes": str(len(nodes)),
        "engine": order.engine.value,
        "forwarding": order.forwarding.value,
        "backends": "pods" if order.pods else "node ports",
        "on": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    }


def publish(order: Attachment, text: str, is_whole: bool) -> None:
    """Keep and print a section; a whole one takes the place of its former self in the page."""
    (order.folder / "section.md").write_text(text + "\n")
    say(text)
    if is_whole and (after := page.replaced(PAGE.read_text(), order.name, text)) is not None:
        try:
            PAGE.write_text(after)
        except OSError as problem:
            say(f"the table is not in the page: {problem}")


def addresses(nodes: list[Any]) -> list[str]:
    """Every node's InternalIPs."""
    given = [entry for node in nodes for entry in node["status"].get("addresses", [])]
    found = [entry["address"] for entry in given if entry["type"] == "InternalIP"]
    if not found:
        raise AdmissionError("the cluster has no Node with an InternalIP: is it the right kubeconfig?")
    return found


@asynccontextmanager
async def _admitted(kubectl: Kubectl, kubeconfig: Path) -> AsyncIterator[Path]:
    """The watcher's account in the cluster, for as long as it is attached."""
    if await asyncio.to_thread(is_admitted, kubectl):
        raise AdmissionError(
            f"the cluster has a namespace {NAMESPACE}, so somebody serves it already: remove that first,"
            " with `kubectl delete -f deploy/install/fleetlb-tenant/rights.yaml`"
        )
    try:
        text = await asyncio.to_thread(admit, kubectl)
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(text)
        yield kubeconfig
    finally:
        await asyncio.to_thread(dismiss, kubectl)


async def _until_released(kubectl: Kubectl) -> None:
    """Nobody has waited for the end of namespaces; without a fleet their Services would never end."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while held := await asyncio.to_thread(held_services, kubectl):
        if time.monotonic() > deadline:
            say(f"not released in {RELEASE_SECONDS:.0f} s, so they keep their finalizer: {', '.join(held)}")
            return
        await asyncio.sleep(1)


def _clear(folder: Path, fleet: Path) -> None:
    """Results of an earlier run go, unless it is still running."""
    if leftovers.running(Layout(fleet)) is not None:
        raise FleetFailed(f"a fleet of an earlier run is up in {fleet}: `fleetlb local down --state {fleet}`")
    shutil.rmtree(folder, ignore_errors=True)


def _pods(order: Attachment, nodes: list[Any]) -> tuple[str, ...]:
    """Where the pods are, as far as the order wants to know."""
    if order.pods != (orders.AUTO,):
        return order.pods
    found = [cidr for node in nodes for cidr in node["spec"].get("podCIDRs", [])]
    if not found:
        raise AdmissionError("the cluster's Nodes have no spec.podCIDRs: give the networks of its pods by PODS=CIDR")
    return covering(found)


def say(text: str) -> None:
    """To whoever waits."""
    print(text, flush=True)


def fail(text: str, code: int) -> int:
    """The code, once the reason is told."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code
