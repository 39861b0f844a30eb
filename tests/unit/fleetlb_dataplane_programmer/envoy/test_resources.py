"""Virtual servers as Envoy resources: readable goldens, and what may change without cutting connections."""

import json
import pathlib
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.planning import ADMITS_NOBODY
from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from fleetlb_dataplane_programmer.envoy.descriptors import message, pool
from fleetlb_dataplane_programmer.envoy.resources import TYPE_URLS, Kind, build, unfit

GOLDENS = pathlib.Path(__file__).with_name("goldens")

TCP = VirtualServer(
    key=VirtualServerKey("127.77.0.5", 4443, Protocol.TCP),
    real_servers=(RealServer("10.1.0.1", 31777), RealServer("10.1.0.2", 31777, 5), RealServer("10.1.0.3", 31777, 0)),
)
UDP = VirtualServer(
    key=VirtualServerKey("2001:db8::5", 53, Protocol.UDP),
    real_servers=(RealServer("2001:db8:1::1", 30053),),
    scheduler=Scheduler.MAGLEV,
)
EMPTY = VirtualServer(key=VirtualServerKey("127.77.0.6", 80, Protocol.TCP), scheduler=Scheduler.ROUND_ROBIN)
GUARDED = msgspec.structs.replace(TCP, source_ranges=("10.0.0.0/8", "192.0.2.7/32"), proxy_protocol=True)
UDP_GUARDED = msgspec.structs.replace(UDP, source_ranges=("2001:db8:7::/48",))


def decoded(server: VirtualServer, kind: Kind) -> dict[str, Any]:
    class_ = message(TYPE_URLS[kind].rpartition("/")[2])
    read: dict[str, Any] = json_format.MessageToDict(
        class_.FromString(build(server)[kind].body), descriptor_pool=pool()
    )
    return read


def text(server: VirtualServer) -> str:
    parts = {kind.name.lower(): decoded(server, kind) | {"_version": build(server)[kind].version} for kind in Kind}
    return json.dumps(parts, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("tcp", TCP),
        ("udp_maglev_ipv6", UDP),
        ("tcp_empty", EMPTY),
        ("tcp_guarded_proxy_protocol", GUARDED),
        ("udp_guarded_ipv6", UDP_GUARDED),
    ],
)
def test_the_resources_are_these_to_the_byte(name: str, server: VirtualServer) -> None:
    """A new version in a golden means that every Envoy is sent every resource again after an upgrade."""
    assert text(server) == (GOLDENS / f"{name}.json").read_text()


def test_new_real_servers_touch_the_endpoints_alone() -> None:
    before, after = build(TCP), build(msgspec.structs.replace(TCP, real_servers=(RealServer("10.1.0.9", 31777),)))

    assert [kind for kind in Kind if before[kind] != after[kind]] == [Kind.ENDPOINTS]


@pytest.mark.parametrize("server", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("scheduler", Scheduler)
def test_a_new_scheduler_leaves_the_listener_alone(server: VirtualServer, scheduler: Scheduler) -> None:
    changed = build(msgspec.structs.replace(server, scheduler=scheduler))

    assert changed[Kind.LISTENER] == build(server)[Kind.LISTENER]
    assert changed[Kind.ENDPOINTS] == build(server)[Kind.ENDPOINTS]


@pytest.mark.parametrize("ranges", [("10.0.0.0/8",), ("10.0.0.0/8", "10.1.0.0/16"), ADMITS_NOBODY[Family.IPV4]])
def test_SRC_2_new_source_ranges_touch_nothing_but_the_matcher(ranges: tuple[str, ...]) -> None:
    """Anything else in the Listener of TCP would cut the connections of those who stay admitted."""
    guarded = msgspec.structs.replace(TCP, source_ranges=ranges)
    assert [kind for kind in Kind if build(guarded)[kind] != build(TCP)[kind]] == [Kind.LISTENER]

    listener = decoded(guarded, Kind.LISTENER)
    assert listener.pop("filterChainMatcher")
    assert listener == decoded(TCP, Kind.LISTENER)


def test_SRC_1_a_family_without_a_range_is_matched_by_nobody() -> None:
    """Not by on_no_match either, which admits everybody where there are no ranges."""
    for server, key in ((TCP, "filterChainMatcher"), (UDP, "matcher")):
        family = Family.IPV4 if server is TCP else Family.IPV6
        listener = decoded(msgspec.structs.replace(server, source_ranges=ADMITS_NOBODY[family]), Kind.LISTENER)
        matcher = (listener if server is TCP else listener["listenerFilters"][0]["typedConfig"])[key]
        assert "onNoMatch" not in matcher


def test_probes_of_the_node_are_admitted_beside_the_source_ranges_of_a_stream() -> None:
    for server in (TCP, msgspec.structs.replace(TCP, key=VirtualServerKey("2001:db8::5", 53, Protocol.TCP))):
        family = Family.IPV6 if ":" in server.key.address else Family.IPV4
        guarded = msgspec.structs.replace(server, source_ranges=ADMITS_NOBODY[family])
        assert f'"addressPrefix": "{PROBE_SOURCES[family]}"' in text(guarded)
    assert PROBE_SOURCES[Family.IPV6] not in text(UDP_GUARDED).split('"')


def test_the_proxy_protocol_touches_the_cluster_alone() -> None:
    """So that connections from before the change go on as they began."""
    asked = msgspec.structs.replace(TCP, proxy_protocol=True)

    assert [kind for kind in Kind if build(asked)[kind] != build(TCP)[kind]] == [Kind.CLUSTER]


@pytest.mark.parametrize(
    ("scheduler", "policy"),
    [
        (Scheduler.ROUND_ROBIN, None),  # Envoy's default, hence absent from the JSON
        (Scheduler.WEIGHTED_ROUND_ROBIN, None),
        (Scheduler.LEAST_CONNECTION, "LEAST_REQUEST"),
        (Scheduler.WEIGHTED_LEAST_CONNECTION, "LEAST_REQUEST"),
        (Scheduler.SOURCE_HASH, "MAGLEV"),
        (Scheduler.MAGLEV, "MAGLEV"),
    ],
)
def test_every_scheduler_has_its_policy(scheduler: Scheduler, policy: str | None) -> None:
    assert decoded(msgspec.structs.replace(TCP, scheduler=scheduler), Kind.CLUSTER).get("lbPolicy") == policy


@pytest.mark.parametrize("scheduler", Scheduler)
def test_affinity_needs_maglev_whatever_the_scheduler(scheduler: Scheduler) -> None:
    sticky = msgspec.structs.replace(TCP, scheduler=scheduler, affinity_seconds=60)

    assert build(sticky) == build(msgspec.structs.replace(TCP, scheduler=Scheduler.MAGLEV))


def test_what_envoy_has_no_part_in_changes_nothing() -> None:
    """So an upgrade of the manager, or another network of a pool, sends Envoy nothing."""
    routed = msgspec.structs.replace(TCP, prefix="127.77.0.0/24", drain_seconds=7)

    assert build(routed) == build(TCP)


def test_what_drains_is_not_told_to_envoy() -> None:
    """It would count when Envoy asks how many it may eject, and take connections when too many are."""
    left = msgspec.structs.replace(TCP, real_servers=TCP.real_servers[:2])

    assert build(TCP) == build(left)


def test_tcp_and_udp_of_one_address_do_not_share_a_name() -> None:
    udp = msgspec.structs.replace(TCP, key=VirtualServerKey("127.77.0.5", 4443, Protocol.UDP))

    assert {decoded(server, Kind.LISTENER)["name"] for server in (TCP, udp)} == {
        "127.77.0.5:4443/tcp",
        "127.77.0.5:4443/udp",
    }


@pytest.mark.parametrize("server", [TCP, UDP, EMPTY, GUARDED, UDP_GUARDED])
def test_a_proper_virtual_server_is_fit(server: VirtualServer) -> None:
    assert unfit(server) is None


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (VirtualServer(key=VirtualServerKey("127.0.0.1", 80, Protocol.SCTP)), "SCTP needs"),
        (VirtualServer(key=VirtualServerKey("localhost", 80, Protocol.TCP)), "'localhost' is not"),
        (VirtualServer(key=VirtualServerKey("127.0.0.1", 0, Protocol.TCP)), "0 is not a port"),
        (msgspec.structs.replace(TCP, real_servers=(RealServer("999.1.1.1", 1),)), "'999.1.1.1' is not"),
        (msgspec.structs.replace(TCP, real_servers=(RealServer("10.0.0.1", 65536),)), "65536 is not a port"),
        (msgspec.structs.replace(TCP, real_servers=(RealServer("10.0.0.1", 1, -1),)), "-1 is not a weight"),
        (
            msgspec.structs.replace(TCP, source_ranges=("10.0.0.0/8", "10.0.0.1/8")),
            "loadBalancerSourceRanges: '10.0.0.1/8' is not a CIDR",
        ),
        (msgspec.structs.replace(UDP, proxy_protocol=True), "ask for it on TCP ports only"),
        *(
            (
                msgspec.structs.replace(TCP, forwarding=forwarding),
                f"forwarding {forwarding} needs a balancer group with the ipvs engine",
            )
            for forwarding in (Forwarding.DIRECT, Forwarding.IPIP, Forwarding.GUE)
        ),
    ],
)
def test_what_would_harm_others_is_told_apart(server: VirtualServer, reason: str) -> None:
    assert reason in (unfit(server) or "")
