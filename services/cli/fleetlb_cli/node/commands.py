"""`fleetlb node`: bootstrap, drain, undrain, remove. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fleetlb_cli.node.host_options import AS_USUAL, HostOptions
from fleetlb_cli.paper_options import NO_OPTIONS, PaperOptions
from fleetlb_cli.whereabouts import HERE, USAGE, Whereabouts, complain

app = App(name="node", help="Set balancer nodes up, and empty them.", help_format="plaintext")
Group = Annotated[str, Parameter(help="The node's BalancerGroup.")]
Timeout = Annotated[float, Parameter(help="Seconds until this command ends; what it began goes on.")]


@app.command
def drain(
    name: Annotated[str, Parameter(help="Of the node, as in its BalancerGroup.")],
    /,
    *,
    group: Group = "default",
    timeout: Timeout = 300.0,
    where: Whereabouts = HERE,
) -> int:
    """Empty a node: it announces nothing that another node can, and goes on with the connections that it has.

    Each step is told as it is reached. Called again, it goes on where the node is.

    Exit codes: 0 the node is empty, 1 not yet after --timeout, 2 usage, 3 the fleet could not be looked at.
    """
    from fleetlb_cli.node.draining import run

    return run(name, group, where, drains=True, timeout=timeout)


@app.command
def undrain(
    name: Annotated[str, Parameter(help="Of the node, as in its BalancerGroup.")],
    /,
    *,
    group: Group = "default",
    timeout: Timeout = 60.0,
    where: Whereabouts = HERE,
) -> int:
    """Let a node that was emptied take part again.

    Exit codes: as of `drain`.
    """
    from fleetlb_cli.node.draining import run

    return run(name, group, where, drains=False, timeout=timeout)


@app.command
def remove(
    name: Annotated[str, Parameter(help="Of the node, as in its BalancerGroup.")],
    /,
    *,
    group: Group = "default",
    confirm: Annotated[str | None, Parameter(help="The node's name once more, though it is alive.")] = None,
    timeout: Timeout = 60.0,
    where: Whereabouts = HERE,
) -> int:
    """Take a node that does not come back out of its group: nothing is published or given back on its word any more.

    Make sure that it is off, or cannot reach clients: what it served may be given to others. If it comes back all the
    same, it announces nothing, and lets go of what it has no right to.

    Exit codes: 0 what waited for it is given back, 1 not yet after --timeout, 2 usage, or the node is alive, 3 the
    fleet could not be looked at.
    """
    from fleetlb_cli.node.removing import run

    if confirm not in (None, name):
        return complain(f"--confirm {confirm}: to confirm it, write the node's own name, {name}", USAGE)
    return run(name, group, where, is_confirmed=confirm is not None, timeout=timeout)


@app.command
def bootstrap(
    name: Annotated[str, Parameter(help="Of the node, as in its BalancerGroup.")],
    /,
    *,
    nats_url: Annotated[str, Parameter(help="Where the hub's NATS is, seen from the node.")],
    keys: Annotated[Path, Parameter(help="The folder of `fleetlb hub init`.")],
    group: Annotated[str, Parameter(help="Its BalancerGroup.")] = "default",
    host: HostOptions = AS_USUAL,
    papers: PaperOptions = NO_OPTIONS,
    into: Annotated[Path | None, Parameter(help="The host's root, or a folder to copy there; otherwise NAME.")] = None,
) -> int:
    """Write what a host needs to be a balancer node: settings, credentials of its own, and systemd units.

    It does not write over credentials that are there: delete them first to have new ones.
    """
    from fleetlb_cli.node.bootstrapping import run

    return run(name, group, host, nats_url, keys, papers, into)
