"""The few fields of a Service that are read. Shapes only: knows no rule about them.

Types are lenient on purpose: what a field may hold is judged in `service_wishes`, where a tenant can be told about it.
"""

import msgspec


class Read(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Read from the API server, never written."""


class Meta(Read, frozen=True, kw_only=True, gc=False):
    """What a watch needs of every object."""

    name: str
    namespace: str = ""
    uid: str
    resource_version: str = ""


class ServiceMeta(Meta, frozen=True, kw_only=True, gc=False):
    """Metadata of a Service."""

    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ServicePortSpec(Read, frozen=True, kw_only=True, gc=False):
    """One of `spec.ports`."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0


class ClientIPConfig(Read, frozen=True, kw_only=True, gc=False):
    """`spec.sessionAffinityConfig.clientIP`."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(Read, frozen=True, kw_only=True, gc=False):
    """`spec.sessionAffinityConfig`."""

    client_ip: ClientIPConfig | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(Read, frozen=True, kw_only=True, gc=False):
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


class IngressEntry(Read, frozen=True, kw_only=True, gc=False):
    """One of `status.loadBalancer.ingress`, as anybody may have written it."""

    ip: str = ""
    ip_mode: str = ""
    hostname: str = ""
    ports: tuple[dict[str, object], ...] | None = None


class LoadBalancerShown(Read, frozen=True, kw_only=True, gc=False):
    """`status.loadBalancer`."""

    ingress: tuple[IngressEntry, ...] | None = None


class ConditionShown(Read, frozen=True, kw_only=True, gc=False):
    """One of `status.conditions`, as anybody may have written it."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ServiceStatus(Read, frozen=True, kw_only=True, gc=False):
    """`status` of a Service."""

    load_balancer: LoadBalancerShown = LoadBalancerShown()
    conditions: tuple[ConditionShown, ...] | None = None


class Service(Read, frozen=True, kw_only=True, gc=False):
    """A Service."""

    metadata: ServiceMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()
