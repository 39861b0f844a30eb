"""Who says what to whom, and where: every message with its subjects, writer, readers and stream.

The documentation in proto-schemas is generated from this table. No part of fleetlb decides anything by it.
"""

import msgspec

from fleetlb.contracts import events, plans, streams, subjects, told, v1
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey

_KEY = VirtualServerKey("192.0.2.1", 1, Protocol.TCP)
_PLACES = {
    "ACCOUNT": "account",
    "CLUSTER": "cluster",
    "GROUP": "group",
    "NODE": "node",
    "UID": "uid",
    "TENANT": "tenant",
    subjects.key_token(_KEY): "key",
    subjects.address_token(_KEY.address): "address",
    "*": "account",
    "LEASE": "lease",
}
"""What stands for a parameter in the samples below, so that the grammar stays in `subjects` alone."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of subject of the hub account, the one part that writes it and those that read it."""

    name: str
    subject: str
    """With `{parameters}` in braces."""
    message: type[v1.Message]
    writer: str
    readers: tuple[str, ...]
    stream: str = ""
    """The stream that keeps the last message per subject; empty: nothing keeps it."""
    local: str = ""
    """What a tenant's account calls the subject."""
    reply: type[v1.Message] | None = None
    summary: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the subject."""
        tokens = self.subject.split(".")
        return tuple(token.strip("{}") for token in tokens if token.startswith("{"))


def _template(sample: str) -> str:
    """A subject made of samples as one made of `{parameters}`."""
    return ".".join(f"{{{_PLACES[token]}}}" if token in _PLACES else token for token in sample.split("."))


def _observed(local: str) -> str:
    return _template(subjects.observed_of("ACCOUNT").removesuffix(">") + local.removeprefix("observed."))


_OBSERVED = streams.observed_stream("ACCOUNT").name.replace("ACCOUNT", "{account}")
_DESIRED = streams.desired_stream("GROUP").name.replace("GROUP", "{group}")
_ALLOWED = streams.allowed_stream("GROUP").name.replace("GROUP", "{group}")
_ANNOUNCED = streams.announced_stream("GROUP").name.replace("GROUP", "{group}")
_REALIZED = streams.realized_stream("GROUP").name.replace("GROUP", "{group}")


def _event(kind: type[events.Event], tenant: str) -> Channel:
    return Channel(
        name=kind.__name__[0].lower() + kind.__name__[1:],
        subject=_template(subjects.event(tenant, events.word_of(kind))),
        message=kind,
        writer="status",
        readers=("integration",),
        stream=streams.events_stream().name,
        summary=(kind.__doc__ or "").split("\n", 1)[0],
    )


CHANNELS = (
    Channel(
        name="serviceObserved",
        subject=_template(subjects.observed_service("ACCOUNT", "CLUSTER", "UID")),
        local=_template(subjects.local_observed_service("CLUSTER", "UID")),
        message=v1.ServiceObserved,
        writer="tenant-watcher",
        readers=("manager",),
        stream=_OBSERVED,
        summary="One Service of a tenant cluster.",
    ),
    Channel(
        name="nodesObserved",
        subject=_observed(subjects.local_observed_nodes("CLUSTER")),
        local=_template(subjects.local_observed_nodes("CLUSTER")),
        message=v1.NodesObserved,
        writer="tenant-watcher",
        readers=("manager",),
        stream=_OBSERVED,
        summary="The nodes of a tenant cluster.",
    ),
    Channel(
        name="inventoryObserved",
        subject=_observed(subjects.local_observed_inventory("CLUSTER")),
        local=_template(subjects.local_observed_inventory("CLUSTER")),
        message=v1.InventoryObserved,
        writer="tenant-watcher",
        readers=("manager",),
        stream=_OBSERVED,
        summary="Which Services a watcher holds, said again and again.",
    ),
    Channel(
        name="resyncRequested",
        subject=_template(subjects.resync("ACCOUNT", "CLUSTER")),
        local=_template(subjects.local_resync("CLUSTER")),
        message=v1.ResyncRequested,
        writer="manager",
        readers=("tenant-watcher",),
        summary="Asks one cluster's watcher to publish everything again.",
    ),
    Channel(
        name="virtualServerDesired",
        subject=_template(subjects.desired("GROUP", _KEY)),
        message=v1.VirtualServerDesired,
        writer="manager",
        readers=("dataplane-programmer", "manager"),
        stream=_DESIRED,
        summary="What every node of a group should serve under one key.",
    ),
    Channel(
        name="tenantAllowed",
        subject=_template(subjects.allowed("GROUP", "TENANT")),
        message=v1.TenantAllowed,
        writer="manager",
        readers=("dataplane-programmer", "manager"),
        stream=_ALLOWED,
        summary="What one tenant may have on a group, signed: nodes hold every wish against it.",
    ),
    Channel(
        name="virtualServerRealized",
        subject=_template(subjects.realized("GROUP", "NODE", _KEY)),
        message=v1.VirtualServerRealized,
        writer="dataplane-programmer",
        readers=("manager", "status"),
        stream=_REALIZED,
        summary="What one node serves under one key.",
    ),
    Channel(
        name="nodeRealized",
        subject=_template(subjects.realized_node("GROUP", "NODE")),
        message=v1.NodeRealized,
        writer="dataplane-programmer",
        readers=("manager", "status"),
        stream=_REALIZED,
        summary="What one balancer node is and can do.",
    ),
    Channel(
        name="groupInstructed",
        subject=_template(subjects.instructed("GROUP")),
        message=v1.GroupInstructed,
        writer="manager",
        readers=("dataplane-programmer", "manager", "status"),
        stream=_ANNOUNCED,
        summary="What a balancer group's nodes must know of it, signed: who is to be emptied, what to say by BGP.",
    ),
    Channel(
        name="nodePresent",
        subject=_template(subjects.present("GROUP", "NODE")),
        message=v1.NodePresent,
        writer="dataplane-programmer",
        readers=("dataplane-programmer", "status"),
        stream=_ANNOUNCED,
        summary="A balancer node takes part in who answers for VIPs on layer 2, until its lease ends.",
    ),
    Channel(
        name="vipCarried",
        subject=_template(subjects.carried("GROUP", "NODE", _KEY.address)),
        message=v1.VipCarried,
        writer="dataplane-programmer",
        readers=("dataplane-programmer", "status"),
        stream=_ANNOUNCED,
        summary="Whether a balancer node carries one VIP, and tells the network so.",
    ),
    Channel(
        name="serviceReleased",
        subject=_template(subjects.released("ACCOUNT", "CLUSTER", "UID")),
        message=v1.ServiceReleased,
        writer="manager",
        readers=("status",),
        summary="Nothing of a Service is left in the hub.",
    ),
    Channel(
        name="serviceReported",
        subject=_template(subjects.reported("ACCOUNT", "CLUSTER", "UID")),
        local=_template(subjects.local_reported("CLUSTER").replace("*", "UID")),
        message=v1.ServiceReported,
        writer="status",
        readers=("tenant-watcher",),
        summary="The truth about one Service, for its tenant.",
    ),
    Channel(
        name="snapshotRequested",
        subject=_template(subjects.ALL_SNAPSHOTS),
        local=subjects.LOCAL_SNAPSHOT,
        message=v1.SnapshotRequested,
        writer="tenant-watcher",
        readers=("status",),
        reply=v1.SnapshotAnswered,
        summary="Asks for every report of one cluster again; the answer says how many follow.",
    ),
    Channel(
        name="credentialsRequested",
        subject=_template(subjects.ALL_CREDENTIALS),
        local=subjects.LOCAL_CREDENTIALS,
        message=v1.CredentialsRequested,
        writer="tenant-watcher",
        readers=("manager",),
        reply=v1.CredentialsIssued,
        summary="Asks for the next credentials; the answer holds them once it is time.",
    ),
    Channel(
        name="renewalRequested",
        subject=_template(subjects.renewal("ACCOUNT")),
        local=subjects.LOCAL_RENEWAL,
        message=v1.RenewalRequested,
        writer="manager",
        readers=("tenant-watcher",),
        summary="Asks a tenant's watchers to ask for their next credentials.",
    ),
    Channel(
        name="storeMarked",
        subject=_template(subjects.marked("LEASE")),
        message=v1.StoreMarked,
        writer="manager",
        readers=("manager", "status"),
        stream=streams.MARKS_STREAM.name,
        summary="How far the management cluster's store had come; each service with a Lease says it of its own.",
    ),
    Channel(
        name="partitionsHeld",
        subject=subjects.HELD,
        message=v1.PartitionsHeld,
        writer="manager",
        readers=("manager",),
        summary="Which partitions of tenants a manager holds.",
    ),
    Channel(
        name="servicesPlanRequested",
        subject=subjects.PLAN_SERVICES,
        message=plans.ServicesPlanRequested,
        writer="cli",
        readers=("manager",),
        reply=plans.ServicesPlanAnswered,
        summary="Asks what would become of Services; the manager that acts for their tenant answers.",
    ),
    Channel(
        name="poolPlanRequested",
        subject=subjects.PLAN_POOL,
        message=plans.PoolPlanRequested,
        writer="cli",
        readers=("manager",),
        reply=plans.PoolPlanAnswered,
        summary="Asks what would become of an AddressPool; the manager that acts for the fleet answers.",
    ),
    *(_event(kind, "TENANT") for kind in events.SERVICE_EVENTS),
    *(_event(kind, subjects.FLEET) for kind in events.NODE_EVENTS),
    Channel(
        name="serviceTold",
        subject=_template(subjects.told_service("TENANT", "UID")),
        message=told.ServiceTold,
        writer="status",
        readers=("status",),
        stream=streams.TOLD_STREAM.name,
        summary="What integrations have been told of one Service.",
    ),
    Channel(
        name="nodeTold",
        subject=_template(subjects.told_node("GROUP", "NODE")),
        message=told.NodeTold,
        writer="status",
        readers=("status",),
        stream=streams.TOLD_STREAM.name,
        summary="What integrations have been told of one balancer node.",
    ),
)

MESSAGES: tuple[type[v1.Message], ...] = tuple(
    dict.fromkeys(kind for channel in CHANNELS for kind in (channel.message, channel.reply) if kind is not None)
)
"""Every message of this version."""


def name_of(kind: type[v1.Message]) -> str:
    """`service_observed`: the last word of a message's type id, and the name of its schema."""
    return str(kind.__struct_config__.tag).removeprefix(v1.TYPE_PREFIX)
