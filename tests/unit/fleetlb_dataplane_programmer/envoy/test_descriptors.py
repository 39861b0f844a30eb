"""The committed descriptors: complete for what is used, and invisible to anyone else in the process."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool

from fleetlb_dataplane_programmer.envoy.descriptors import message, pool

ALONE = """
import sys
from google.protobuf import descriptor_pool
from fleetlb_dataplane_programmer.envoy.descriptors import message

message("envoy.config.listener.v3.Listener")()
try:
    descriptor_pool.Default().FindFileByName("envoy/config/listener/v3/listener.proto")
except KeyError:
    pass
else:
    sys.exit("the default pool knows Envoy's files")
foreign = [name for name in sys.modules if name.split(".")[0] in {"opentelemetry", "envoy", "udpa", "xds", "validate"}]
sys.exit(f"imported: {foreign}" if foreign else 0)
"""


@pytest.mark.parametrize(
    "name",
    [
        "envoy.service.discovery.v3.DeltaDiscoveryRequest",
        "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        "envoy.config.listener.v3.Listener",
        "envoy.config.cluster.v3.Cluster",
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
        "envoy.extensions.filters.udp.udp_proxy.v3.Route",
        "envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput",
        "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput",
        "envoy.extensions.matching.input_matchers.ip.v3.Ip",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    ],
)
def test_every_message_in_use_can_be_made_and_read_back(name: str) -> None:
    empty = message(name)()

    assert message(name).FromString(empty.SerializeToString()) == empty


def test_well_known_types_keep_their_methods_in_the_private_pool() -> None:
    packed = message("google.protobuf.Any")()
    packed.Pack(message("envoy.config.cluster.v3.Cluster")(name="one"))

    unpacked = message("envoy.config.cluster.v3.Cluster")()
    assert packed.Unpack(unpacked)
    assert unpacked.name == "one"


def test_the_pool_is_made_once() -> None:
    assert pool() is pool()
    assert pool() is not descriptor_pool.Default()


def test_loading_needs_no_foreign_package_and_leaves_the_default_pool_alone() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0, done.stderr
