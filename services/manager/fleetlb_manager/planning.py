"""From a LoadBalancer, its cluster's nodes and its endpoints to what should be published. Writes nothing.

Without a grant, without a word of the watcher about the Service, or with a balancer group that was never seen, nothing
is planned: what is published stays.
"""

from collections.abc import Iterable

import msgspec

from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.objects import LoadBalancer, LoadBalancerSpec
from fleetlb.contracts.v1 import LoadBalancerRevision
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.planning import PlannedServer, plan_virtual_servers
from fleetlb.domain.services import ServiceEndpoints, TenantNode
from fleetlb_manager.balancer_groups import carriage_of
from fleetlb_manager.identities import ServiceKey, Slot
from fleetlb_manager.memory import Memory
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.publishing import Publishing, owner_of_service
from fleetlb_manager.virtual_server_tables import Content
from fleetlb_manager.workbench import Workbench


class Planner:
    """Plans one load balancer at a time."""

    def __init__(self, bench: Workbench, publishing: Publishing) -> None:
        """What differs from what is published goes to `publishing`."""
        self._memory = bench.memory
        self._publishing = publishing

    def plan(self, key: ServiceKey, item: LoadBalancer, observed: ObservedService, journey: Journey) -> bool:
        """Publish whatever is not published like this; whether there is any. `journey`: of the change up to here."""
        revision, is_news = LoadBalancerRevision(item.metadata.uid, item.metadata.generation), False
        for spec in self._memory.by_group(item.spec):
            for planned in planned_servers(self._memory, key, spec, observed.endpoints):
                content = Content(
                    owner=owner_of_service(key),
                    server=planned.server,
                    reason=planned.reason or "",
                    load_balancer=revision,
                )
                is_news = self._publishing.want(Slot(spec.group, planned.server.key), content, journey) or is_news
        return is_news


def planned_servers(
    memory: Memory, key: ServiceKey, spec: LoadBalancerSpec, endpoints: ServiceEndpoints | None
) -> tuple[PlannedServer, ...]:
    """Every virtual server of a load balancer; none without a grant, an address, or a group that was ever seen."""
    registration, carrier = memory.registrations.get(key.tenant), memory.carriers.get(spec.group)
    if registration is None or registration.grant is None or carrier is None or not spec.addresses:
        return ()
    routes = {address: memory.route_of(address, spec.group) for address in spec.addresses}
    cluster = memory.clusters.get(key.cluster_key)
    nodes = without_virtual_addresses(cluster.spec.nodes if cluster else (), memory.book)
    pods = without_virtual_pods(endpoints, memory.book)
    carriage = carriage_of(carrier, routes)
    return plan_virtual_servers(spec.service, spec.addresses, pods, nodes, registration.grant, carriage)


def without_virtual_addresses(nodes: Iterable[TenantNode], book: AddressBook) -> tuple[TenantNode, ...]:
    """Nodes without addresses that are VIPs, or may become some: a VIP behind a VIP would send traffic in circles."""
    return tuple(_cleaned(node, book) for node in nodes)


def _cleaned(node: TenantNode, book: AddressBook) -> TenantNode:
    addresses = tuple(address for address in node.addresses if not _is_virtual(address, book))
    return node if len(addresses) == len(node.addresses) else msgspec.structs.replace(node, addresses=addresses)


def without_virtual_pods(endpoints: ServiceEndpoints | None, book: AddressBook) -> ServiceEndpoints | None:
    """The same for pods."""
    if endpoints is None or not endpoints.pods:
        return endpoints
    pods = tuple(
        msgspec.structs.replace(group, pods=tuple(pod for pod in group.pods if not _is_virtual(pod.address, book)))
        for group in endpoints.pods
    )
    return msgspec.structs.replace(endpoints, pods=pods)


def _is_virtual(address: str, book: AddressBook) -> bool:
    try:
        return book.is_virtual(address)
    except ValueError:
        return False  # no address at all: the plan refuses it by itself
