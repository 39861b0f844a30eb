"""The objects that the demonstration creates in a tenant cluster. Pure: plain objects, as kubectl would send them."""

import ipaddress
from typing import Any

from fleetlb_cli.demo.backends import Backend

NAMESPACE = "demo"
SERVICE = "web"
TCP_PORT, TCP_NODE_PORT = 8080, 31080
UDP_PORT, UDP_NODE_PORT = 5353, 31053
ADDED_PORT, ADDED_NODE_PORT = 8443, 31443

Object = dict[str, Any]


def backends_of(tenant: str, node_cidr: str, count: int = 2) -> list[Backend]:
    """One backend per node, on addresses of the tenant's own range."""
    first = ipaddress.ip_network(node_cidr).network_address + 11
    return [
        Backend(
            name=f"{tenant} node-{number + 1}",
            address=str(first + number),
            tcp_ports=(TCP_NODE_PORT, ADDED_NODE_PORT),
            udp_ports=(UDP_NODE_PORT,),
        )
        for number in range(count)
    ]


def namespace() -> Object:
    """The namespace of the demonstration."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def node(name: str) -> Object:
    """A Node as a kubelet registers it; its address goes into its status."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def node_status(address: str) -> Object:
    """A ready node with one internal address."""
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {"status": {"addresses": [{"type": "InternalIP", "address": address}], "conditions": [ready]}}


def service(load_balancer_class: str | None) -> Object:
    """A Service that serves one TCP and one UDP port."""
    spec: Object = {
        "type": "LoadBalancer",
        "ports": [
            {"name": "http", "protocol": "TCP", "port": TCP_PORT, "nodePort": TCP_NODE_PORT},
            {"name": "dns", "protocol": "UDP", "port": UDP_PORT, "nodePort": UDP_NODE_PORT},
        ],
    }
    if load_balancer_class:
        spec["loadBalancerClass"] = load_balancer_class
    metadata = {"name": SERVICE, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def added_port() -> Object:
    """A strategic merge patch that adds a TCP port."""
    port = {"name": "https", "protocol": "TCP", "port": ADDED_PORT, "nodePort": ADDED_NODE_PORT}
    return {"spec": {"ports": [port]}}
