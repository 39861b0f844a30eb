"""What the status service is told by its environment."""

from pathlib import Path
from typing import Annotated

import msgspec

from fleetlb.contracts.streams import EVENTS_DAYS, EVENTS_MIB, StreamSpec, events_stream
from fleetlb.runtime.nats_settings import StreamKeeperSettings
from fleetlb.runtime.settings import setting, split_address
from fleetlb_status.ui.admitting import is_loopback

Address = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):\d{1,5}$")]
HeaderName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class Settings(StreamKeeperSettings, frozen=True, kw_only=True):
    """See each field."""

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
    ui_address: Annotated[Address | None, setting("host:port for the page /ui/; no page if unset")] = None
    ui_tenant_header: Annotated[
        HeaderName | None,
        setting(
            "header by which a proxy in front of the page says whose view a request gets: a tenant's name, or * for"
            " everything; unset: everybody who reaches the page sees everything"
        ),
    ] = None

    @property
    def events(self) -> StreamSpec:
        """The stream of events."""
        return events_stream(days=self.events_days, mib=self.events_mib)

    def problems(self) -> list[str]:
        """What no type can say."""
        return super().problems() + self._page_problems()

    def _page_problems(self) -> list[str]:
        """Everything must not be shown to a whole network."""
        if self.ui_address is None:
            alone = "FLEETLB_UI_TENANT_HEADER is set without a page: set FLEETLB_UI_ADDRESS too"
            return [alone] if self.ui_tenant_header else []
        if self.ui_tenant_header is None and not is_loopback(split_address(self.ui_address)[0]):
            return [
                f"FLEETLB_UI_ADDRESS={self.ui_address} would show every tenant to whoever reaches it: set it to"
                " 127.0.0.1:PORT, or set FLEETLB_UI_TENANT_HEADER and have a proxy set that header"
            ]
        return []
