"""From EndpointSlices to where new connections go, step by step, as pods move and end.

Everything on the way is the production code; only the transports between are left out.
"""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.v1 import ServiceObserved
from fleetlb.domain.planning import Carriage, PlannedServer, plan_virtual_servers
from fleetlb.domain.services import TenantNode
from fleetlb.domain.tenancy import Grant, parse_node_networks, parse_pod_networks
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import STANDARD_FINALIZER, Selection
from fleetlb.testkit.tenant_objects import a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.deciding import decide_message
from fleetlb_tenant_watcher.kube_objects import EndpointSlice
from fleetlb_tenant_watcher.memory import Memory

NODES = tuple(TenantNode(name=name, addresses=(f"10.1.0.{number}",)) for number, name in enumerate("abc", start=1))
GRANT = Grant(
    tenant="acme",
    node_networks=parse_node_networks(["10.1.0.0/16"]),
    node_ports=range(30000, 32768),
    pod_networks=parse_pod_networks(["10.244.0.0/16"]),
)
READY: dict[str, Any] = {"ready": True, "serving": True, "terminating": False}
STARTING: dict[str, Any] = {"ready": False, "serving": False, "terminating": False}
ENDING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
ENDED: dict[str, Any] = {"ready": False, "serving": False, "terminating": True}
ALWAYS: dict[str, Any] = {"ready": True, "serving": False, "terminating": True}
"""What publishNotReadyAddresses makes of any pod."""

Pods = dict[str, dict[str, Any]]
"""Node to the state of the one pod on it."""


class Way:
    """A watcher's memory at one end, a plan at the other."""

    def __init__(self, policy: str, *, with_pods: bool = False) -> None:
        self.memory = Memory(Selection(), with_pods=with_pods)
        given = a_service(externalTrafficPolicy=policy, healthCheckNodePort=32000, finalizers=[STANDARD_FINALIZER])
        self.memory.see(msgspec.convert(given, Service), 0.0)
        self.version = 0

    def after(self, pods: Pods) -> PlannedServer:
        """What is planned once the slices say this, each node's pod in a slice of its own."""
        self.version += 1
        for number, node in enumerate("abc", start=1):
            endpoints = [an_endpoint(node, address=f"10.244.0.{number}", **pods[node])] if node in pods else []
            item = a_slice(*endpoints, name=f"web-{node}", version=self.version)
            self.memory.see_slice(msgspec.convert(item, EndpointSlice))
        record = self.memory.get("uid-1")
        assert record is not None
        message = decide_message(record, self.memory.endpoints_of(record))
        assert message is not None
        observed = decode(ServiceObserved, encode(message))
        assert observed.service is not None
        (planned,) = plan_virtual_servers(
            observed.service, ("192.0.2.7",), observed.endpoints, NODES, GRANT, Carriage()
        )
        return planned

    def nodes(self, pods: Pods) -> str:
        """Nodes that new connections go to."""
        return "".join(real_server.node for real_server in self.after(pods).server.real_servers)


ROLLING: list[tuple[Pods, str]] = [
    ({"a": READY}, "a"),
    ({"a": READY, "b": STARTING}, "a"),
    ({"a": READY, "b": READY}, "ab"),
    ({"a": ENDING, "b": READY}, "b"),
    ({"a": ENDED, "b": READY}, "b"),
    ({"b": READY}, "b"),
    ({"b": ENDING, "c": STARTING}, "b"),
    ({"b": ENDING, "c": READY}, "c"),
    ({"c": ENDING}, "c"),
    ({"c": ENDED}, ""),
    ({}, ""),
    ({"a": STARTING}, ""),
    ({"a": READY}, "a"),
]
"""A Deployment moves from node to node, is scaled to nothing, and comes back."""


@pytest.mark.parametrize(("policy", "with_pods"), [("Local", False), ("Local", True), ("Cluster", True)])
def test_ETP_2_ETP_8_connections_go_where_pods_are_ready_or_else_where_they_still_serve(
    policy: str, with_pods: bool
) -> None:
    way = Way(policy, with_pods=with_pods)
    assert [way.nodes(pods) for pods, _ in ROLLING] == [nodes for _, nodes in ROLLING]


def test_ETP_4_nodes_are_asked_for_their_word_but_not_while_none_can_give_a_good_one() -> None:
    way = Way("Local")
    asked = [way.after(pods).server.health_check_port for pods, _ in ROLLING]
    only_ending = [nodes != "" and READY not in pods.values() for pods, nodes in ROLLING]
    assert asked == [0 if ending else 32000 for ending in only_ending]
    assert sum(only_ending) == 2
    for way in (Way("Local", with_pods=True), Way("Cluster"), Way("Cluster", with_pods=True)):
        assert {way.after(pods).server.health_check_port for pods, _ in ROLLING} == {0}


def test_ETP_1_ETP_12_under_policy_cluster_every_node_serves_as_long_as_any_pod_does() -> None:
    way = Way("Cluster")
    assert [way.nodes(pods) for pods, _ in ROLLING] == ["abc" if nodes else "" for _, nodes in ROLLING]


@pytest.mark.parametrize(("policy", "with_pods"), [("Local", False), ("Local", True), ("Cluster", True)])
def test_ETP_10_what_the_slice_calls_ready_is_taken_at_its_word(policy: str, with_pods: bool) -> None:
    way = Way(policy, with_pods=with_pods)
    assert way.nodes({"a": ALWAYS, "b": READY, "c": STARTING}) == "ab"


@pytest.mark.parametrize("with_pods", [False, True])
def test_a_pod_that_is_replaced_on_its_node_is_news_only_where_pods_are_told(with_pods: bool) -> None:
    way = Way("Local", with_pods=with_pods)
    way.after({"a": READY})
    moved = a_slice(an_endpoint("a", address="10.244.0.99", **READY), name="web-a", version=9)
    assert way.memory.see_slice(msgspec.convert(moved, EndpointSlice)) == (["uid-1"] if with_pods else [])
