"""`fleetlb why svc` and `fleetlb trace svc`: the commands.

Exit codes: 0 it serves, 1 it does not, 2 usage, 3 the fleet could not be looked at.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.traces import trace_id
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.passages import last_change, passages
from fleetlb.explaining.situation import Situation
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.naming import Wanted, wanted_of
from fleetlb_cli.reaching import Target, connected, find_target
from fleetlb_cli.why.looking import NAME, look
from fleetlb_cli.why.showing import as_text, as_timeline

SERVES, STUCK, USAGE, BLIND = 0, 1, 2, 3
SYSTEM_NAMESPACE = "fleetlb-system"

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
    try:
        wanted = wanted_of(name)
        target = _with_tenant(find_target(kubeconfig, nats_url, nats_creds, state), wanted, tenant_kubeconfig)
        seen = _look(target, wanted, system_namespace)
    except (ValueError, NoFleetError) as problem:
        return _complain(str(problem), USAGE)
    except (FleetlbError, OSError) as problem:
        return _complain(f"the fleet cannot be looked at: {problem}", BLIND)
    if not seen:
        return _complain(f"no tenant has a Service {name} that the hub knows of; name its tenant: TENANT/{name}", STUCK)
    found = [explain(situation) for situation in seen]
    _print(found, "\n\n".join(map(as_text, found)), output)
    return SERVES if all(each.serving for each in found) else STUCK


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
    try:
        wanted = wanted_of(name)
        seen = _look(find_target(kubeconfig, nats_url, nats_creds, state), wanted, SYSTEM_NAMESPACE)
    except (ValueError, NoFleetError) as problem:
        return _complain(str(problem), USAGE)
    except (FleetlbError, OSError) as problem:
        return _complain(f"the fleet cannot be looked at: {problem}", BLIND)
    travelled = [(each, said) for each in seen if (said := last_change(each)) is not None]
    if not travelled:
        return _complain(f"no message tells of a change of {name}; fleetlb why svc {name} may", STUCK)
    shown = [
        {"service": each.title, "trace": trace_id(said.trace), "stations": passages(said.word.hops)}
        for each, said in travelled
    ]
    text = [
        as_timeline(f"{each.title}  trace {trace_id(said.trace) or 'unknown'}", passages(said.word.hops))
        for each, said in travelled
    ]
    _print(shown, "\n\n".join(text), output)
    return SERVES


def _with_tenant(target: Target, wanted: Wanted, kubeconfig: Path | None) -> Target:
    if kubeconfig is None:
        return target
    if not wanted.tenant:
        raise ValueError("--tenant-kubeconfig: say whose it is: TENANT/NAMESPACE/NAME")
    if not kubeconfig.is_file():
        raise ValueError(f"there is no file {kubeconfig}")
    return target._replace(tenants={wanted.tenant: kubeconfig})


def _look(target: Target, wanted: Wanted, namespace: str) -> list[Situation]:
    set_up_logs(NAME, LogLevel.ERROR, LogFormat.CONSOLE, to=sys.stderr)

    async def looked() -> list[Situation]:
        async with connected(target, NAME) as (cluster, bus):
            return await look(cluster, bus, target, wanted, namespace)

    return asyncio.run(looked())


def _print(shown: object, text: str, output: str) -> None:
    console = Console(soft_wrap=True)
    if output == "json":
        text = msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()
    console.out(text, highlight=False)


def _complain(text: str, code: int) -> int:
    Console(stderr=True).print(text, markup=False, highlight=False)
    return code
