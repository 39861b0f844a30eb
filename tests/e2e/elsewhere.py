"""A cluster that runs already, and `make test-upstream` on it, with a tiny suite in the place of Kubernetes' own.

Usage, in a network namespace of its own: python -m tests.e2e.elsewhere FOLDER. Prints "as before" at the end.
"""

import asyncio
import os
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.resources import NAMESPACES, NODES, SERVICES
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backends
from fleetlb_cli.demo.dialling import dial_until_answered
from fleetlb_cli.local import controlplane
from fleetlb_cli.seeing import Board, has_address
from tests.integration.conftest import KubeApis

NODE_CIDR, RANGE = "10.8.0.0/24", "10.9.0.0/24"
JUNIT = '<testsuite><testcase name="[It] [Feature:LoadBalancer] should answer with {}" time="1"/></testsuite>'
SECONDS = 30.0


async def run_upstream(folder: Path) -> None:
    """Start a cluster with one node, and run the whole thing on it."""
    backends = manifests.backends_of("elsewhere", NODE_CIDR, count=1)
    for command in ("link set lo up", f"addr add {backends[0].address}/24 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    suite = folder / "suite"
    suite.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.e2e.elsewhere --suite "$@"\n')
    suite.chmod(0o755)
    with ExitStack() as stack:
        apis = KubeApis(folder, controlplane.ensure(os.environ, print), stack)
        server = apis.start("elsewhere")
        apis.start_controllers(server)
        cluster = await Cluster.connect(server.kubeconfig)
        await cluster.apply(NODES, manifests.node("node-1"))
        status = manifests.node_status(backends[0].address)
        await cluster.patch(NODES, "node-1", status, kind=PatchKind.STRATEGIC, subresource="status")
        environ = {"KUBECONFIG": str(server.kubeconfig), "E2E_TEST": str(suite), "RANGE": RANGE}
        environ |= {"FOCUS": "should answer", "OUTPUT": str(folder / "results")}
        async with Backends(backends):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.upstream", env={**os.environ, **environ}
            )
            code = await process.wait()
        assert code == 0, (folder / "results/envoy/e2e.log").read_text()
        try:
            await cluster.get(NAMESPACES, "fleetlb-system")
        except NotFound:
            pass
        else:
            raise AssertionError("the watcher's namespace was left behind")
        left = await cluster.list(SERVICES, manifests.NAMESPACE)
        assert not left, f"a Service was left behind, and nobody takes off its finalizer: {left[0]['metadata']}"
        await cluster.close()
    routes = subprocess.run(["ip", "route", "show", "table", "local"], check=True, capture_output=True, text=True)
    assert RANGE not in routes.stdout, routes.stdout
    print("as before")


async def be_the_suite(*arguments: str) -> None:
    """Create a Service, see that it answers from its address, and report."""
    given = dict(word.removeprefix("--").split("=", 1) for word in arguments if "=" in word)
    cluster = await Cluster.connect(Path(given["kubeconfig"]))
    await cluster.apply(NAMESPACES, manifests.namespace())
    await cluster.apply(SERVICES, manifests.service(None))
    vip = await _address(cluster)
    answer = await dial_until_answered(VirtualServerKey(vip, manifests.TCP_PORT, Protocol.TCP), SECONDS)
    await cluster.delete(NAMESPACES, manifests.NAMESPACE)  # and, as Kubernetes' own, does not wait for its end
    await cluster.close()
    Path(given["report-dir"], "junit_01.xml").write_text(JUNIT.format(answer.text or answer.failure))


async def _address(cluster: Cluster) -> str:
    """Of the Service, once it has one."""
    board = Board(cluster, manifests.NAMESPACE)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(board.run())
        await board.until(manifests.SERVICE, has_address, "an address", SECONDS)
        watching.cancel()
    service = board.get(manifests.SERVICE)
    assert service is not None
    return service.vip


if __name__ == "__main__":
    first, *rest = sys.argv[1:]
    asyncio.run(be_the_suite(*rest) if first == "--suite" else run_upstream(Path(first)))
