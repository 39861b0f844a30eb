"""Which clients a Listener lets in: the source ranges of a virtual server as a matcher. Pure.

The matcher is part of the Listener, so no moment exists in which a Listener is there and its ranges are not. (A filter
with a discovered configuration has such a moment, or holds the Listener up for a resource more per virtual server:
Envoy drops a configuration that comes before the Listener that names it.) What Envoy was measured to do:

- A TCP Listener in which nothing but the matcher changes is updated in place: every connection goes on, also of a
  client that is let in no more. It judges new connections: who is not let in is closed as soon as it is accepted.
- A UDP Listener is made anew: the next datagram of every client is judged, and chooses its real server, afresh.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fleetlb.domain.addresses import Family, Protocol, family_of, parse_network
from fleetlb.domain.virtual_servers import VirtualServer
from fleetlb_dataplane_programmer.envoy.descriptors import message

PROBE_SOURCES: Mapping[Family, str] = {Family.IPV4: "127.255.255.254", Family.IPV6: "::1"}
"""Where the node's own probes come from: let in whatever the ranges, for these are for clients. No packet from outside
the node can have such a source and be answered."""

_INPUTS = {
    Protocol.TCP: "envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput",
    Protocol.UDP: "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput",
}


def matcher(server: VirtualServer, action: Any) -> Any:
    """What takes `action` for the clients that are let in, and nothing for all others.

    Only TCP needs a way in for probes: a datagram that nobody answers is what they expect of UDP.
    """
    made = message("xds.type.matcher.v3.Matcher")()
    if not server.source_ranges:
        _do(made.on_no_match, action)
        return made
    ranges = [*server.source_ranges]
    if server.key.protocol is Protocol.TCP:
        ranges.append(PROBE_SOURCES[family_of(server.key.address)])
    admission = made.matcher_list.matchers.add()
    condition = admission.predicate.single_predicate
    condition.input.name = "client"
    condition.input.typed_config.Pack(message(_INPUTS[server.key.protocol])(), deterministic=True)
    condition.custom_match.name = "source_ranges"
    condition.custom_match.typed_config.Pack(_networks(ranges), deterministic=True)
    _do(admission.on_match, action)
    return made


def _do(on_match: Any, action: Any) -> None:
    on_match.action.name = "route"
    on_match.action.typed_config.Pack(action, deterministic=True)


def _networks(ranges: Iterable[str]) -> Any:
    networks = message("envoy.extensions.matching.input_matchers.ip.v3.Ip")(stat_prefix="source_ranges")
    for network in map(parse_network, ranges):
        length = {"value": network.prefixlen}
        networks.cidr_ranges.add(address_prefix=str(network.network_address), prefix_len=length)
    return networks
