"""Options of `fleetlb plan`. Imports nothing that a command's options do not need."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from fleetlb.domain.dialects import Dialect

Form = Literal["table", "json", "yaml"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Place:
    """Options that say whose Services they are, and where."""

    tenant: Annotated[str, Parameter(help="Whose Services they are.", show_default=False)] = ""
    cluster: Annotated[str, Parameter(help="UID of the tenant's cluster, if it has several.", show_default=False)] = ""
    namespace: Annotated[str, Parameter(name=("--namespace", "-n"), help="Of Services whose manifest names none.")] = (
        "default"
    )
    tenant_kubeconfig: Annotated[
        Path | None, Parameter(help="Of the tenant's own cluster, which then fills in what a Service leaves open.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Options that say how the tenant's watcher is set up."""

    load_balancer_class: Annotated[
        str | None, Parameter(help="FLEETLB_LOAD_BALANCER_CLASS of the tenant's watcher, if it is set.")
    ] = None
    dialect: Annotated[
        tuple[Dialect, ...],
        Parameter(help="One of its FLEETLB_DIALECTS; may be repeated.", negative=(), show_default=False),
    ] = ()
    service_label: Annotated[
        tuple[str, ...],
        Parameter(help="One of its FLEETLB_SERVICE_LABELS; may be repeated.", negative=(), show_default=False),
    ] = ()
