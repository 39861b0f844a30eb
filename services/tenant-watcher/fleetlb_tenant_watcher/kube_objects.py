"""The few fields of Services, EndpointSlices and Nodes that are read. Shapes only: knows no rule about them.

Types are lenient on purpose: what a field may hold is judged in `observing`, where a tenant can be told about it.
"""

import msgspec

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class _Read(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Read from the API server, never written."""


class _Meta(_Read, frozen=True, kw_only=True, gc=False):
    """What a watch needs of every object."""

    name: str
    namespace: str = ""
    uid: str
    resource_version: str = ""


class ServiceMeta(_Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of a Service."""

    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ServicePortSpec(_Read, frozen=True, kw_only=True, gc=False):
    """One of `spec.ports`."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0


class ClientIPConfig(_Read, frozen=True, kw_only=True, gc=False):
    """`spec.sessionAffinityConfig.clientIP`."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(_Read, frozen=True, kw_only=True, gc=False):
    """`spec.sessionAffinityConfig`."""

    client_ip: ClientIPConfig | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(_Read, frozen=True, kw_only=True, gc=False):
    """`spec` of a Service."""

    type: str = "ClusterIP"
    load_balancer_class: str | None = None
    ports: tuple[ServicePortSpec, ...] | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str = "SingleStack"
    external_traffic_policy: str = ""
    health_check_node_port: int = 0
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    load_balancer_ip: str = msgspec.field(name="loadBalancerIP", default="")
    load_balancer_source_ranges: tuple[str, ...] | None = None


class IngressEntry(_Read, frozen=True, kw_only=True, gc=False):
    """One of `status.loadBalancer.ingress`, as anybody may have written it."""

    ip: str = ""
    ip_mode: str = ""
    hostname: str = ""
    ports: tuple[dict[str, object], ...] | None = None


class LoadBalancerShown(_Read, frozen=True, kw_only=True, gc=False):
    """`status.loadBalancer`."""

    ingress: tuple[IngressEntry, ...] | None = None


class ConditionShown(_Read, frozen=True, kw_only=True, gc=False):
    """One of `status.conditions`, as anybody may have written it."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ServiceStatus(_Read, frozen=True, kw_only=True, gc=False):
    """`status` of a Service."""

    load_balancer: LoadBalancerShown = LoadBalancerShown()
    conditions: tuple[ConditionShown, ...] | None = None


class Service(_Read, frozen=True, kw_only=True, gc=False):
    """A Service."""

    metadata: ServiceMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class SliceLabels(msgspec.Struct, frozen=True, gc=False):
    """The one label that says whose slice it is."""

    service_name: str = msgspec.field(name=SERVICE_NAME_LABEL, default="")


class SliceMeta(_Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of an EndpointSlice."""

    labels: SliceLabels | None = None


class EndpointConditions(_Read, frozen=True, kw_only=True, gc=False):
    """Absent means: ready yes, serving like ready, terminating no."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(_Read, frozen=True, kw_only=True, gc=False):
    """One endpoint."""

    addresses: tuple[str, ...] | None = None
    node_name: str | None = None
    conditions: EndpointConditions | None = None


class EndpointPort(_Read, frozen=True, kw_only=True, gc=False):
    """One port of a slice. Absent means: no name, TCP, and every port, which is none in particular."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(_Read, frozen=True, kw_only=True, gc=False):
    """An EndpointSlice."""

    metadata: SliceMeta
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class NodeLabels(msgspec.Struct, frozen=True, gc=False):
    """The one label that takes a node out."""

    excluded: str | None = msgspec.field(name=EXCLUDE_LABEL, default=None)


class NodeMeta(_Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of a Node."""

    deletion_timestamp: str | None = None
    labels: NodeLabels | None = None


class Taint(_Read, frozen=True, kw_only=True, gc=False):
    """A taint; only its key matters here."""

    key: str = ""


class NodeSpec(_Read, frozen=True, kw_only=True, gc=False):
    """`spec` of a Node."""

    taints: tuple[Taint, ...] | None = None


class NodeAddress(_Read, frozen=True, kw_only=True, gc=False):
    """One of `status.addresses`."""

    type: str = ""
    address: str = ""


class NodeStatus(_Read, frozen=True, kw_only=True, gc=False):
    """`status` of a Node."""

    addresses: tuple[NodeAddress, ...] | None = None


class Node(_Read, frozen=True, kw_only=True, gc=False):
    """A Node."""

    metadata: NodeMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
