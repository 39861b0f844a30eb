"""From the nodes of a cluster to where new connections go, and which changes of a node are told at all.

Everything on the way is the production code; only the transports between are left out.
"""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.v1 import NodesObserved
from fleetlb.domain.conditions import Reason
from fleetlb.domain.planning import Carriage, PlannedServer, plan_virtual_servers
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService
from fleetlb.domain.tenancy import Grant, parse_node_networks
from fleetlb.testkit.tenant_objects import a_node
from fleetlb_tenant_watcher.kube_objects import EXCLUDE_LABEL, Node
from fleetlb_tenant_watcher.nodes import DOOMED_TAINT, AddressType, Nodes

GRANT = Grant(
    tenant="acme",
    node_networks=parse_node_networks(["10.1.0.0/16", "203.0.113.0/24", "fd00::/64"]),
    node_ports=range(30000, 32768),
)
WEB = TenantService(namespace="shop", name="web", ports=(ServicePort(port=443, node_port=31777),))
READY = ServiceEndpoints(ready=True)
VIP, VIP6 = "192.0.2.7", "2001:db8::7"


class Way:
    """A watcher's nodes at one end, a plan at the other, and between them what the hub was told last."""

    def __init__(self, *types: AddressType) -> None:
        self.nodes = Nodes(types) if types else Nodes()
        self.told: tuple[TenantNode, ...] = ()
        self.messages = 0
        self.version = 0

    def see(self, name: str, **given: Any) -> None:
        """A watch shows a node; a message follows if that is news."""
        self.version += 1
        addresses = given.pop("addresses", (("InternalIP", f"10.1.0.{ord(name)}"),))
        item = a_node(name, version=self.version, addresses=addresses, **given)
        if self.nodes.put(msgspec.convert(item, Node)):
            self._tell()

    def lose(self, name: str) -> None:
        if self.nodes.drop(name):
            self._tell()

    def planned(self, vip: str = VIP) -> PlannedServer:
        (planned,) = plan_virtual_servers(WEB, (vip,), READY, self.told, GRANT, Carriage())
        return planned

    def backends(self) -> str:
        """Names of the nodes that take new connections."""
        return "".join(sorted(real.node for real in self.planned().server.real_servers))

    def _tell(self) -> None:
        self.messages += 1
        self.told = decode(NodesObserved, encode(NodesObserved(nodes=self.nodes.tell()))).nodes


@pytest.fixture
def way() -> Way:
    """Two nodes, told."""
    made = Way()
    made.see("a")
    made.see("b")
    assert (made.backends(), made.messages) == ("ab", 2)
    return made


@pytest.mark.parametrize(
    ("value", "backends"),
    [("", "b"), ("true", "b"), ("1", "b"), ("yes", "b"), ("FaLsE", "b"), ("false", "ab"), ("0", "ab"), ("F", "ab")],
)
def test_NOD_1_the_excluding_label_is_read_as_go_reads_a_bool(way: Way, value: str, backends: str) -> None:
    way.see("a", labels={EXCLUDE_LABEL: value})
    assert way.backends() == backends
    way.see("a")
    assert way.backends() == "ab"


def test_NOD_2_a_node_that_is_being_deleted_is_out(way: Way) -> None:
    way.see("a", deleting=True)
    assert way.backends() == "b"


def test_NOD_3_the_taint_of_the_autoscaler_counts_once_something_else_changes(way: Way) -> None:
    way.see("a", taints=(DOOMED_TAINT,))
    assert (way.backends(), way.messages) == ("ab", 2)
    way.see("c")
    assert (way.backends(), way.messages) == ("bc", 3)
    way.see("a")
    assert (way.backends(), way.messages) == ("abc", 4)


@pytest.mark.parametrize(
    "given",
    [
        {"conditions": [{"type": "Ready", "status": "False"}]},
        {"conditions": [{"type": "Ready", "status": "Unknown"}], "taints": ("node.kubernetes.io/unreachable",)},
    ],
)
def test_NOD_4_a_node_that_is_not_ready_stays_and_nobody_is_told(way: Way, given: dict[str, Any]) -> None:
    before = way.planned()
    way.see("a", **given)
    assert (way.planned(), way.messages) == (before, 2)


def test_NOD_5_a_cordon_alone_excludes_no_node(way: Way) -> None:
    way.see("a", taints=("node.kubernetes.io/unschedulable",))
    assert (way.backends(), way.messages) == ("ab", 2)


def test_NOD_6_nodes_come_and_go_and_change_their_label(way: Way) -> None:
    way.see("c")
    assert way.backends() == "abc"
    way.lose("b")
    assert way.backends() == "ac"
    way.see("a", labels={EXCLUDE_LABEL: ""})
    assert way.backends() == "c"
    assert way.messages == 5


def test_NOD_7_heartbeats_are_told_to_nobody(way: Way) -> None:
    for beat in range(10):
        way.see("a", conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": str(beat)}], images=[{}])
    assert way.messages == 2


def test_NOD_8_without_an_eligible_node_that_is_said_until_there_is_one(way: Way) -> None:
    way.see("a", labels={EXCLUDE_LABEL: ""})
    way.lose("b")
    assert (way.planned().server.real_servers, way.planned().reason) == ((), Reason.NO_ELIGIBLE_NODE)
    way.see("b")
    assert (way.backends(), way.planned().reason) == ("b", None)


def test_NOD_9_another_address_of_a_node_is_followed(way: Way) -> None:
    way.see("a", addresses=(("InternalIP", "10.1.9.9"),))
    assert [real.address for real in way.planned().server.real_servers] == ["10.1.0.98", "10.1.9.9"]


@pytest.mark.parametrize(
    ("types", "v4", "v6"),
    [
        ((), "10.1.0.1", "fd00::1"),
        ((AddressType.EXTERNAL, AddressType.INTERNAL), "203.0.113.1", "fd00::1"),
        ((AddressType.EXTERNAL,), "203.0.113.1", None),
        ((AddressType.INTERNAL,), "10.1.0.1", "fd00::1"),
    ],
    ids=["default", "external first", "external alone", "internal alone"],
)
def test_NOD_10_the_preferred_address_is_used_in_each_family_and_else_another(
    types: tuple[AddressType, ...], v4: str, v6: str | None
) -> None:
    """The ExternalIP of the second family lies outside of what the tenant may use, and so counts as none."""
    way = Way(*types)
    given = [("InternalIP", "10.1.0.1"), ("ExternalIP", "203.0.113.1"), ("InternalIP", "fd00::1")]
    way.see("a", addresses=(*given, ("ExternalIP", "2001:db8:9::1")))
    found = [[real.address for real in way.planned(vip).server.real_servers] for vip in (VIP, VIP6)]
    assert found == [[v4], [v6] if v6 else []]
