"""Whose an address is."""

from typing import Any

import pytest

from tests.upstream.landscape import EXCLUDED, Kind, Party, landscape_of, two_places


def node(name: str, address: str, cidr: str, *, ready: str = "True", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": more.get("labels", {})},
        "spec": {"podCIDRs": [cidr], "unschedulable": more.get("unschedulable", False)},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def pod(name: str, address: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec, "status": {"podIPs": [{"ip": address}]}}


NODES = [node("a", "10.0.0.1", "10.244.1.0/24"), node("b", "fd00::2", "fd01::/64")]
PODS = [pod("client", "10.244.1.7"), pod("proxy", "10.0.0.1", hostNetwork=True), {**pod("new", ""), "status": {}}]


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("10.244.1.7", Party(Kind.POD, "ns/client")),
        ("10.0.0.1", Party(Kind.NODE, "a")),
        ("10.244.1.1", Party(Kind.NODE, "a")),
        ("fd01::1", Party(Kind.NODE, "b")),
        ("10.0.0.9", Party(Kind.BALANCER, "10.0.0.9")),
        ("192.0.2.1", Party(Kind.STRANGER, "192.0.2.1")),
        ("", Party(Kind.STRANGER, "")),
    ],
)
def test_an_address_is_somebodys(address: str, party: Party) -> None:
    assert landscape_of(NODES, PODS, "10.0.0.9").whose(address) == party


def test_two_places_take_pods_and_are_backends() -> None:
    good = [node(name, "10.0.0.1", "10.244.1.0/24") for name in "abc"]
    bad = [
        node("x", "10.0.0.2", "10.244.2.0/24", ready="Unknown"),
        node("y", "10.0.0.3", "10.244.3.0/24", unschedulable=True),
        node("z", "10.0.0.4", "10.244.4.0/24", labels={EXCLUDED: ""}),
    ]
    assert two_places([*bad, *good]) == ("a", "b")
    assert two_places([*bad, good[0]]) is None
