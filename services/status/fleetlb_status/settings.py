"""What the status service is told by its environment."""

from pathlib import Path
from typing import Annotated

from fleetlb.runtime.settings import ProcessSettings, setting


class Settings(ProcessSettings, frozen=True, kw_only=True):
    """See each field."""

    nats_url: Annotated[str, setting("where NATS is, such as nats://nats.fleetlb-system:4222")]
    nats_creds: Annotated[Path, setting("file with the credentials of the hub's account")]
    kubeconfig: Annotated[
        Path | None, setting("kubeconfig of the management cluster; the pod's own account if unset")
    ] = None
    system_namespace: Annotated[str, setting("namespace of the Lease that says which replica acts")] = "fleetlb-system"
