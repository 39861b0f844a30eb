"""The commands of `fleetlb local`. The only module of the local fleet that reads the environment.

Exit codes: 0 as asked; 1 it failed, or a running fleet is in the way; 2 usage.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb_cli.local import control, controlplane, kernel, leftovers
from fleetlb_cli.local.choices import OtherEngineError, RangeTakenError, Wish, WishError, by_family, check
from fleetlb_cli.local.controlplane import ControlPlaneError
from fleetlb_cli.local.detaching import News, Teller, detach
from fleetlb_cli.local.kernel import KernelError
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.leftovers import AlreadyUpError
from fleetlb_cli.local.routes import RoutesError
from fleetlb_cli.local.supervisor import VERB_SECONDS, ChildFailedError

app = App(
    name="local", help="A whole fleet on this machine: real API servers, NATS and balancer node as ordinary processes."
)

DEFAULT_STATE = Path(".fleet/local")
_FAILURES = (
    AlreadyUpError,
    ChildFailedError,
    ControlPlaneError,
    FleetlbError,
    OSError,
    OtherEngineError,
    RangeTakenError,
    RoutesError,
)
State = Annotated[Path, Parameter(help="Folder of the fleet's data, its logs and env.json.")]
Process = Annotated[str, Parameter(help="Name of a process, as in env.json: manager, envoy/node-1, …")]


@app.command
def up(  # noqa: PLR0913 - one parameter for each option
    *,
    state: State = DEFAULT_STATE,
    tenants: str = "acme,globex",
    engine: EngineName = EngineName.ENVOY,
    forwarding: Forwarding = Forwarding.MASQUERADE,
    detach: bool = False,
    timeout: float = 600,
    pool_cidr: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    node_cidr: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    pod_cidr: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    attach: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    replicas: int = 1,
    load_balancer_class: str | None = None,
    ipv6: bool = False,
    own_etcd: bool = False,
    report_to: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Start a fleet and stay until SIGINT or SIGTERM; then stop every process it started.

    Data of an earlier fleet in the same folder is kept.

    Parameters
    ----------
    tenants
        Names of the tenants, separated by commas.
    engine
        What carries the traffic: envoy on the loopback, or ipvs in the kernel of the current network namespace, which
        becomes the balancer node. Ipvs needs root; nodes and clients are yours to connect.
    forwarding
        How the engine ipvs hands packets on: masquerade, or direct, ipip or gue, which keep the client's address.
    detach
        Return when all is ready; `fleetlb local down` stops it.
    timeout
        Seconds until all must be ready.
    pool_cidr
        Range of the VIPs; may be repeated, one of each family; a free one is chosen otherwise.
    node_cidr
        TENANT=CIDR, where that tenant's nodes live; may be repeated, one of each family; a free one is chosen
        otherwise.
    pod_cidr
        TENANT=CIDR, where that tenant's pods live; may be repeated. Its Services are served by them directly.
    attach
        TENANT=KUBECONFIG, a tenant whose cluster runs already; may be repeated. Needs root: the addresses of
        --pool-cidr become this machine's own, and the cluster's network must bring them here.
    replicas
        How many managers and status services.
    load_balancer_class
        Serve only Services with this spec.loadBalancerClass.
    ipv6
        Choose IPv6 ranges too where none is given. Any IPv6 range needs root.
    own_etcd
        Keep the management cluster in an etcd of its own, etcd/management, which can be wiped or put back to an older
        state without the tenants' clusters. From the folder's first start on.
    """
    place = Layout(state.absolute())
    try:
        wish = Wish(
            tenants=tuple(name.strip() for name in tenants.split(",") if name.strip()),
            engine=engine,
            forwarding=forwarding,
            pool=by_family("--pool-cidr", pool_cidr),
            nodes=_node_ranges(node_cidr),
            pods={tenant: tuple(cidrs) for tenant, cidrs in _by_tenant("--pod-cidr", pod_cidr).items()},
            attached=_attached(attach),
            replicas=replicas,
            load_balancer_class=load_balancer_class,
            ipv6=ipv6,
            own_etcd=own_etcd,
        )
        check(wish)
        _check_machine(wish)
    except WishError as problem:
        return _fail(str(problem), 2)
    except KernelError as problem:
        return _fail(str(problem), 1)
    if detach and report_to is None:
        return _detached(place)
    return _hosted(wish, place, timeout, None if report_to is None else Teller(report_to))


@app.command
def down(*, state: State = DEFAULT_STATE) -> int:
    """Stop the fleet, or clean up what a crashed one has left. The data stays."""
    place = Layout(state.absolute())
    if not place.root.is_dir():
        return _fail(f"there is no folder {place.root}", 1)
    try:
        _say(leftovers.bring_down(place))
    except AlreadyUpError as problem:
        return _fail(str(problem), 1)
    return 0


@app.command
def kill(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """SIGKILL one process. It starts again as under Kubernetes: after 1 s, and ever later if it keeps crashing.

    Returns when the new process runs; it may not be ready yet.
    """
    return _order("kill", process, state)


@app.command
def stop(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """SIGTERM one process. It stays down until `start`."""
    return _order("stop", process, state)


@app.command
def start(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """Start one process that is down, and wait until it is ready."""
    return _order("start", process, state)


@app.command
def restart(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """Stop one process with SIGTERM, start it, and wait until it is ready."""
    return _order("restart", process, state)


@app.command
def setup() -> int:
    """Find the control plane, or build it once (about 4 minutes), so that `up` need not."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a build does not outlive it
    try:
        found = controlplane.ensure(os.environ, _say)
    except ControlPlaneError as problem:
        return _fail(str(problem), 1)
    except KeyboardInterrupt:
        return 130
    _say(f"control plane: {found.command('kube-apiserver')[0]}")
    return 0


def _hosted(wish: Wish, place: Layout, timeout: float, teller: Teller | None) -> int:
    """Be the supervisor."""
    from fleetlb_cli.local.hosting import host  # imports every client library: only the supervisor needs them

    def tell(news: News) -> None:
        _say(news.text)
        if teller is not None:
            teller.tell(news)

    def report(text: str) -> None:
        tell(News(text=text))

    def ready() -> None:
        tell(News(text=f"the fleet is up: {place.environment}", ready=True))
        if teller is not None:
            teller.close()

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the event loop takes over
    try:
        host(wish, place, dict(os.environ), timeout, report, ready)
    except _FAILURES as problem:
        tell(News(text=f"error: {problem}", failed=True))
        return 1
    except KeyboardInterrupt:
        return 130
    _say("the fleet is down")
    return 0


def _detached(place: Layout) -> int:
    """Run the same command as the supervisor: --report-to makes the difference."""
    arguments = sys.argv[sys.argv.index("up", 1) :]
    try:
        return detach([sys.executable, "-m", "fleetlb_cli.local", *arguments], place, _say)
    except KeyboardInterrupt:
        return 130


def _order(verb: str, process: str, state: Path) -> int:
    """Give the running supervisor an order."""
    place = Layout(state.absolute())
    record = leftovers.running(place)
    if record is None:
        return _fail(f"no fleet runs in {place.root}", 1)
    try:
        outcome = control.send(Sockets(Path(record.sockets)).control, control.Order(verb, process), VERB_SECONDS + 30)
    except (FileNotFoundError, ConnectionRefusedError):
        return _fail("the fleet is still starting", 1)
    except OSError as problem:
        return _fail(f"the supervisor {record.supervisor.pid} does not answer: {problem}", 1)
    return _fail(outcome.text, outcome.code) if outcome.code else 0


def _check_machine(wish: Wish) -> None:
    """Raises KernelError, WishError."""
    if wish.engine is EngineName.IPVS:
        kernel.check()
    elif wish.attached and os.geteuid() != 0:
        raise WishError("--attach needs root: it makes the addresses of --pool-cidr this machine's own")
    elif wish.has_ipv6 and os.geteuid() != 0:
        raise WishError("--ipv6 needs root: it adds local IPv6 routes (127.0.0.0/8 has no IPv6 counterpart)")


def _node_ranges(given: tuple[str, ...]) -> dict[str, dict[Family, str]]:
    """`acme=127.10.0.0/16`, by tenant and family."""
    return {tenant: by_family(f"--node-cidr {tenant}", its) for tenant, its in _by_tenant("--node-cidr", given).items()}


def _by_tenant(option: str, given: tuple[str, ...], what: str = "CIDR") -> dict[str, list[str]]:
    """The values of `TENANT=VALUE`."""
    values: dict[str, list[str]] = {}
    for text in given:
        tenant, _, value = text.partition("=")
        if not value:
            raise WishError(f"{option} {text}: must be TENANT={what}")
        values.setdefault(tenant, []).append(value)
    return values


def _attached(given: tuple[str, ...]) -> dict[str, Path]:
    """`acme=kubeconfig`, by tenant."""
    kubeconfigs = _by_tenant("--attach", given, "KUBECONFIG")
    for tenant, paths in kubeconfigs.items():
        if len(paths) > 1:
            raise WishError(f"--attach {tenant}: a tenant has one cluster here; it is given {' and '.join(paths)}")
    return {tenant: Path(path).absolute() for tenant, (path,) in kubeconfigs.items()}


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    app()
