"""The commands of `fleetlb tenant`. What they need is imported when they are called: their options are told at once.

Exit codes: 0 as asked; 1 it failed; 2 usage.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from fleetlb import __version__
from fleetlb_cli.paper_options import NO_OPTIONS, PaperOptions

app = App(name="tenant", help="Let tenants in, see how they are, renew their credentials, see them off.")

IMAGE = "ghcr.io/fleetlb/tenant-watcher"
NOTICE_SECONDS = 600
MOST_NOTICE_SECONDS = 30 * 86400
MANAGER_SECONDS = 30.0
"""A manager acts within a second; one that takes the place of another within half a minute."""

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
    from fleetlb.contracts.tenants import Quotas
    from fleetlb_cli.tenants import running
    from fleetlb_cli.tenants.wishing import Grants

    grants = Grants(
        node_cidrs=node_cidr,
        pod_cidrs=pod_cidr,
        node_port_range=node_port_range,
        pools=pool,
        groups=group,
        quotas=Quotas(load_balancers=load_balancers, addresses=addresses, ports=ports),
    )
    return running.create(kubeconfig, name, grants, timeout)


@app.command(name="list")
def list_(*, output: Output = "text", kubeconfig: Kubeconfig = None) -> int:
    """All tenants: whether they are ready, what they use of what they may, when their clusters were last heard."""
    from fleetlb_cli.tenants import running

    return running.list_all(kubeconfig, output)


@app.command
def show(name: Name, /, *, output: Output = "text", kubeconfig: Kubeconfig = None) -> int:
    """All of one tenant: grants, quotas, clusters, credentials without their secrets, conditions, load balancers."""
    from fleetlb_cli.tenants import running

    return running.show(kubeconfig, name, output)


@app.command
def join(
    name: Name,
    /,
    *,
    nats_url: str,
    image: str = f"{IMAGE}:{__version__}",
    load_balancer_class: str | None = None,
    secret_only: Annotated[bool, Parameter(negative=())] = False,
    papers: PaperOptions = NO_OPTIONS,
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
    secret_only
        Write the Secrets and nothing else: for a watcher that the chart fleetlb-tenant installs.
    output
        The file to write, readable by you alone; - prints the manifest and nothing else. Otherwise fleetlb-NAME.yaml.
    """
    from fleetlb_cli.tenants import running
    from fleetlb_cli.tenants.joining import Choice

    choice = Choice(nats_url=nats_url, image=image, load_balancer_class=load_balancer_class, secret_only=secret_only)
    return running.join(kubeconfig, name, output or f"fleetlb-{name}.yaml", choice, papers)


@app.command
def suspend(name: Name, /, *, timeout: Timeout = MANAGER_SECONDS, kubeconfig: Kubeconfig = None) -> int:
    """Cut the tenant's watchers from the hub. What is served goes on, and nothing changes until `resume`."""
    from fleetlb_cli.tenants import running

    return running.suspend(kubeconfig, name, timeout)


@app.command
def resume(name: Name, /, *, timeout: Timeout = MANAGER_SECONDS, kubeconfig: Kubeconfig = None) -> int:
    """Let the watchers of a suspended tenant connect again."""
    from fleetlb_cli.tenants import running

    return running.resume(kubeconfig, name, timeout)


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
    from fleetlb_cli.tenants import running

    if now and notice is not None:
        return running.fail("--now gives no notice: leave out one of the two", running.USAGE)
    return running.rotate(kubeconfig, name, None if now else notice or NOTICE_SECONDS, timeout)


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
    from fleetlb_cli.tenants import running

    if confirm not in (None, name):
        return running.fail(f"--confirm {confirm}: to confirm it, write the tenant's own name, {name}", running.USAGE)
    return running.remove(kubeconfig, name, confirmed=confirm is not None, wait=wait, seconds=timeout)
