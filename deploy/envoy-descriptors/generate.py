"""Writes the Envoy message descriptors that the dataplane-programmer loads at run time.

The xds-protos wheel is the best source of Envoy's descriptors and a bad neighbour: it installs its own `opentelemetry`
and `google.api` packages over those of others. So it is used here, once, in an environment of its own, and its product
is committed. Nothing else in the project may import it.

    python3 -m venv /tmp/xds-protos
    /tmp/xds-protos/bin/pip install 'xds-protos==1.85.*'
    /tmp/xds-protos/bin/python deploy/envoy-descriptors/generate.py

The output is a FileDescriptorSet in dependency order. Left out: comments and positions, custom options (validation
rules and annotations, which only Envoy evaluates), and every message that the roots below do not reach.
The descriptors are derived from Envoy's data-plane API, licensed under Apache-2.0.
"""

import importlib
import pathlib
import sys

from google.protobuf import descriptor_pb2

PACKAGE = "services/dataplane-programmer/fleetlb_dataplane_programmer/envoy"
OUTPUT = pathlib.Path(__file__).parents[2] / PACKAGE / "descriptors.binpb"

# Every message used at run time, also inside an Any: nothing else would bring those in.
ROOTS = {
    "envoy.service.discovery.v3.discovery_pb2": ("DeltaDiscoveryRequest", "DeltaDiscoveryResponse"),
    "envoy.config.listener.v3.listener_pb2": ("Listener",),
    "envoy.config.cluster.v3.cluster_pb2": ("Cluster",),
    "envoy.config.endpoint.v3.endpoint_pb2": ("ClusterLoadAssignment",),
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2": ("TcpProxy",),
    "envoy.extensions.filters.udp.udp_proxy.v3.udp_proxy_pb2": ("UdpProxyConfig",),
    "envoy.extensions.filters.udp.udp_proxy.v3.route_pb2": ("Route",),
    "envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2": ("DirectSourceIPInput", "SourceIPInput"),
    "envoy.extensions.matching.input_matchers.ip.v3.ip_pb2": ("Ip",),
    "google.protobuf.wrappers_pb2": ("StringValue",),
    "envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2": (
        "ProxyProtocolUpstreamTransport",
    ),
    "envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2": ("RawBuffer",),
}


def reachable(message, seen, enums):
    """Collect the full names of all messages and enums that `message` needs, its enclosing messages included."""
    if message.full_name in seen:
        return
    seen[message.full_name] = message
    if message.containing_type is not None:
        reachable(message.containing_type, seen, enums)
    for field in message.fields:
        if field.message_type is not None:
            reachable(field.message_type, seen, enums)
        if field.enum_type is not None:
            enums[field.enum_type.full_name] = field.enum_type
            if field.enum_type.containing_type is not None:
                reachable(field.enum_type.containing_type, seen, enums)


def plain_options(holder):
    """Drop custom options; what protobuf itself defines (map_entry, packed, deprecated) stays."""
    if not holder.HasField("options"):
        return
    options = holder.options
    for field, _ in list(options.ListFields()):
        if field.is_extension:
            options.ClearExtension(field)
    options.DiscardUnknownFields()
    if not options.ListFields():
        holder.ClearField("options")


def prune_message(message, prefix, kept):
    """Keep of a message only reachable nested types, and of its parts only plain options."""
    full_name = f"{prefix}.{message.name}"
    message.ClearField("extension")
    keep(message.nested_type, full_name, kept)
    keep(message.enum_type, full_name, kept)
    for part in (message, *message.field, *message.oneof_decl):
        plain_options(part)
    for nested in message.nested_type:
        prune_message(nested, full_name, kept)
    for enum in message.enum_type:
        prune_enum(enum)


def prune_enum(enum):
    """Keep of an enum only plain options."""
    for part in (enum, *enum.value):
        plain_options(part)


def keep(items, prefix, kept):
    """Delete from a repeated field all items whose full name is not in `kept`."""
    for index in reversed(range(len(items))):
        if f"{prefix}.{items[index].name}" not in kept:
            del items[index]


def prune_file(proto, kept, files):
    """Keep of a file only reachable messages and enums, and the imports of files that hold any."""
    proto.ClearField("source_code_info")
    proto.ClearField("service")
    proto.ClearField("extension")
    plain_options(proto)
    keep(proto.message_type, proto.package, kept)
    keep(proto.enum_type, proto.package, kept)
    for message in proto.message_type:
        prune_message(message, proto.package, kept)
    for enum in proto.enum_type:
        prune_enum(enum)
    dependencies = [name for name in proto.dependency if name in files]
    for field in ("dependency", "public_dependency", "weak_dependency"):
        proto.ClearField(field)
    proto.dependency.extend(dependencies)


def in_order(file, files, done):
    """Yield the needed files below `file`, each after the files that it imports."""
    if file.name in done:
        return
    done.add(file.name)
    for dependency in file.dependencies:
        yield from in_order(dependency, files, done)
    if file.name in files:
        yield file


def main():
    """Write the descriptor set and say what it holds."""
    messages, enums = {}, {}
    roots = []
    for module, names in ROOTS.items():
        descriptor = importlib.import_module(module).DESCRIPTOR
        roots.append(descriptor)
        for name in names:
            reachable(descriptor.message_types_by_name[name], messages, enums)
    kept = messages.keys() | enums.keys()
    files = {found.file.name for found in (*messages.values(), *enums.values())}
    result, done = descriptor_pb2.FileDescriptorSet(), set()
    for root in roots:
        for file in in_order(root, files, done):
            proto = result.file.add()
            file.CopyToProto(proto)
            prune_file(proto, kept, files)
    OUTPUT.write_bytes(result.SerializeToString(deterministic=True))
    print(f"{OUTPUT.name}: {len(result.file)} files, {len(kept)} types, {OUTPUT.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
