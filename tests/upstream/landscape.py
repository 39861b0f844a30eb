"""Whose an address is in a cluster: what a backend saw as its client's, as somebody. Pure.

Must not know why anybody wants to know.
"""

import enum
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


class Kind(enum.StrEnum):
    """Who can be seen."""

    POD = "pod"
    NODE = "node"
    BALANCER = "balancer"
    STRANGER = "stranger"


class Party(msgspec.Struct, frozen=True):
    """Somebody with an address."""

    kind: Kind
    name: str
    """A pod's, with its namespace; a node's; of the others, the address."""


class Landscape(msgspec.Struct, frozen=True, kw_only=True):
    """Who has which address."""

    pods: Mapping[str, str]
    """By address; those on their node's own network are not among them."""
    nodes: Mapping[str, str]
    """By InternalIP."""
    networks: Mapping[str, str]
    """Nodes by their network of pods, in which they have an address themselves."""
    balancer: str

    def whose(self, address: str) -> Party:
        """Who it is."""
        if address in self.pods:
            return Party(Kind.POD, self.pods[address])
        if address in self.nodes:
            return Party(Kind.NODE, self.nodes[address])
        if address == self.balancer:
            return Party(Kind.BALANCER, address)
        there = (name for cidr, name in self.networks.items() if _holds(cidr, address))
        node = next(there, None)
        return Party(Kind.STRANGER, address) if node is None else Party(Kind.NODE, node)


def landscape_of(nodes: Iterable[Any], pods: Iterable[Any], balancer: str) -> Landscape:
    """From what the API server says of Nodes and Pods."""
    nodes = list(nodes)
    return Landscape(
        pods={
            entry["ip"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            for pod in pods
            if not pod["spec"].get("hostNetwork")
            for entry in pod["status"].get("podIPs", [])
        },
        nodes={
            entry["address"]: node["metadata"]["name"]
            for node in nodes
            for entry in node["status"].get("addresses", [])
            if entry["type"] == "InternalIP"
        },
        networks={cidr: node["metadata"]["name"] for node in nodes for cidr in node["spec"].get("podCIDRs", [])},
        balancer=balancer,
    )


def two_places(nodes: Iterable[Any]) -> tuple[str, str] | None:
    """Two nodes that are backends and take pods, by name; None where there are not two."""
    names = [node["metadata"]["name"] for node in nodes if _is_eligible(node)]
    return (names[0], names[1]) if len(names) > 1 else None


def _is_eligible(node: Any) -> bool:
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    is_ready, is_closed = conditions.get("Ready") == "True", node["spec"].get("unschedulable", False)
    return is_ready and not is_closed and EXCLUDED not in node["metadata"].get("labels", {})


def _holds(cidr: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    except ValueError:
        return False
