"""Explains Services, and tells the stations of their changes."""

import asyncio
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from fleetlb.domain.errors import FleetlbError
from fleetlb.domain.traces import trace_id
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.passages import last_change, passages
from fleetlb.explaining.situation import Situation
from fleetlb.runtime.logs import set_up_logs
from fleetlb.runtime.settings import LogFormat, LogLevel
from fleetlb_cli.answering import target_of
from fleetlb_cli.local.layout import NoFleetError
from fleetlb_cli.naming import Wanted, wanted_of
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.whereabouts import BLIND, USAGE, Whereabouts
from fleetlb_cli.why.looking import NAME, look
from fleetlb_cli.why.showing import as_text, as_timeline

SERVES, STUCK = 0, 1


def why_service(name: str, where: Whereabouts, tenant_kubeconfig: Path | None, output: str) -> int:
    """Returns the exit code."""
    try:
        wanted = wanted_of(name)
        target = _with_tenant(target_of(where), wanted, tenant_kubeconfig)
        seen = _look(target, wanted, where.system_namespace)
    except (ValueError, NoFleetError) as problem:
        return _complain(str(problem), USAGE)
    except (FleetlbError, OSError) as problem:
        return _complain(f"the fleet cannot be looked at: {problem}", BLIND)
    if not seen:
        return _complain(f"no tenant has a Service {name} that the hub knows of; name its tenant: TENANT/{name}", STUCK)
    found = [explain(situation) for situation in seen]
    _print(found, "\n\n".join(map(as_text, found)), output)
    return SERVES if all(each.serving for each in found) else STUCK


def trace_service(name: str, where: Whereabouts, output: str) -> int:
    """Returns the exit code."""
    try:
        wanted = wanted_of(name)
        seen = _look(target_of(where), wanted, where.system_namespace)
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
