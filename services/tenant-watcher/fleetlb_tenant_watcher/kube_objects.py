"""The few fields of EndpointSlices and Nodes that are read. Shapes only: knows no rule about them.

Types are lenient on purpose; those of Services are in `fleetlb.kube.service_objects`.
"""

import msgspec

from fleetlb.kube.service_objects import Meta, Read

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class SliceLabels(msgspec.Struct, frozen=True, gc=False):
    """The one label that says whose slice it is."""

    service_name: str = msgspec.field(name=SERVICE_NAME_LABEL, default="")


class SliceMeta(Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of an EndpointSlice."""

    labels: SliceLabels | None = None


class EndpointConditions(Read, frozen=True, kw_only=True, gc=False):
    """Absent means: ready yes, serving like ready, terminating no."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Read, frozen=True, kw_only=True, gc=False):
    """One endpoint."""

    addresses: tuple[str, ...] | None = None
    node_name: str | None = None
    conditions: EndpointConditions | None = None


class EndpointPort(Read, frozen=True, kw_only=True, gc=False):
    """One port of a slice. Absent means: no name, TCP, and every port, which is none in particular."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(Read, frozen=True, kw_only=True, gc=False):
    """An EndpointSlice."""

    metadata: SliceMeta
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class NodeLabels(msgspec.Struct, frozen=True, gc=False):
    """The one label that takes a node out."""

    excluded: str | None = msgspec.field(name=EXCLUDE_LABEL, default=None)


class NodeMeta(Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of a Node."""

    deletion_timestamp: str | None = None
    labels: NodeLabels | None = None


class Taint(Read, frozen=True, kw_only=True, gc=False):
    """A taint; only its key matters here."""

    key: str = ""


class NodeSpec(Read, frozen=True, kw_only=True, gc=False):
    """`spec` of a Node."""

    taints: tuple[Taint, ...] | None = None


class NodeAddress(Read, frozen=True, kw_only=True, gc=False):
    """One of `status.addresses`."""

    type: str = ""
    address: str = ""


class NodeStatus(Read, frozen=True, kw_only=True, gc=False):
    """`status` of a Node."""

    addresses: tuple[NodeAddress, ...] | None = None


class Node(Read, frozen=True, kw_only=True, gc=False):
    """A Node."""

    metadata: NodeMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
