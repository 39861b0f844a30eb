"""The commands of `fleetlb restore`. What they need is imported when they are called: their options are told at once.

Exit codes: 0 as asked; 1 something is in the way, and nothing was opened; 2 usage; 3 the fleet could not be looked at.
"""

from cyclopts import App

from fleetlb_cli.whereabouts import HERE, Whereabouts

app = App(name="restore", help="After the management cluster was put back to an older state.")


@app.command
def show(*, where: Whereabouts = HERE) -> int:
    """Tell whether a restore waits to be accepted, and what would be changed. Writes nothing."""
    from fleetlb_cli.restore import running

    return running.show(where)


@app.command
def accept(*, where: Whereabouts = HERE) -> int:
    """Claim each address for whom balancer nodes serve it, then let the manager and the status service act again."""
    from fleetlb_cli.restore import running

    return running.accept(where)
