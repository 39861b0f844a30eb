"""What the watcher is told by its environment."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from fleetlb.domain.dialects import Dialect
from fleetlb.domain.services import MAX_LABELS
from fleetlb.runtime.nats_settings import NatsSettings
from fleetlb_tenant_watcher.nodes import ADDRESS_TYPES, AddressType

_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Meta(pattern=f"^([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}$")]


class WatcherSettings(NatsSettings, frozen=True, kw_only=True):
    """Settings of one tenant-watcher."""

    nats_creds_secret: Annotated[
        Annotated[str, Meta(pattern="^[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}$")] | None,
        Meta(
            description="namespace/name of the Secret that the credentials are mounted from, to keep renewed ones in;"
            " unset: they are kept in their file",
        ),
    ] = None
    kubeconfig: Annotated[
        Path | None, Meta(description="kubeconfig of the tenant cluster; unset: the service account of the pod")
    ] = None
    load_balancer_class: Annotated[
        str | None, Meta(description="serve exactly this spec.loadBalancerClass; unset: Services without a class")
    ] = None
    dialects: Annotated[
        tuple[Dialect, ...],
        Meta(description="read these products' annotations too: metallb, cilium, kube-vip, kubelb; unset: none"),
    ] = ()
    service_labels: Annotated[
        tuple[LabelKey, ...],
        Meta(
            description="keys of labels of Services that address pools may select by, beside all of fleetlb.dev/;"
            f" at most {MAX_LABELS}; unset: none",
            max_length=MAX_LABELS,
        ),
    ] = ()
    pod_backends: Annotated[
        bool,
        Meta(description="true to tell the hub of pods, for tenants that are granted podCIDRs; costs by their number"),
    ] = False
    node_address_types: Annotated[
        tuple[AddressType, ...],
        Meta(
            description="which addresses of nodes to use, the preferred type first: InternalIP, ExternalIP",
            min_length=1,
        ),
    ] = ADDRESS_TYPES
