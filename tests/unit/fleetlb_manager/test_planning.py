from msgspec.structs import replace

from fleetlb.contracts.journeys import NOT_TRAVELLED
from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints, TenantNode
from fleetlb.domain.virtual_servers import Forwarding, Scheduler, VirtualServer
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.planning import Planner, without_virtual_addresses, without_virtual_pods
from fleetlb_manager.publishing import Publishing
from fleetlb_manager.registering import NOT_READY, Registration
from tests.unit.fleetlb_manager.manager_world import a_key, a_load_balancer, a_wish, a_world

SEEN = ObservedService(digest="d", wish="w", service=a_wish(), endpoints=None)


class Planned:
    """A planner of a small world, and what it wants published."""

    def __init__(self) -> None:
        self.world = a_world()
        publishing = Publishing(
            self.world.bench, self.world, allow=self.world.allowing.ensure, bar=self.world.allowing.bar
        )
        self.wanted: dict[str, tuple[list[str], str]] = {}
        self.servers: list[VirtualServer] = []

        def want(slot, content, journey=NOT_TRAVELLED):  # type: ignore[no-untyped-def]
            backends = [f"{real.address}:{real.port}" for real in content.server.real_servers]
            self.wanted[str(slot)] = (backends, content.reason)
            self.servers.append(content.server)
            return True

        publishing.want = want  # type: ignore[method-assign]
        self.planner = Planner(self.world.bench, publishing)

    def plan(self, seen: ObservedService = SEEN, *addresses: str, **item: object) -> dict[str, tuple[list[str], str]]:
        self.wanted.clear()
        load_balancer = a_load_balancer(a_key(), *(addresses or ("192.0.2.1",)), **item)  # type: ignore[arg-type]
        self.planner.plan(a_key(), load_balancer, seen, NOT_TRAVELLED)
        return self.wanted


def test_the_plan_is_that_of_the_wish_in_force() -> None:
    planned = Planned()
    assert planned.plan(service=a_wish(ports=(4443,), node_ports=(31777,))) == {
        "default/192.0.2.1:4443/tcp": (["10.1.0.1:31777"], "")
    }
    idle = replace(SEEN, endpoints=ServiceEndpoints(ready=False))
    assert planned.plan(idle) == {"default/192.0.2.1:443/tcp": ([], "NoReadyBackend")}


def test_without_a_grant_or_an_address_nothing_is_planned() -> None:
    planned = Planned()
    planned.planner.plan(a_key(), a_load_balancer(a_key()), SEEN, NOT_TRAVELLED)
    assert planned.wanted == {}
    planned.world.memory.registrations["acme"] = Registration(refusal=NOT_READY)
    assert planned.plan() == {}
    planned.world.memory.registrations.clear()
    assert planned.plan() == {}


def test_the_group_and_the_pools_say_how_it_is_carried() -> None:
    planned = Planned()
    planned.world.regroup(
        engine=EngineName.IPVS,
        forwarding=Forwarding.DIRECT,
        scheduler=Scheduler.WEIGHTED_ROUND_ROBIN,
        drain_seconds=7,
    )
    planned.plan(service=a_wish(affinity_seconds=60))
    (server,) = planned.servers
    assert (server.forwarding, server.scheduler, server.drain_seconds) == (Forwarding.DIRECT, Scheduler("wrr"), 7)
    assert (server.affinity_seconds, server.prefix) == (60, "192.0.2.0/29")
    assert [(real.port, real.check_port) for real in server.real_servers] == [(443, 31000)]


def test_with_a_group_that_was_never_seen_nothing_is_planned() -> None:
    planned = Planned()
    planned.world.memory.carriers.clear()
    assert planned.plan() == {}


def test_without_a_cluster_there_is_no_node() -> None:
    planned = Planned()
    planned.world.folding.cluster_gone(next(iter(planned.world.kept.clusters.values())))
    assert planned.plan() == {"default/192.0.2.1:443/tcp": ([], "NoEligibleNode")}


def test_a_virtual_address_is_no_backend() -> None:
    book = AddressBook()
    book.set_pool(AddressRange(name="p", intervals=parse_intervals(["10.1.0.0/24"])))
    clean = TenantNode(name="a", addresses=("10.1.1.1",))
    circular = TenantNode(name="b", addresses=("10.1.0.7", "no address", "10.1.1.2"))
    assert without_virtual_addresses((clean, circular), book) == (
        clean,
        TenantNode(name="b", addresses=("no address", "10.1.1.2")),
    )


def test_an_address_that_is_held_is_no_backend_though_its_pool_has_lost_it() -> None:
    book = AddressBook()
    book.take("10.1.0.7", "somebody", pool="p")
    (node,) = without_virtual_addresses((TenantNode(name="b", addresses=("10.1.0.7", "10.1.0.8")),), book)
    assert node.addresses == ("10.1.0.8",)


def test_a_virtual_address_is_no_pod() -> None:
    book = AddressBook()
    book.set_pool(AddressRange(name="p", intervals=parse_intervals(["10.244.0.0/24"])))
    pods = (Pod("10.244.0.7"), Pod("10.244.1.7"), Pod("no address"))
    told = ServiceEndpoints(ready=True, pods=(PodGroup(ports=(PodPort(port=80),), pods=pods),))
    left = without_virtual_pods(told, book)
    assert left is not None
    assert left.pods == (PodGroup(ports=(PodPort(port=80),), pods=pods[1:]),)
    for nothing in (None, ServiceEndpoints(ready=True), ServiceEndpoints(pods=())):
        assert without_virtual_pods(nothing, book) is nothing
