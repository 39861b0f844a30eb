"""`fleetlb why svc` and `fleetlb trace svc`: the commands. What they need is imported when they are called: their
options are told at once.

Exit codes: 0 it serves, 1 it does not, 2 usage, 3 the fleet could not be looked at.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fleetlb_cli.whereabouts import SYSTEM_NAMESPACE, Whereabouts

why = App(name="why", help="Explain where a Service is on its way, and what to do.")
trace = App(name="trace", help="Show the stations of a Service's last change.")

Name = Annotated[str, Parameter(help="[TENANT/]NAMESPACE/NAME of the Service.")]
Kubeconfig = Annotated[Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise.")]
TenantKubeconfig = Annotated[Path | None, Parameter(help="Of the tenant's own cluster, to look at its side too.")]
NatsUrl = Annotated[str | None, Parameter(help="Where the hub's NATS is.")]
NatsCreds = Annotated[Path | None, Parameter(help="Credentials file of the hub account; reading streams is enough.")]
State = Annotated[Path | None, Parameter(help="Folder of a local fleet, instead of all of these.")]
Namespace = Annotated[str, Parameter(help="Where the fleet's processes hold their Leases.")]
Output = Annotated[Literal["text", "json"], Parameter(name=("--output", "-o"), help="text or json.")]


@why.command(name=("svc", "service"))
def why_service(
    name: Name,
    /,
    *,
    kubeconfig: Kubeconfig = None,
    tenant_kubeconfig: TenantKubeconfig = None,
    nats_url: NatsUrl = None,
    nats_creds: NatsCreds = None,
    state: State = None,
    system_namespace: Namespace = SYSTEM_NAMESPACE,
    output: Output = "text",
) -> int:
    """Explain where a Service is on its way from its tenant to the packet, and what to do."""
    from fleetlb_cli.why.running import why_service as run

    where = Whereabouts(
        kubeconfig=kubeconfig, nats_url=nats_url, nats_creds=nats_creds, state=state, system_namespace=system_namespace
    )
    return run(name, where, tenant_kubeconfig, output)


@trace.command(name=("svc", "service"))
def trace_service(
    name: Name,
    /,
    *,
    kubeconfig: Kubeconfig = None,
    nats_url: NatsUrl = None,
    nats_creds: NatsCreds = None,
    state: State = None,
    output: Output = "text",
) -> int:
    """Show the stations of a Service's last change with milliseconds, from its messages alone."""
    from fleetlb_cli.why.running import trace_service as run

    where = Whereabouts(kubeconfig=kubeconfig, nats_url=nats_url, nats_creds=nats_creds, state=state)
    return run(name, where, output)
