"""What each command of `fleetlb local` does, as an exit code. The only module of it that reads the environment."""

import os
import signal
import sys
from pathlib import Path

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.local import control, controlplane, kernel, leftovers
from fleetlb_cli.local.choices import OtherEngineError, RangeTakenError, Wish, WishError
from fleetlb_cli.local.controlplane import ControlPlaneError
from fleetlb_cli.local.detaching import News, Teller, detach
from fleetlb_cli.local.kernel import KernelError
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.leftovers import AlreadyUpError
from fleetlb_cli.local.options import Options
from fleetlb_cli.local.routes import RoutesError
from fleetlb_cli.local.supervisor import VERB_SECONDS, ChildFailedError
from fleetlb_cli.local.wishing import wish_of

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


def up(options: Options, state: Path, timeout: float, report_to: int | None, *, detached: bool) -> int:
    """Be the supervisor, or start one and wait until it is ready."""
    place = Layout(state.absolute())
    try:
        wish = wish_of(options)
        _check_machine(wish)
    except WishError as problem:
        return _fail(str(problem), 2)
    except KernelError as problem:
        return _fail(str(problem), 1)
    if detached and report_to is None:
        return _detached(place)
    return _hosted(wish, place, timeout, None if report_to is None else Teller(report_to))


def down(state: Path) -> int:
    """Stop the fleet, or clean up after it."""
    place = Layout(state.absolute())
    if not place.root.is_dir():
        return _fail(f"there is no folder {place.root}", 1)
    try:
        _say(leftovers.bring_down(place))
    except AlreadyUpError as problem:
        return _fail(str(problem), 1)
    return 0


def setup() -> int:
    """Find the control plane, or build it."""
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


def order(verb: str, process: str, state: Path) -> int:
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
