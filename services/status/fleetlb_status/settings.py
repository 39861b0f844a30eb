"""What the status service is told by its environment."""

from pathlib import Path
from typing import Annotated

import msgspec

from fleetlb.contracts.streams import EVENTS_DAYS, EVENTS_MIB, StreamSpec, events_stream
from fleetlb.runtime.settings import ProcessSettings, setting


class Settings(ProcessSettings, frozen=True, kw_only=True):
    """See each field."""

    nats_url: Annotated[str, setting("where NATS is, such as nats://nats.fleetlb-system:4222")]
    nats_creds: Annotated[Path, setting("file with the credentials of the hub's account")]
    kubeconfig: Annotated[
        Path | None, setting("kubeconfig of the management cluster; the pod's own account if unset")
    ] = None
    events_days: Annotated[
        int, msgspec.Meta(description="how long events for integrations are kept, in days", ge=1, le=3650)
    ] = EVENTS_DAYS
    events_mib: Annotated[
        int, msgspec.Meta(description="what their stream may take of NATS' disk, in MiB; the oldest go first", ge=1)
    ] = EVENTS_MIB
    system_namespace: Annotated[str, setting("namespace of the Lease that says which replica acts")] = "fleetlb-system"

    @property
    def events(self) -> StreamSpec:
        """The stream of events."""
        return events_stream(days=self.events_days, mib=self.events_mib)
