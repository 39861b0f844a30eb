"""`fleetlb`, also callable as `kubectl fleetlb`: its commands and where they live. Each is imported when called."""

from cyclopts import App

from fleetlb import __version__

app = App(
    name="fleetlb",
    help="Layer-4 LoadBalancers for a fleet of Kubernetes clusters.",
    version=__version__,
    help_format="plaintext",  # Markdown would cost as much time as all the rest
)
app.command("fleetlb_cli.local.commands:app", name="local", help="Run a whole fleet on this machine.")
app.command("fleetlb_cli.demo.commands:demo", name="demo", help="Show the whole way of a Service on a local fleet.")
app.command("fleetlb_cli.bench.commands:bench", name="bench", help="Measure a local fleet.")
app.command("fleetlb_cli.hub.commands:app", name="hub", help="Begin a hub.")
app.command(
    "fleetlb_cli.node.commands:app",
    name="node",
    help="Set balancer nodes up, and empty them.",
)
app.command("fleetlb_cli.tenants.commands:app", name="tenant", help="Let tenants in, see how they are, see them off.")
app.command("fleetlb_cli.audit.commands:audit", name="audit", help="Check what a live fleet promises, from outside.")
app.command("fleetlb_cli.restore.commands:app", name="restore", help="Accept that the hub's store was put back.")
app.command("fleetlb_cli.why.commands:why", name="why", help="Explain where a Service is on its way, and what to do.")
app.command("fleetlb_cli.why.commands:trace", name="trace", help="Show the stations of a Service's last change.")
app.command(
    "fleetlb_cli.status.commands:status",
    name="status",
    help="Show the whole fleet and what is wrong.",
    help_epilogue="Exit codes: 0 nothing is wrong, 1 something is, 2 usage, 3 the fleet could not be looked at.",
)
app.command(
    "fleetlb_cli.plan.commands:plan",
    name="plan",
    help="Tell what would become of a Service or an AddressPool.",
    help_epilogue="Exit codes: 0 all is granted, 1 something is not, 2 usage, 3 the fleet could not be looked at.",
)
app.command(
    "fleetlb_cli.top.commands:top",
    name="top",
    help="Watch tenants, balancer groups or nodes live.",
    help_epilogue="Exit codes: 0 shown, or ended by Ctrl-C, 2 usage, 3 the fleet could not be looked at.",
)
app.command(
    "fleetlb_cli.tail.commands:tail",
    name="tail",
    help="Follow the fleet's messages live.",
    help_epilogue="Exit codes: 0 ended by --limit or Ctrl-C, 2 usage, 3 the fleet could not be looked at.",
)
app.command(
    "fleetlb_cli.sysdump.commands:sysdump",
    name="sysdump",
    help="Write down what a fleet says of itself.",
    help_epilogue="Exit codes: 0 all is in it, 1 something is not, 2 usage, 3 the fleet could not be looked at.",
)
app.command("fleetlb_cli.completion:completion", name="completion", help="Print a script for a shell's completion.")


def main() -> None:
    """Entry point of the scripts `fleetlb` and `kubectl-fleetlb`."""
    app()


if __name__ == "__main__":
    main()
