"""The commands of `fleetlb tenant`. The only module of them that reads the environment.

Exit codes: 0 as asked; 1 it failed; 2 usage.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from fleetlb import __version__
from fleetlb.contracts.tenants import Quotas
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.borrowing import run_until_signalled
from fleetlb_cli.tenants import changing, joining, leaving
from fleetlb_cli.tenants.connecting import NoKubeconfigError, find_kubeconfig, management
from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.listing import as_table
from fleetlb_cli.tenants.looking import read_details, read_rows
from fleetlb_cli.tenants.manifests import IMAGE, trouble_with_url
from fleetlb_cli.tenants.showing import as_page
from fleetlb_cli.tenants.wishing import Grants, new_tenant

app = App(name="tenant", help="Let tenants in, see how they are, renew their credentials, see them off.")

DONE, FAILED, USAGE = 0, 1, 2
NOTICE_SECONDS = 600
MOST_NOTICE_SECONDS = 30 * 86400
MANAGER_SECONDS = 30.0
"""A manager acts within a second; one that takes the place of another within half a minute."""
Work = Callable[[Cluster], Awaitable[str]]

Name = Annotated[str, Parameter(help="Name of the tenant.")]
Kubeconfig = Annotated[
    Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise, or else ~/.kube/config.")
]
Timeout = Annotated[float, Parameter(help="Seconds until a manager must have acted on it.")]
Output = Annotated[Literal["text", "json"], Parameter(name=("--output", "-o"), help="text or json.")]
Several = Annotated[tuple[str, ...], Parameter(negative=())]
Bound = Annotated[int | None, Parameter(validator=Number(gte=0))]


@app.command
def create(  # noqa: PLR0913 - one parameter for each option
    name: Name,
    /,
    *,
    node_cidr: Several,
    pod_cidr: Several = (),
    node_port_range: str = "30000-32767",
    pool: Several = (),
    group: Several = (),
    load_balancers: Bound = None,
    addresses: Bound = None,
    ports: Bound = None,
    timeout: float = MANAGER_SECONDS,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Make a tenant, and wait until it is ready. One that is there already is not touched.

    Parameters
    ----------
    node_cidr
        Network of its nodes; may be repeated. No node outside is ever programmed.
    pod_cidr
        Network of its pods, if balancer nodes have routes to it; may be repeated.
    node_port_range
        LOW-HIGH: its node ports.
    pool
        Pool that it may use; may be repeated. Every pool otherwise.
    group
        Balancer group that it may use; may be repeated. Every group otherwise.
    load_balancers
        How many it may have. As many as it likes otherwise; likewise for the next two.
    addresses
        How many it may have.
    ports
        How many it may have.
    timeout
        Seconds until it must be ready.
    """
    grants = Grants(
        node_cidrs=node_cidr,
        pod_cidrs=pod_cidr,
        node_port_range=node_port_range,
        pools=pool,
        groups=group,
        quotas=Quotas(load_balancers=load_balancers, addresses=addresses, ports=ports),
    )
    return _run(kubeconfig, lambda cluster: changing.create(cluster, new_tenant(name, grants), timeout))


@app.command(name="list")
def list_(*, output: Output = "text", kubeconfig: Kubeconfig = None) -> int:
    """All tenants: whether they are ready, what they use of what they may, when their clusters were last heard."""

    async def work(cluster: Cluster) -> str:
        rows = await read_rows(cluster)
        return as_table(rows) if output == "text" else _json(rows)

    return _run(kubeconfig, work)


@app.command
def show(name: Name, /, *, output: Output = "text", kubeconfig: Kubeconfig = None) -> int:
    """All of one tenant: grants, quotas, clusters, credentials without their secrets, conditions, load balancers."""

    async def work(cluster: Cluster) -> str:
        details = await read_details(cluster, name)
        return as_page(details) if output == "text" else _json(details)

    return _run(kubeconfig, work)


@app.command
def join(
    name: Name,
    /,
    *,
    nats_url: str,
    image: str = f"{IMAGE}:{__version__}",
    load_balancer_class: str | None = None,
    output: Annotated[str | None, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)] = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Write the manifest with which a cluster of the tenant joins, and say how to apply it there. It is a secret.

    Parameters
    ----------
    nats_url
        Where the hub's NATS is, seen from the tenant's cluster: nats://HOST:PORT.
    image
        Of the tenant-watcher.
    load_balancer_class
        Serve only Services with this spec.loadBalancerClass.
    output
        The file to write, readable by you alone; - prints the manifest and nothing else. Otherwise fleetlb-NAME.yaml.
    """
    trouble = trouble_with_url(nats_url)
    if trouble:
        return _fail(trouble, USAGE)
    file = output or f"fleetlb-{name}.yaml"

    async def work(cluster: Cluster) -> str:
        return await joining.join(
            cluster, name, file, nats_url=nats_url, image=image, load_balancer_class=load_balancer_class
        )

    return _run(kubeconfig, work)


@app.command
def suspend(name: Name, /, *, timeout: Timeout = MANAGER_SECONDS, kubeconfig: Kubeconfig = None) -> int:
    """Cut the tenant's watchers from the hub. What is served goes on, and nothing changes until `resume`."""
    return _run(kubeconfig, lambda cluster: changing.suspend(cluster, name, timeout))


@app.command
def resume(name: Name, /, *, timeout: Timeout = MANAGER_SECONDS, kubeconfig: Kubeconfig = None) -> int:
    """Let the watchers of a suspended tenant connect again."""
    return _run(kubeconfig, lambda cluster: changing.resume(cluster, name, timeout))


@app.command
def rotate(
    name: Name,
    /,
    *,
    notice: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MOST_NOTICE_SECONDS))] = None,
    now: Annotated[bool, Parameter(negative=())] = False,
    timeout: Timeout = MANAGER_SECONDS,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Void the credentials that the tenant's watchers have now. They renew them within the notice and lose nothing.

    Parameters
    ----------
    notice
        Seconds until what they have is void; 600 unless given.
    now
        Void at once, for credentials that got into wrong hands: the watchers are cut, and must join anew.
    """
    if now and notice is not None:
        return _fail("--now gives no notice: leave out one of the two", USAGE)
    seconds = None if now else notice or NOTICE_SECONDS
    return _run(kubeconfig, lambda cluster: changing.rotate(cluster, name, seconds, timeout))


@app.command
def remove(
    name: Name,
    /,
    *,
    confirm: str | None = None,
    wait: bool = True,
    timeout: float = 120,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Remove a tenant. Nothing is cut while it has live load balancers, unless that is confirmed.

    Parameters
    ----------
    confirm
        The tenant's name once more: cut off its live load balancers.
    wait
        Until it is gone; otherwise until a manager has begun.
    timeout
        Seconds to wait.
    """
    if confirm not in (None, name):
        return _fail(f"--confirm {confirm}: to confirm it, write the tenant's own name, {name}", USAGE)

    async def work(cluster: Cluster) -> str:
        return await leaving.remove(cluster, name, confirmed=confirm is not None, wait=wait, seconds=timeout)

    return _run(kubeconfig, work)


def _run(kubeconfig: Path | None, work: Work) -> int:
    """Do something with the management cluster and print what is to be told."""
    try:
        path = find_kubeconfig(kubeconfig, os.environ)
    except NoKubeconfigError as problem:
        return _fail(str(problem), USAGE)

    async def run() -> int:
        try:
            async with management(path) as cluster:
                print(await work(cluster), flush=True)
        except (Failed, OSError) as problem:  # the latter: nobody reads any more what is printed
            return _fail(str(problem), FAILED)
        return DONE

    return run_until_signalled(run())


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code
