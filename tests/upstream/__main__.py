"""`make test-upstream`: attach a cluster to a fleet, run Kubernetes' own LoadBalancer tests on it, write the table.

Exit codes: 0 every chosen spec passed or was skipped; 1 one failed, none ran, or something is in the way; 2 usage.
"""

import asyncio
import datetime
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleetlb_cli.borrowing import FleetFailed, borrowed_fleet, run_until_signalled
from fleetlb_cli.local import leftovers
from fleetlb_cli.local.layout import Layout
from tests.upstream import order as orders
from tests.upstream import outcomes, page, suite
from tests.upstream.admitting import NAMESPACE, AdmissionError, Kubectl, admit, dismiss, held_services, is_admitted
from tests.upstream.order import Order, OrderError, covering

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance-upstream.md"
TENANT = "upstream"
RELEASE_SECONDS = 180.0
"""Of a namespace's objects its pods go first, each after its time of grace; some of the suite's have a minute."""


def main() -> int:
    """Run the suite once."""
    try:
        order = orders.read(os.environ)
    except OrderError as problem:
        return _fail(str(problem), 2)
    code = 1
    try:
        code = run_until_signalled(conform(order, Kubectl(kubeconfig=order.kubeconfig)))
    except* (AdmissionError, FleetFailed, OSError) as problems:
        _fail("\n".join(map(str, problems.exceptions)), code)
    return code


async def conform(order: Order, kubectl: Kubectl) -> int:
    """Everything from an untouched cluster to an untouched cluster."""
    fleet, report = order.folder / "fleet", order.folder / "report"
    _clear(order.folder, fleet)
    report.mkdir(parents=True)
    nodes = kubectl.read("get", "nodes")["items"]
    async with _admitted(kubectl, order.folder / "watcher.kubeconfig") as kubeconfig:
        options = ["--attach", f"{TENANT}={kubeconfig}", "--engine", order.engine.value]
        options += ["--forwarding", order.forwarding.value]
        options += [word for cidr in covering(_addresses(nodes)) for word in ("--node-cidr", f"{TENANT}={cidr}")]
        options += [word for cidr in _pods(order, nodes) for word in ("--pod-cidr", f"{TENANT}={cidr}")]
        options += [word for cidr in order.ranges for word in ("--pool-cidr", cidr)]
        async with borrowed_fleet(fleet, TENANT, *options):
            _say(f"running the suite; its words go to {order.folder / 'e2e.log'}")
            begun = time.monotonic()
            command = suite.command_of(order, kubectl.program, len(nodes), report)
            try:
                code = await suite.run(command, order.folder / "e2e.log")
            finally:
                await _until_released(kubectl)
    found = outcomes.read(report)
    facts = {
        "Kubernetes": kubectl.read("version")["serverVersion"]["gitVersion"],
        "nodes": str(len(nodes)),
        "engine": order.engine.value,
        "forwarding": order.forwarding.value,
        "backends": "pods" if order.pods else "node ports",
        "on": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "wall": f"{time.monotonic() - begun:.0f} s, {order.processes} specs at once",
        "cores": str(os.cpu_count()),
    }
    text = page.section(order.name, facts, found)
    (order.folder / "section.md").write_text(text + "\n")
    _say(text)
    if not found:
        return _fail(f"the suite ended with {code} and chose no spec: see {order.folder / 'e2e.log'}", 1)
    if order.focus == orders.FOCUS and (after := page.replaced(PAGE.read_text(), order.name, text)) is not None:
        PAGE.write_text(after)
    return 0 if code == 0 and not outcomes.count(found, "FAIL") else 1


@asynccontextmanager
async def _admitted(kubectl: Kubectl, kubeconfig: Path) -> AsyncIterator[Path]:
    """The watcher's account in the cluster, for as long as the suite runs."""
    if await asyncio.to_thread(is_admitted, kubectl):
        raise AdmissionError(
            f"the cluster has a namespace {NAMESPACE}, so somebody serves it already: remove that first,"
            " with `kubectl delete -f services/cli/fleetlb_cli/tenants/watcher.yaml`"
        )
    try:
        text = await asyncio.to_thread(admit, kubectl)
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(text)
        yield kubeconfig
    finally:
        await asyncio.to_thread(dismiss, kubectl)


async def _until_released(kubectl: Kubectl) -> None:
    """The suite does not wait for the end of its namespaces; without a fleet their Services would never end."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while held := await asyncio.to_thread(held_services, kubectl):
        if time.monotonic() > deadline:
            _say(f"not released in {RELEASE_SECONDS:.0f} s, so they keep their finalizer: {', '.join(held)}")
            return
        await asyncio.sleep(1)


def _clear(folder: Path, fleet: Path) -> None:
    """Results of an earlier run go, unless it is still running."""
    if leftovers.running(Layout(fleet)) is not None:
        raise FleetFailed(f"a fleet of an earlier run is up in {fleet}: `fleetlb local down --state {fleet}`")
    shutil.rmtree(folder, ignore_errors=True)


def _addresses(nodes: list[Any]) -> list[str]:
    """Every node's InternalIPs."""
    given = [entry for node in nodes for entry in node["status"].get("addresses", [])]
    found = [entry["address"] for entry in given if entry["type"] == "InternalIP"]
    if not found:
        raise AdmissionError("the cluster has no Node with an InternalIP: is it the right kubeconfig?")
    return found


def _pods(order: Order, nodes: list[Any]) -> tuple[str, ...]:
    """Where the pods are, as far as the order wants to know."""
    if order.pods != (orders.AUTO,):
        return order.pods
    found = [cidr for node in nodes for cidr in node["spec"].get("podCIDRs", [])]
    if not found:
        raise AdmissionError("the cluster's Nodes have no spec.podCIDRs: give the networks of its pods by PODS=CIDR")
    return covering(found)


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
