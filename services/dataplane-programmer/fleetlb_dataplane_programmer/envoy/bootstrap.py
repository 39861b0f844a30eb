"""The bootstrap configuration and command line of the Envoy that this engine programs. Pure: writes no file.

Everything here is fixed for the life of an Envoy; what changes comes by ADS. It must not know virtual servers.
"""

import ipaddress
import pathlib
from typing import Any

# A Listener that is removed closes its remaining connections after this. Nothing else drains: see `resources`.
DRAIN_SECONDS = 5
_ADS_CLUSTER = "fleetlb_programmer"

# All statistics of all resources take half of Envoy's memory, and a scrape takes seconds.
_STATISTICS = (
    {"prefix": "server."},
    {"prefix": "cluster_manager."},
    {"prefix": "listener_manager."},
    {"prefix": "control_plane."},
    {"suffix": ".upstream_cx_total"},
    {"suffix": ".upstream_cx_active"},
    {"suffix": ".upstream_cx_connect_fail"},
    {"suffix": ".upstream_cx_rx_bytes_total"},
    {"suffix": ".upstream_cx_tx_bytes_total"},
    {"suffix": ".membership_healthy"},
)


def bootstrap(
    *, node: str, group: str, ads_socket: pathlib.Path, admin: str, max_connections: int = 250_000
) -> dict[str, Any]:
    """The bootstrap, to be written as JSON. `admin` is the path of a unix socket, or `host:port` on the loopback.

    `max_connections` bounds the clients' TCP connections of the whole node, to protect its memory.
    Raises ValueError if `admin` could be reached from elsewhere: whoever reaches it can stop the data plane.
    """
    return {
        "node": {"id": node, "cluster": group},
        "admin": {"address": _admin_address(admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS_CLUSTER, "retry_policy": _reconnecting()}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [_programmer(ads_socket)]},
        "overload_manager": {"resource_monitors": [_connection_limit(max_connections)]},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": list(_STATISTICS)}}},
    }


def command(envoy: pathlib.Path, configuration: pathlib.Path, *, concurrency: int) -> list[str]:
    """How to start Envoy on a written bootstrap. `concurrency`: worker threads; each has its own sockets."""
    return [
        str(envoy),
        "--config-path",
        str(configuration),
        "--concurrency",
        str(concurrency),
        "--disable-hot-restart",
        "--drain-time-s",
        str(DRAIN_SECONDS),
        "--drain-strategy",
        "immediate",
        "--log-level",
        "warning",
    ]


def _reconnecting() -> dict[str, Any]:
    """The default goes up to 30 s, for which a restarted programmer could change nothing."""
    return {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}


def _programmer(ads_socket: pathlib.Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(ads_socket)}}}}
    http = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": _ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": _ADS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
    }


def _connection_limit(connections: int) -> dict[str, Any]:
    package = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
    limit = {"@type": f"{package}.DownstreamConnectionsConfig", "max_active_downstream_connections": connections}
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit}


def _admin_address(admin: str) -> dict[str, Any]:
    if admin.startswith("/"):
        return {"pipe": {"path": admin}}
    host, _, port = admin.rpartition(":")
    host = host.strip("[]")
    if not (port.isdecimal() and ipaddress.ip_address(host).is_loopback):
        raise ValueError(f"the admin address {admin!r} is neither a path nor host:port on the loopback")
    return {"socket_address": {"address": host, "port_value": int(port)}}
