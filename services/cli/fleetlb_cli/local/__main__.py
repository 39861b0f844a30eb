"""The commands of `fleetlb local`. The only module of the local fleet that reads the environment.

Exit codes: 0 as asked; 1 it failed, or a running fleet is in the way; 2 usage.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.local import control, controlplane, kernel, leftovers
from fleetlb_cli.local.choices import OtherEngineError, RangeTakenError, Wish, WishError
from fleetlb_cli.local.controlplane import ControlPlaneError
from fleetlb_cli.local.detaching import News, Teller, detach
from fleetlb_cli.local.kernel import KernelError
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.leftovers import AlreadyUpError
from fleetlb_cli.local.options import AS_USUAL, Options, wish_of
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
def up(
    options: Annotated[Options, Parameter(name="*")] = AS_USUAL,
    *,
    state: State = DEFAULT_STATE,
    detach: Annotated[bool, Parameter(help="Return when all is ready; `fleetlb local down` stops it.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds until all must be ready.")] = 600,
    report_to: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Start a fleet and stay until SIGINT or SIGTERM; then stop every process it started.

    Data of an earlier fleet in the same folder is kept.
    """
    place = Layout(state.absolute())
    try:
        wish = wish_of(options)
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


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    app()
