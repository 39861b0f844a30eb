"""One Service's port and node port, or its pods' port, from the Kubernetes objects to Envoy's configuration: parse,
rename, encode.

Everything on the way is the production code; only the transports between are left out. The odd numbers 4443, 31777 and
8888 must come out where they belong, and nowhere else.
"""

import json

import msgspec
import pytest
from google.protobuf import json_format

from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.v1 import Owner, ServiceObserved, VirtualServerDesired
from fleetlb.domain.addresses import parse_network
from fleetlb.domain.planning import Carriage, plan_virtual_servers
from fleetlb.domain.services import TenantService, digest_of
from fleetlb.domain.tenancy import Grant
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import Selection
from fleetlb.testkit.tenant_objects import a_service, a_slice, an_endpoint
from fleetlb_dataplane_programmer.envoy.descriptors import message, pool
from fleetlb_dataplane_programmer.envoy.resources import Kind, build
from fleetlb_tenant_watcher.endpoint_slices import EndpointSlices
from fleetlb_tenant_watcher.kube_objects import EndpointSlice, Node
from fleetlb_tenant_watcher.nodes import observe_node
from fleetlb_tenant_watcher.observing import observe

PORT, NODE_PORT, POD_PORT = 4443, 31777, 8888
VIP, NODE_ADDRESS, POD_ADDRESS = "192.0.2.7", "10.20.0.4", "10.244.3.9"


def _observed(*, with_pods: bool = False) -> ServiceObserved:
    port = {"name": "https", "protocol": "TCP", "port": PORT}
    raw = json.dumps(a_service(ports=[port if with_pods else {**port, "nodePort": NODE_PORT}])).encode()
    wish = observe(msgspec.json.decode(raw, type=Service), Selection(None)).wish
    assert isinstance(wish, TenantService)
    slices = EndpointSlices(with_pods=with_pods)
    item = a_slice(an_endpoint(address=POD_ADDRESS, ready=True), ports=({"name": "https", "port": POD_PORT},))
    slices.put(msgspec.json.decode(json.dumps(item).encode(), type=EndpointSlice))
    endpoints = slices.of(("shop", "web"), wish.ports)
    digest = digest_of((wish, endpoints))
    return decode(
        ServiceObserved, encode(ServiceObserved(digest=digest, wish=digest_of(wish), service=wish, endpoints=endpoints))
    )


def _desired(observed: ServiceObserved) -> VirtualServerDesired:
    assert observed.service is not None
    raw = {
        "metadata": {"name": "node-a", "resourceVersion": "1", "uid": "n"},
        "status": {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]},
    }
    node = observe_node(msgspec.convert(raw, Node))
    networks = (parse_network("10.20.0.0/16"),)
    pod_networks = (parse_network("10.244.0.0/16"),)
    grant = Grant(tenant="acme", node_networks=networks, node_ports=range(30000, 32768), pod_networks=pod_networks)
    (planned,) = plan_virtual_servers(observed.service, (VIP,), observed.endpoints, (node,), grant, Carriage())
    owner = Owner(tenant="acme", cluster_uid="c", service_uid="u")
    message_ = VirtualServerDesired(
        key=planned.server.key, generation=1, revision=1, owner=owner, server=planned.server
    )
    return decode(VirtualServerDesired, encode(message_))


@pytest.mark.parametrize(
    ("with_pods", "address", "number"), [(False, NODE_ADDRESS, NODE_PORT), (True, POD_ADDRESS, POD_PORT)]
)
def test_the_port_reaches_the_listener_and_the_node_port_or_the_pods_port_the_endpoint(
    with_pods: bool, address: str, number: int
) -> None:
    desired = _desired(_observed(with_pods=with_pods))
    assert str(desired.key) == f"{VIP}:{PORT}/tcp"
    assert desired.server is not None
    resources = build(desired.server)
    texts = {}
    for kind, name in (
        (Kind.LISTENER, "envoy.config.listener.v3.Listener"),
        (Kind.ENDPOINTS, "envoy.config.endpoint.v3.ClusterLoadAssignment"),
        (Kind.CLUSTER, "envoy.config.cluster.v3.Cluster"),
    ):
        parsed = message(name).FromString(resources[kind].body)
        texts[kind] = json_format.MessageToDict(parsed, descriptor_pool=pool())
    socket = texts[Kind.LISTENER]["address"]["socketAddress"]
    assert (socket["address"], socket["portValue"]) == (VIP, PORT)
    (locality,) = texts[Kind.ENDPOINTS]["endpoints"]
    (endpoint,) = locality["lbEndpoints"]
    backend = endpoint["endpoint"]["address"]["socketAddress"]
    assert (backend["address"], backend["portValue"]) == (address, number)
    assert str(number) not in json.dumps(texts[Kind.LISTENER])
    assert f'"portValue": {PORT}' not in json.dumps(texts[Kind.ENDPOINTS])
