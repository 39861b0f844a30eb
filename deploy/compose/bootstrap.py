"""What happens once in the fleet of compose.yaml, and its demonstration.

    bootstrap.py keys                            writes keys, certificates and settings, before anything runs
    bootstrap.py seed                            writes CRDs, pool, balancer group and tenant into the hub's cluster,
                                                 and admits the services to their clusters, with their rights alone
    bootstrap.py credentials                     hands the tenant's watcher its NATS credentials, made by the manager
    bootstrap.py kubeconfig management|tenant URL  prints a kubeconfig for use from outside
    bootstrap.py backend                         is a real server on a node of the tenant
    bootstrap.py demo                            is the tenant: a Node, a Service, and a client that dials it
    bootstrap.py dial ADDRESS PORT SECONDS       dials all that time, twenty times a second; tells how often in vain

Settings: TENANT, POOL_CIDR, NODE_CIDR, NODE_NAME. Exit code 0 as asked, 1 it failed, 2 usage.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import papers

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.virtual_servers import Forwarding, VirtualServerKey
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.demo import manifests
from fleetlb_cli.demo.backends import Backends
from fleetlb_cli.demo.dialling import dial, dial_until_answered
from fleetlb_cli.demo.tenants import Tenant
from fleetlb_cli.local import admitting, seeding
from fleetlb_cli.local.choices import Choices, Ranges
from fleetlb_cli.seeing import has_address, is_serving

KEYS = Path("/keys")
GROUP = "default"
PATIENCE = 60.0


async def seed() -> int:
    """The objects of a platform team."""
    tenant = os.environ["TENANT"]
    chosen = Choices(pool=Ranges(cidr=os.environ["POOL_CIDR"]), tenants={tenant: Ranges(cidr=os.environ["NODE_CIDR"])})
    group = seeding.group_object(GROUP, EngineName.ENVOY, (os.environ["NODE_NAME"],), Forwarding.MASQUERADE)
    cluster = await Cluster.connect(KEYS / "operator" / "kubeconfig")
    try:
        await seeding.seed(cluster, chosen, group, {tenant: ()})
    finally:
        await cluster.close()
    await _admit("management", {"manager": admitting.MANAGER, "status": admitting.STATUS})
    await _admit("tenant", {"watcher": admitting.WATCHER})
    return 0


async def _admit(cluster: str, accounts: Mapping[str, admitting.Account]) -> None:
    """`accounts` by who reads the kubeconfig."""
    server = papers.api_server(cluster, "", KEYS / cluster)
    await admitting.admit(server, accounts.values())
    for reader, account in accounts.items():
        papers.put(KEYS / reader / "kubeconfig", server.kubeconfig_of(account.name).read_bytes())


async def credentials() -> int:
    """Those that the manager keeps ready for whoever joins."""
    cluster = await Cluster.connect(KEYS / "operator" / "kubeconfig")
    try:
        async with asyncio.timeout(PATIENCE):
            await seeding.write_credentials(cluster, os.environ["TENANT"], KEYS / "watcher" / "nats.creds")
    finally:
        await cluster.close()
    return 0


async def backend() -> int:
    """Listen where a kubelet's node would."""
    ours = manifests.backends_of(os.environ["TENANT"], os.environ["NODE_CIDR"], count=1)
    async with Backends(ours):
        await asyncio.Event().wait()
    return 0


async def demo() -> int:
    """Create, wait until it serves, dial; says each step."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.2f} s  {text}", flush=True)

    tenant = await Tenant.connect(os.environ["TENANT"], papers.SEEN / "kubeconfig", os.environ["NODE_CIDR"], None)
    tenant.backends = tenant.backends[:1]
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(tenant.board.run())
        try:
            await _steps(tenant, say)
        finally:
            watch.cancel()
            await tenant.cluster.close()
    return 0


async def _steps(tenant: Tenant, say: Callable[[str], None]) -> None:
    await tenant.create()
    say(f"the tenant has a node at {tenant.backends[0].address} and the Service {manifests.SERVICE}")
    await tenant.until(has_address, "an address", PATIENCE)
    say(f"its address is {tenant.vip}")
    await tenant.until(is_serving, "Serving=True", PATIENCE)
    say("it says Serving=True")
    key = tenant.key(manifests.TCP_PORT, Protocol.TCP)
    answer = await dial_until_answered(key, PATIENCE)
    if not answer.ok:
        raise TimeoutError(f"{key}: {answer.failure}")
    say(f"{tenant.vip} answered: {answer.text}")


async def dial_for(address: str, port: int, seconds: float) -> int:
    """One line of JSON; exit code 0 if every connection was answered."""
    key, end, asked, failures = VirtualServerKey(address, port, Protocol.TCP), time.monotonic() + seconds, 0, []
    while time.monotonic() < end:
        asked += 1
        answer = await dial(key, 1.0)
        if not answer.ok:
            failures.append(answer.failure)
        await asyncio.sleep(0.05)
    print(json.dumps({"asked": asked, "failures": failures}))
    return 1 if failures else 0


VERBS: dict[str, Callable[[], Coroutine[Any, Any, int]]] = {
    "seed": seed,
    "credentials": credentials,
    "backend": backend,
    "demo": demo,
}


def _run(verb: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        return asyncio.run(verb())
    except* (FleetlbError, TimeoutError, OSError) as group:
        for problem in group.exceptions:
            print(f"bootstrap: {problem or type(problem).__name__}", file=sys.stderr)
    return 1


def main() -> int:
    """One verb."""
    match sys.argv[1:]:
        case ["keys"]:
            papers.write(KEYS, int(time.time()), group=GROUP, node=os.environ["NODE_NAME"])
            return 0
        case ["kubeconfig", ("management" | "tenant") as cluster, url]:
            print(papers.kubeconfig(KEYS, cluster, url))
            return 0
        case ["dial", address, port, seconds]:
            return asyncio.run(dial_for(address, int(port), float(seconds)))
        case [verb] if verb in VERBS:
            return _run(VERBS[verb])
    print((__doc__ or "").strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
