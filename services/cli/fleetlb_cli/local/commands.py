"""The commands of `fleetlb local`. What they need is imported when they are called: their options are told at once.

Exit codes: 0 as asked; 1 it failed, or a running fleet is in the way; 2 usage.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fleetlb_cli.local.options import AS_USUAL, Options

app = App(
    name="local", help="A whole fleet on this machine: real API servers, NATS and balancer node as ordinary processes."
)

DEFAULT_STATE = Path(".fleet/local")
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
    from fleetlb_cli.local import running

    return running.up(options, state, timeout, report_to, detached=detach)


@app.command
def down(*, state: State = DEFAULT_STATE) -> int:
    """Stop the fleet, or clean up what a crashed one has left. The data stays."""
    from fleetlb_cli.local import running

    return running.down(state)


@app.command
def kill(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """SIGKILL one process. It starts again as under Kubernetes: after 1 s, and ever later if it keeps crashing.

    Returns when the new process runs; it may not be ready yet.
    """
    from fleetlb_cli.local import running

    return running.order("kill", process, state)


@app.command
def stop(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """SIGTERM one process. It stays down until `start`."""
    from fleetlb_cli.local import running

    return running.order("stop", process, state)


@app.command
def start(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """Start one process that is down, and wait until it is ready."""
    from fleetlb_cli.local import running

    return running.order("start", process, state)


@app.command
def restart(process: Process, *, state: State = DEFAULT_STATE) -> int:
    """Stop one process with SIGTERM, start it, and wait until it is ready."""
    from fleetlb_cli.local import running

    return running.order("restart", process, state)


@app.command
def setup() -> int:
    """Find the control plane, or build it once (about 4 minutes), so that `up` need not."""
    from fleetlb_cli.local import running

    return running.setup()
