"""What integrations are told: one struct for each type of event, which is the data of a CloudEvent (docs/events.md).

Each names its subject completely, so that nobody has to ask anything else. The rules of `proto-schemas/README.md` hold.
"""

import msgspec

from fleetlb.contracts.v1 import TYPE_PREFIX, Message, Whole
from fleetlb.domain.addresses import Protocol


class EventPort(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A port that clients dial."""

    port: Whole
    protocol: Protocol
    name: str = ""


class ServiceEvent(Message, frozen=True, kw_only=True, omit_defaults=False):
    """A tenant's Service as it is after the event."""

    revision: Whole
    """Grows with every change of the Service that is told; the events of one change share it."""
    tenant: str
    cluster_uid: str = msgspec.field(name="clusterUID")
    namespace: str
    name: str
    uid: str
    addresses: tuple[str, ...] = ()
    """All that it holds."""
    hostname: str = ""
    """The name that it shows its users instead of its addresses."""
    ports: tuple[EventPort, ...] = ()
    pool: str = ""
    group: str = ""
    serving: bool = False
    reason: str = ""
    """Why it serves or does not, or why it was refused: a stable code."""
    message: str = ""
    """The same in words, for people."""
    backends: Whole = 0
    """Backends that should take connections, on the node and port where it is worst."""
    healthy: Whole | None = None
    """How many of those do; null: nobody checks them."""


class AddressEvent(ServiceEvent, frozen=True, kw_only=True, omit_defaults=False):
    """A Service and one of its addresses."""

    address: str
    since: str
    """When the Service got the address (RFC 3339)."""


class AddressAllocated(AddressEvent, frozen=True, kw_only=True):
    """An address is a Service's. An address that Services share is allocated to each of them."""


class AddressReleased(AddressEvent, frozen=True, kw_only=True):
    """A Service has an address no more. It rests before anybody else may get it."""


class PortsChanged(ServiceEvent, frozen=True, kw_only=True):
    """A Service that has addresses takes connections on other ports, or under another host name."""


class Serving(ServiceEvent, frozen=True, kw_only=True):
    """Every balancer node carries the Service, and a probe through its address was answered."""


class NotServing(ServiceEvent, frozen=True, kw_only=True):
    """A Service serves no more, or does not serve for another reason than before."""


class BackendUnhealthy(ServiceEvent, frozen=True, kw_only=True):
    """More backends of a Service than before fail the balancer nodes' checks."""


class BackendHealthy(ServiceEvent, frozen=True, kw_only=True):
    """Fewer backends of a Service than before fail the balancer nodes' checks."""


class Refused(ServiceEvent, frozen=True, kw_only=True):
    """What a Service wishes was refused, for want of quota for example; addresses that it has stay."""


class Granted(ServiceEvent, frozen=True, kw_only=True):
    """The wish of a Service that had been refused is granted, or was taken back."""


class NodeEvent(Message, frozen=True, kw_only=True, omit_defaults=False):
    """A balancer node as it is after the event."""

    revision: Whole
    """Grows with every change of the node that is told."""
    group: str
    node: str
    engine: str = ""
    version: str = ""


class NodeJoined(NodeEvent, frozen=True, kw_only=True):
    """A balancer node of a group says that it is ready."""


class NodeLost(NodeEvent, frozen=True, kw_only=True):
    """A balancer node was taken out of its group, or says that it is not ready. One that falls silent is not lost."""


class DriftRepaired(NodeEvent, frozen=True, kw_only=True):
    """A balancer node has mended what others changed in its data plane."""

    repairs: Whole
    """How much of it since the last such event: virtual servers, routes, rules and switches."""


SERVICE_EVENTS: tuple[type[ServiceEvent], ...] = (
    AddressAllocated,
    AddressReleased,
    PortsChanged,
    Serving,
    NotServing,
    BackendUnhealthy,
    BackendHealthy,
    Refused,
    Granted,
)
NODE_EVENTS: tuple[type[NodeEvent], ...] = (NodeJoined, NodeLost, DriftRepaired)
Event = ServiceEvent | NodeEvent
ALL_EVENTS: tuple[type[Event], ...] = (*SERVICE_EVENTS, *NODE_EVENTS)


def word_of(kind: type[Event]) -> str:
    """`address-allocated`: the last token of the subjects of a type of event."""
    return str(kind.__struct_config__.tag).removeprefix(TYPE_PREFIX).replace("_", "-")
