"""Which nodes load balancers may use, and what about a node is news."""

from typing import Any

import msgspec
import pytest

from fleetlb.domain.services import TenantNode
from fleetlb.testkit.tenant_objects import a_node
from fleetlb_tenant_watcher.kube_objects import EXCLUDE_LABEL, Node
from fleetlb_tenant_watcher.nodes import DOOMED_TAINT, AddressType, Nodes, observe_node


def node(name: str = "node-a", **given: Any) -> Node:
    return msgspec.convert(a_node(name, **given), Node)


@pytest.mark.parametrize(
    ("given", "eligible"),
    [
        ({}, True),
        ({"labels": {EXCLUDE_LABEL: ""}}, False),
        ({"labels": {EXCLUDE_LABEL: "true"}}, False),
        ({"labels": {EXCLUDE_LABEL: "no thanks"}}, False),
        ({"labels": {EXCLUDE_LABEL: "fAlSe"}}, False),
        ({"labels": {EXCLUDE_LABEL: "false"}}, True),
        ({"labels": {EXCLUDE_LABEL: "0"}}, True),
        ({"deleting": True}, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, True),
        ({"taints": ("node.kubernetes.io/unschedulable",)}, True),
    ],
)
def test_eligibility(given: dict[str, Any], eligible: bool) -> None:
    assert observe_node(node(**given)).eligible is eligible


def test_internal_addresses_come_first_and_nonsense_is_left_out() -> None:
    given = (
        ("ExternalIP", "198.51.100.1"),
        ("InternalIP", "2001:DB8::1"),
        ("Hostname", "node-a"),
        ("InternalIP", "not an address"),
        ("InternalIP", "10.0.0.1"),
        ("InternalIP", "10.0.0.1"),
    )
    assert observe_node(node(addresses=given)).addresses == ("2001:db8::1", "10.0.0.1", "198.51.100.1")


GIVEN = (
    ("InternalIP", "10.0.0.1"),
    ("ExternalIP", "198.51.100.1"),
    ("InternalIP", "fd00::1"),
    ("ExternalIP", "2001:db8::1"),
    ("Hostname", "node-a"),
    ("InternalDNS", "node-a.example.com"),
)


@pytest.mark.parametrize(
    ("types", "given", "expected"),
    [
        ("InternalIP ExternalIP", GIVEN, ("10.0.0.1", "fd00::1", "198.51.100.1", "2001:db8::1")),
        ("ExternalIP InternalIP", GIVEN, ("198.51.100.1", "2001:db8::1", "10.0.0.1", "fd00::1")),
        ("ExternalIP", GIVEN, ("198.51.100.1", "2001:db8::1")),
        ("ExternalIP InternalIP", GIVEN[:1], ("10.0.0.1",)),
        ("ExternalIP", GIVEN[:1], ()),
        ("ExternalIP InternalIP", GIVEN[1:3], ("198.51.100.1", "fd00::1")),
    ],
    ids=["internal", "external", "external alone", "fall back", "no fall back", "fall back in one family"],
)
def test_NOD_10_addresses_come_in_the_order_of_their_types(
    types: str, given: tuple[tuple[str, str], ...], expected: tuple[str, ...]
) -> None:
    chosen = tuple(AddressType(name) for name in types.split())
    assert observe_node(node(addresses=given), chosen).addresses == expected
    nodes = Nodes(chosen)
    nodes.put(node(addresses=given))
    assert nodes.tell()[0].addresses == expected


def test_no_more_addresses_than_the_message_takes() -> None:
    given = tuple(("InternalIP", f"10.0.0.{n}") for n in range(20))
    assert observe_node(node(addresses=given)).addresses == tuple(f"10.0.0.{n}" for n in range(8))


@pytest.mark.parametrize(("v4", "v6", "kept"), [(20, 1, (7, 1)), (20, 20, (4, 4)), (1, 20, (1, 7)), (5, 3, (5, 3))])
def test_NOD_10_many_addresses_of_one_family_do_not_crowd_out_the_other(
    v4: int, v6: int, kept: tuple[int, int]
) -> None:
    given = [("InternalIP", f"10.0.0.{n}") for n in range(v4)] + [
        ("InternalIP", f"fd00::{n}") for n in range(1, v6 + 1)
    ]
    for order in (given, given[::-1]):
        addresses = observe_node(node(addresses=tuple(order))).addresses
        found = (sum("." in a for a in addresses), sum(":" in a for a in addresses))
        assert found == kept
        assert list(addresses) == [text for _, text in order if text in addresses]


def test_heartbeats_are_no_news() -> None:
    nodes = Nodes()
    assert nodes.put(node(conditions=[{"type": "Ready", "lastHeartbeatTime": "1"}]))
    assert not nodes.put(node(version=2, conditions=[{"type": "Ready", "lastHeartbeatTime": "2"}]))
    assert len(nodes) == 1


@pytest.mark.parametrize(
    "change",
    [{"addresses": (("InternalIP", "10.9.9.9"),)}, {"labels": {EXCLUDE_LABEL: ""}}, {"deleting": True}],
)
def test_changes_are_news(change: dict[str, Any]) -> None:
    nodes = Nodes()
    nodes.put(node())
    assert nodes.put(node(version=2, **change))


def test_NOD_3_a_taint_of_the_autoscaler_counts_but_is_no_reason() -> None:
    nodes = Nodes()
    nodes.put(node("b"))
    nodes.put(node("a"))
    assert not nodes.put(node("a", version=2, taints=(DOOMED_TAINT,)))
    assert nodes.holds_back
    assert not nodes.put(node("a", version=3)), "never told, so that it is gone is no news either"
    assert not nodes.holds_back
    assert not nodes.put(node("a", version=4, taints=(DOOMED_TAINT,)))
    assert [(n.name, n.eligible) for n in nodes.tell()] == [("a", False), ("b", True)]
    assert not nodes.holds_back
    nodes.put(node("c", taints=(DOOMED_TAINT,)))
    assert nodes.holds_back
    nodes.drop("c")
    assert not nodes.holds_back
    assert not nodes.put(node("a", version=5, taints=(DOOMED_TAINT,)))
    assert nodes.put(node("a", version=6)), "it stays after all"
    assert all(n.eligible for n in nodes.tell())
    assert not nodes.put(node("a", version=7))


def test_nodes_go_and_are_told_in_order() -> None:
    nodes = Nodes()
    for name in ("c", "a", "b"):
        nodes.put(node(name))
    assert nodes.drop("b")
    assert not nodes.drop("b")
    assert nodes.tell() == tuple(TenantNode(name=name, addresses=("10.1.0.11",)) for name in ("a", "c"))
