"""The world outside as it is at one instant, in the words of the promises. Only reads."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fleetlb.contracts import codec, events, streams, subjects
from fleetlb.contracts.events import ServiceEvent
from fleetlb.contracts.object_meta import GROUP as API_GROUP
from fleetlb.contracts.v1 import VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.service_wishes import STANDARD_FINALIZER
from fleetlb.testkit.fake_kube import Object, Place
from tests.simulation.outside import GROUP, NETWORKS, SHOP, Outside

Order = tuple[int, int]
"""Generation and revision."""


class Owned(NamedTuple):
    """A tenant's Service."""

    tenant: str
    item: Object

    @property
    def uid(self) -> str:
        uid: str = self.item["metadata"]["uid"]
        return uid

    @property
    def name(self) -> str:
        name: str = self.item["metadata"]["name"]
        return name

    @property
    def is_wanted(self) -> bool:
        """Whether it asks for a load balancer."""
        return self.item["spec"]["type"] == "LoadBalancer" and "deletionTimestamp" not in self.item["metadata"]

    @property
    def is_guarded(self) -> bool:
        """Whether it cannot go without us."""
        return STANDARD_FINALIZER in self.item["metadata"].get("finalizers", ())

    @property
    def shown(self) -> list[str]:
        """The addresses that its status shows."""
        return [entry["ip"] for entry in self.item["status"].get("loadBalancer", {}).get("ingress", ())]

    @property
    def conditions(self) -> dict[str, Object]:
        """Those of its status, by type."""
        found: list[Object] = self.item["status"].get("conditions", [])
        return {condition["type"]: condition for condition in found}

    @property
    def ports(self) -> dict[int, int]:
        """Where clients dial, and the node port behind it."""
        return {port["port"]: port["nodePort"] for port in self.item["spec"]["ports"]}

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name} ({self.uid})"


class Picture:
    """What there is now."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    @property
    def services(self) -> Iterator[Owned]:
        """Every Service of every tenant."""
        for tenant, kube in self.outside.tenants.items():
            for item in kube.of("services"):
                yield Owned(tenant, item)

    @property
    def tenants(self) -> dict[str, Object]:
        """The Tenant objects, by name."""
        return {item["metadata"]["name"]: item for item in self._ours("tenants")}

    @property
    def claims(self) -> dict[str, Object]:
        """The AddressClaims, by address."""
        return {item["spec"]["address"]: item for item in self._ours("addressclaims")}

    @property
    def load_balancers(self) -> dict[str, Object]:
        """The LoadBalancers, by the UID of their Service."""
        return {item["metadata"]["name"]: item for item in self._ours("loadbalancers")}

    @property
    def pool(self) -> Object:
        """The one AddressPool."""
        found: Object = self._ours("addresspools")[0]
        return found

    @property
    def wishes(self) -> dict[tuple[str, VirtualServerKey], VirtualServerDesired]:
        """What the streams of the groups ask for."""
        found = [
            (group, codec.decode(VirtualServerDesired, data))
            for group in self.outside.groups
            for _, data in self._said(streams.desired_stream(group).name)
        ]
        return {(group, wish.key): wish for group, wish in found}

    @property
    def place(self) -> str:
        """The group that the pool names."""
        group: str = self.pool["spec"].get("group", GROUP)
        return group

    @property
    def words(self) -> dict[tuple[str, VirtualServerKey], VirtualServerRealized]:
        """What each node has said last of each key."""
        groups = self.outside.groups
        said = [each for group in groups for each in self._said(streams.realized_stream(group).name)]
        found = (codec.decode(VirtualServerRealized, data) for subject, data in said if not subject.endswith(".node"))
        return {(word.node, word.key): word for word in found}

    @property
    def told(self) -> dict[str, ServiceEvent]:
        """The last event about each Service, by its UID."""
        found = self.outside.hub.streams.get(streams.events_stream().name)
        messages = [message for kept in found.messages.values() for message in kept] if found else []
        kinds = {events.word_of(kind): kind for kind in events.SERVICE_EVENTS}
        told = (
            codec.decode(kinds[message.subject.rpartition(".")[2]], message.data)
            for message in sorted(messages, key=lambda message: message.stream_sequence)
            if subjects.FLEET not in message.subject
        )
        return {event.uid: event for event in told}

    def is_ready(self, service: Owned) -> bool:
        """Whether a Service has a ready endpoint."""
        place = Place("endpointslices.discovery.k8s.io", SHOP, f"{service.name}-1")
        item = self.outside.tenants[service.tenant].objects[place]
        return any(bool(endpoint["conditions"]["ready"]) for endpoint in item["endpoints"])

    def secrets_of(self, tenant: str) -> list[str]:
        """The names of what is kept of a tenant's account."""
        names = (item["metadata"]["name"] for item in self.outside.management.of("secrets"))
        return [name for name in names if tenant in name]

    def _ours(self, plural: str) -> list[Any]:
        return self.outside.management.of(f"{plural}.{API_GROUP}")

    def _said(self, stream: str) -> list[tuple[str, bytes]]:
        found = self.outside.hub.streams.get(stream)
        if found is None:
            return []
        return [(message.subject, message.data) for message in found.last_per_subject(f"{subjects.ROOT}.>")]


def tenant_of(address: str) -> str:
    """Whose node has an address."""
    return next(name for name, network in NETWORKS.items() if address.startswith(f"{network}."))


def order_of(message: VirtualServerDesired | VirtualServerRealized) -> Order:
    """Where a message stands among those of its key."""
    return message.generation, message.revision
