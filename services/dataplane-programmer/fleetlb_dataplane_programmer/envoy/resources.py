"""A virtual server as the three Envoy resources that carry it. Pure: knows no stream and no clock.

The same virtual server always gives the same bytes, hence the same versions, in every process: an Envoy that has them
already is sent nothing after a restart. The Listener depends on the key and on who is let in alone, because Envoy cuts
the live connections of a Listener that changes in anything but its matcher; what else may change on a live virtual
server is in the Cluster (scheduler, PROXY protocol) or the endpoints.
"""

import enum
import hashlib
from typing import Any

import msgspec

from fleetlb.domain.addresses import Protocol, parse_address, parse_network
from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer
from fleetlb_dataplane_programmer.envoy.admitting import matcher
from fleetlb_dataplane_programmer.envoy.descriptors import message


class Kind(enum.IntEnum):
    """The resource types, in the order in which a new virtual server must be sent."""

    CLUSTER = 0
    ENDPOINTS = 1
    LISTENER = 2


TYPE_URLS = {
    Kind.CLUSTER: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    Kind.ENDPOINTS: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    Kind.LISTENER: "type.googleapis.com/envoy.config.listener.v3.Listener",
}
KINDS = {url: kind for kind, url in TYPE_URLS.items()}


class Resource(msgspec.Struct, frozen=True, gc=False):
    """One serialised resource; `version` is the digest of `body`."""

    version: str
    body: bytes


# Indexed by Kind.
Resources = tuple[Resource, Resource, Resource]

UNLIMITED = 2**32 - 1
BUFFER_LIMIT_BYTES = 64 * 1024  # worst-case memory is twice this per connection
CONNECT_TIMEOUT_SECONDS = 1
MOST_PERCENT = 50
CONNECT_ATTEMPTS = 3  # with the default of 1, every connection that meets a dead real server fails
TCP_IDLE_TIMEOUT_SECONDS = 3600
UDP_IDLE_TIMEOUT_SECONDS = 60
ENDPOINTS_TIMEOUT_SECONDS = 5
# A prime, good for about 160 real servers. It must be the same on every node of a group, or they send one client to
# different real servers. Envoy's default of 65,537 costs four times the memory, and the time per endpoint change.
MAGLEV_TABLE_SIZE = 16_381

_CHAIN = "admitted"
_MAGLEV = "MAGLEV"
_POLICIES = {
    Scheduler.ROUND_ROBIN: "ROUND_ROBIN",
    Scheduler.WEIGHTED_ROUND_ROBIN: "ROUND_ROBIN",
    Scheduler.LEAST_CONNECTION: "LEAST_REQUEST",
    Scheduler.WEIGHTED_LEAST_CONNECTION: "LEAST_REQUEST",
    Scheduler.SOURCE_HASH: _MAGLEV,
    Scheduler.MAGLEV: _MAGLEV,
}
"""Envoy's policies take weights by themselves, where they have any."""
_NEEDS_IPVS = "needs a balancer group with the ipvs engine"


def unfit(server: VirtualServer) -> str | None:
    """Why this virtual server must not reach Envoy at all, or None.

    Envoy refuses a malformed resource too, but its cluster would warm for seconds and hold up those of everybody else.
    """
    if server.key.protocol is Protocol.SCTP:
        return f"Envoy balances TCP and UDP only; SCTP {_NEEDS_IPVS}"
    if server.forwarding is not Forwarding.MASQUERADE:
        return f"Envoy dials backends itself; forwarding {server.forwarding} {_NEEDS_IPVS}"
    if server.proxy_protocol and server.key.protocol is not Protocol.TCP:
        return f"PROXY protocol goes before a stream, and {server.key} has none; ask for it on TCP ports only"
    try:
        for text in server.source_ranges:
            parse_network(text)
    except ValueError as problem:
        return f"loadBalancerSourceRanges: {problem}"
    for address, port in ((server.key.address, server.key.port), *((r.address, r.port) for r in server.real_servers)):
        if not _is_address(address):
            return f"{address[:64]!r} is not an IP address"
        if not 0 < port < 65536:
            return f"{port} is not a port"
    weights = [real_server.weight for real_server in server.real_servers]
    return next((f"{weight} is not a weight" for weight in weights if not 0 <= weight < 65536), None)


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def build(server: VirtualServer) -> Resources:
    """Cluster, endpoints and Listener of a virtual server that is not `unfit`, all named `str(server.key)`."""
    name = str(server.key)
    return (
        _resource(_cluster(name, server)),
        _resource(_endpoints(name, server)),
        _resource(_listener(name, server)),
    )


def _resource(built: Any) -> Resource:
    body: bytes = built.SerializeToString(deterministic=True)
    return Resource(hashlib.blake2b(body, digest_size=8).hexdigest(), body)


def _policy(server: VirtualServer) -> str:
    """Only a hash of the client's address keeps a client with its real server."""
    return _MAGLEV if server.affinity_seconds else _POLICIES[server.scheduler]


def _cluster(name: str, server: VirtualServer) -> Any:
    policy = _policy(server)
    unlimited = {
        "max_connections": {"value": UNLIMITED},
        "max_pending_requests": {"value": UNLIMITED},
        "max_requests": {"value": UNLIMITED},
        "max_retries": {"value": UNLIMITED},
    }
    cluster = message("envoy.config.cluster.v3.Cluster")(
        name=name,
        type="EDS",
        eds_cluster_config={
            "eds_config": {
                "ads": {},
                "resource_api_version": "V3",
                "initial_fetch_timeout": {"seconds": ENDPOINTS_TIMEOUT_SECONDS},
            }
        },
        connect_timeout={"seconds": CONNECT_TIMEOUT_SECONDS},
        per_connection_buffer_limit_bytes={"value": BUFFER_LIMIT_BYTES},
        lb_policy=policy,
        # The default of 1,024 caps TCP connections and UDP sessions alike, silently.
        circuit_breakers={"thresholds": [unlimited | {"priority": priority} for priority in ("DEFAULT", "HIGH")]},
        # With most of them ejected, ejections count for nothing: who has just begun may refuse a few connections, and
        # be the only one a moment later. Whom the node's own checks found dead is not among the endpoints.
        common_lb_config={"healthy_panic_threshold": {"value": MOST_PERCENT}},
        outlier_detection=_outlier_detection(),
    )
    if policy == _MAGLEV:
        cluster.maglev_lb_config.table_size.value = MAGLEV_TABLE_SIZE
    if server.proxy_protocol:
        cluster.transport_socket.name = "proxy_protocol"
        cluster.transport_socket.typed_config.Pack(_proxy_protocol(), deterministic=True)
    return cluster


def _proxy_protocol() -> Any:
    """A plain connection that begins with a header: who the client is, and what it dialled."""
    wrapped = message("envoy.config.core.v3.TransportSocket")(name="raw_buffer")
    raw_buffer = message("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")()
    wrapped.typed_config.Pack(raw_buffer, deterministic=True)
    return message("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport")(
        config={"version": "V2"}, transport_socket=wrapped
    )


def _outlier_detection() -> dict[str, Any]:
    """Eject a real server that refuses connections, shortly, and never most of them."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": {"value": 3},
        "interval": {"seconds": 2},
        "base_ejection_time": {"seconds": 10},
        "max_ejection_time": {"seconds": 60},
        "max_ejection_percent": {"value": MOST_PERCENT},
    }


def _endpoints(name: str, server: VirtualServer) -> Any:
    """The load assignment: always sent, also when empty, or the cluster would hold up all others while it warms.

    Whoever drains is left out: Envoy lets live connections be. As DRAINING it would still count among those of whom
    only half may be ejected, so that all who serve could be, and get new connections as soon as most are ejected.
    """
    load_assignment = message("envoy.config.endpoint.v3.ClusterLoadAssignment")(cluster_name=name)
    serving = [_endpoint(real_server) for real_server in server.real_servers if real_server.weight > 0]
    if serving:
        load_assignment.endpoints.add(lb_endpoints=serving)
    return load_assignment


def _endpoint(real_server: RealServer) -> dict[str, Any]:
    address = {"socket_address": {"address": real_server.address, "port_value": real_server.port}}
    endpoint: dict[str, Any] = {"endpoint": {"address": address}}
    if real_server.weight != 1:
        endpoint["load_balancing_weight"] = {"value": real_server.weight}
    return endpoint


def _listener(name: str, server: VirtualServer) -> Any:
    """The Listener. Hash policies are always there and read only by Maglev, so a new scheduler leaves it alone."""
    key = server.key
    socket_address = {"address": key.address, "port_value": key.port, "protocol": key.protocol.value}
    listener = message("envoy.config.listener.v3.Listener")(
        name=name,
        address={"socket_address": socket_address},
        enable_reuse_port={"value": True},
        freebind={"value": True},
        per_connection_buffer_limit_bytes={"value": BUFFER_LIMIT_BYTES},
    )
    if key.protocol is Protocol.UDP:
        listener.udp_listener_config.SetInParent()
        udp_proxy = listener.listener_filters.add(name="udp_proxy")
        udp_proxy.typed_config.Pack(_udp_proxy(name, server), deterministic=True)
        return listener
    # One chain whatever is admitted, or its connections would end with it.
    tcp_proxy = listener.filter_chains.add(name=_CHAIN).filters.add(name="tcp_proxy")
    tcp_proxy.typed_config.Pack(_tcp_proxy(name), deterministic=True)
    if server.source_ranges:
        chain = message("google.protobuf.StringValue")(value=_CHAIN)
        listener.filter_chain_matcher.CopyFrom(matcher(server, chain))
    return listener


def _tcp_proxy(name: str) -> Any:
    return message("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")(
        stat_prefix="virtual_server",
        cluster=name,
        idle_timeout={"seconds": TCP_IDLE_TIMEOUT_SECONDS},
        max_connect_attempts={"value": CONNECT_ATTEMPTS},
        hash_policy=[{"source_ip": {}}],
    )


def _udp_proxy(name: str, server: VirtualServer) -> Any:
    route = message("envoy.extensions.filters.udp.udp_proxy.v3.Route")(cluster=name)
    return message("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig")(
        stat_prefix="virtual_server",
        idle_timeout={"seconds": UDP_IDLE_TIMEOUT_SECONDS},
        hash_policies=[{"source_ip": True}],
        matcher=matcher(server, route),
    )
