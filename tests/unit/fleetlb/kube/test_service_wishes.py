"""The one parse: every field is honoured or refused with its name, whatever a tenant writes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.dialects import Dialect
from fleetlb.domain.services import MAX_SOURCE_RANGES, ServicePort, TenantService, TrafficPolicy
from fleetlb.domain.virtual_servers import Scheduler
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import SOURCE_RANGES, Selection, parse_wish
from fleetlb.testkit.tenant_objects import DEFAULT_PORTS, a_service

SCHEDULER = "fleetlb.dev/scheduler"
DEFAULT = Selection()


def asked(selection: Selection = DEFAULT, **given: Any) -> TenantService | Refusal:
    service = msgspec.convert(a_service(**given), Service)
    return parse_wish(service.metadata, service.spec, selection)


def wish_of(selection: Selection = DEFAULT, **given: Any) -> TenantService:
    wish = asked(selection, **given)
    assert isinstance(wish, TenantService), wish
    return wish


def refusal_of(selection: Selection = DEFAULT, **given: Any) -> Refusal:
    wish = asked(selection, **given)
    assert isinstance(wish, Refusal), wish
    return wish


def test_a_wish_is_parsed() -> None:
    assert wish_of() == TenantService(
        namespace="shop",
        name="web",
        ports=(ServicePort(port=443, node_port=31777, protocol=Protocol.TCP, name="https"),),
        ip_families=(Family.IPV4,),
    )


def test_ports_of_all_protocols_and_all_numbers() -> None:
    ports = (
        {"name": "low", "protocol": "UDP", "port": 1, "nodePort": 30001},
        {"name": "high", "protocol": "TCP", "port": 65535, "nodePort": 30002},
        {"name": "same", "protocol": "TCP", "port": 1, "nodePort": 30001},
        {"name": "assoc", "protocol": "SCTP", "port": 1, "nodePort": 30003},
    )
    assert [(p.port, p.protocol, p.node_port, p.name) for p in wish_of(ports=ports).ports] == [
        (1, Protocol.UDP, 30001, "low"),
        (65535, Protocol.TCP, 30002, "high"),
        (1, Protocol.TCP, 30001, "same"),
        (1, Protocol.SCTP, 30003, "assoc"),
    ]


def test_two_hundred_and_fifty_ports_are_the_limit() -> None:
    ports = tuple({"name": f"p{n}", "port": n, "nodePort": 30000 + n} for n in range(1, 252))
    assert len(wish_of(ports=ports[:250]).ports) == 250
    refusal = refusal_of(ports=ports)
    assert refusal.reason is Reason.UNSUPPORTED
    assert "spec.ports: 251" in refusal.message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ipFamilies": ["IPv6"]}, {"ip_families": (Family.IPV6,)}),
        ({"ipFamilies": ["IPv6", "IPv4"]}, {"ip_families": (Family.IPV6, Family.IPV4)}),
        ({"ipFamilies": None}, {"ip_families": (Family.IPV4,)}),
        (
            {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"},
            {"ip_families": (Family.IPV4, Family.IPV6), "prefers_dual_stack": True},
        ),
        (
            {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"},
            {"ip_families": (Family.IPV4, Family.IPV6), "prefers_dual_stack": False},
        ),
        ({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"}, {"prefers_dual_stack": False}),
        ({"externalTrafficPolicy": "Local"}, {"external_traffic_policy": TrafficPolicy.LOCAL}),
        ({"externalTrafficPolicy": None}, {"external_traffic_policy": TrafficPolicy.CLUSTER}),
        ({"sessionAffinity": "ClientIP"}, {"affinity_seconds": 10800}),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 77}}},
            {"affinity_seconds": 77},
        ),
        ({"loadBalancerIP": "192.0.2.9"}, {"addresses": ("192.0.2.9",)}),
        ({"annotations": {"fleetlb.dev/addresses": " 192.0.2.9 "}}, {"addresses": ("192.0.2.9",)}),
        (
            {
                "annotations": {"fleetlb.dev/addresses": "2001:DB8:0::9, 192.0.2.9"},
                "ipFamilies": ["IPv4", "IPv6"],
                "loadBalancerIP": "192.0.2.9",
            },
            {"addresses": ("2001:db8::9", "192.0.2.9")},
        ),
        ({"annotations": {"fleetlb.dev/addresses": " , "}}, {"addresses": ()}),
        ({"annotations": {"fleetlb.dev/pool": "gold"}}, {"pool": "gold"}),
        ({"annotations": {"other.dev/x": "☃", SOURCE_RANGES: " , ", SCHEDULER: ""}}, {}),
        *(({"annotations": {SCHEDULER: name}}, {"scheduler": Scheduler(name)}) for name in ("rr", "wrr", "lc", "wlc")),
        ({"annotations": {SCHEDULER: "sh"}}, {"scheduler": Scheduler.SOURCE_HASH}),
        ({"annotations": {SCHEDULER: "mh"}}, {"scheduler": Scheduler.MAGLEV}),
        ({"annotations": {"fleetlb.dev/proxy-protocol": "v2"}}, {"proxy_protocol": True}),
        ({"annotations": {"fleetlb.dev/drain-seconds": "0"}}, {"drain_seconds": 0}),
        ({"annotations": {"fleetlb.dev/hostname": "web.example.org"}}, {"hostname": "web.example.org"}),
        ({"annotations": {"metallb.io/address-pool": "gold"}}, {}),
        ({"loadBalancerSourceRanges": [" 10.1.2.3/8"]}, {"source_ranges": ("10.0.0.0/8",)}),
        (
            {"loadBalancerSourceRanges": ["2001:DB8::/32", "192.0.2.0/24", "10.0.0.0/8", "192.0.2.0/24"]},
            {"source_ranges": ("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")},
        ),
        ({"annotations": {SOURCE_RANGES: "::/0 , 10.0.0.0/8"}}, {"source_ranges": ("10.0.0.0/8", "::/0")}),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"], "annotations": {SOURCE_RANGES: "everybody"}},
            {"source_ranges": ("10.0.0.0/8",)},
        ),
        ({"loadBalancerSourceRanges": [], "annotations": {SOURCE_RANGES: "::/0"}}, {"source_ranges": ("::/0",)}),
        ({"allocateLoadBalancerNodePorts": False}, {}),
        ({"externalIPs": ["192.0.2.3"], "internalTrafficPolicy": "Local", "healthCheckNodePort": 32000}, {}),
        (
            {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32000},
            {"external_traffic_policy": TrafficPolicy.LOCAL, "health_check_node_port": 32000},
        ),
    ],
)
def test_fields_that_are_honoured(given: dict[str, Any], expected: dict[str, Any]) -> None:
    wish = wish_of(**given)
    default = TenantService(namespace="shop", name="web", ports=wish.ports)
    assert wish == msgspec.structs.replace(default, **{"ip_families": (wish.ip_families), **expected})


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        ({"ports": ({**DEFAULT_PORTS[0], "protocol": "DCCP"},)}, Reason.UNSUPPORTED, ["spec.ports", "DCCP", "443"]),
        ({"ports": ()}, Reason.INVALID, ["spec.ports", "empty"]),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.0/99"]},
            Reason.INVALID,
            ["spec.loadBalancerSourceRanges", "'10.0.0.0/99'"],
        ),
        ({"loadBalancerSourceRanges": [""]}, Reason.INVALID, ["spec.loadBalancerSourceRanges", "''"]),
        ({"loadBalancerSourceRanges": ["::ffff:10.0.0.0/104"]}, Reason.INVALID, ["mapped"]),
        ({"loadBalancerSourceRanges": ["10.0.0.0/255.0.0.0"]}, Reason.INVALID, ["'10.0.0.0/255.0.0.0'"]),
        (
            {"loadBalancerSourceRanges": [f"10.{n // 256}.{n % 256}.0/24" for n in range(MAX_SOURCE_RANGES + 1)]},
            Reason.UNSUPPORTED,
            ["spec.loadBalancerSourceRanges: 257 networks, at most 256"],
        ),
        ({"annotations": {SOURCE_RANGES: "everybody"}}, Reason.INVALID, [SOURCE_RANGES, "'everybody'"]),
        (
            {"annotations": {SCHEDULER: "fastest"}},
            Reason.INVALID,
            ["annotation fleetlb.dev/scheduler: 'fastest'", "rr, wrr, lc, wlc, sh, mh"],
        ),
        ({"annotations": {SCHEDULER: "LC"}}, Reason.INVALID, ["fleetlb.dev/scheduler", "'LC'"]),
        ({"annotations": {"fleetlb.dev/sharing-key": "a b"}}, Reason.INVALID, ["fleetlb.dev/sharing-key"]),
        ({"annotations": {"fleetlb.dev/Pool": "gold"}}, Reason.UNSUPPORTED, ["fleetlb.dev/Pool"]),
        ({"annotations": {"fleetlb.dev/pool": "Gold.*>"}}, Reason.INVALID, ["fleetlb.dev/pool", "Gold.*>"]),
        ({"annotations": {"fleetlb.dev/pool": "x" * 64}}, Reason.INVALID, ["fleetlb.dev/pool"]),
        ({"annotations": {"fleetlb.dev/addresses": "192.0.2.300"}}, Reason.INVALID, ["addresses", "'192.0.2.300'"]),
        ({"annotations": {"fleetlb.dev/addresses": "010.0.0.1"}}, Reason.INVALID, ["'010.0.0.1'"]),
        ({"annotations": {"fleetlb.dev/addresses": "::ffff:10.0.0.1"}}, Reason.INVALID, ["mapped"]),
        ({"annotations": {"fleetlb.dev/addresses": "192.0.2.0/24"}}, Reason.INVALID, ["'192.0.2.0/24'"]),
        ({"annotations": {"fleetlb.dev/addresses": "192.0.2.1,192.0.2.2"}}, Reason.INVALID, ["one address of each"]),
        ({"annotations": {"fleetlb.dev/addresses": "2001:db8::1"}}, Reason.INVALID, ["IPv6", "spec.ipFamilies"]),
        ({"loadBalancerIP": "nonsense"}, Reason.INVALID, ["spec.loadBalancerIP", "'nonsense'"]),
        (
            {"loadBalancerIP": "192.0.2.1", "annotations": {"fleetlb.dev/addresses": "192.0.2.2"}},
            Reason.INVALID,
            ["spec.loadBalancerIP 192.0.2.1", "fleetlb.dev/addresses", "192.0.2.2"],
        ),
        ({"ipFamilies": ["IPv5"]}, Reason.UNSUPPORTED, ["spec.ipFamilies", "IPv5"]),
        (
            {
                "ports": ({"port": 80, "nodePort": 30080}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}),
                "annotations": {"fleetlb.dev/proxy-protocol": "v2"},
            },
            Reason.UNSUPPORTED,
            ["fleetlb.dev/proxy-protocol", "port 53/UDP cannot carry it", "a Service of its own"],
        ),
    ],
)
def test_fields_that_are_refused_by_name(given: dict[str, Any], reason: Reason, words: list[str]) -> None:
    refusal = refusal_of(**given)
    assert refusal.reason is reason
    for word in words:
        assert word in refusal.message


@pytest.mark.parametrize("given", [{"allocateLoadBalancerNodePorts": False}, {}])
def test_NPT_1_a_port_without_a_node_port_is_passed_on_for_the_hub_to_judge(given: dict[str, Any]) -> None:
    assert wish_of(ports=({"port": 80, "protocol": "TCP"},), **given).ports == (ServicePort(port=80, node_port=0),)


def test_NPT_2_a_node_port_of_the_users_own_is_used_whether_others_are_allocated_or_not() -> None:
    ports = ({"port": 80, "nodePort": 31080}, {"port": 81})
    wish = wish_of(ports=ports, allocateLoadBalancerNodePorts=False)
    assert [(port.port, port.node_port) for port in wish.ports] == [(80, 31080), (81, 0)]


def test_NPT_3_to_allocate_no_more_changes_no_wish() -> None:
    assert wish_of(allocateLoadBalancerNodePorts=False) == wish_of(allocateLoadBalancerNodePorts=True)


hostile = st.text(max_size=300) | st.sampled_from(["", " ", ",,", "0.0.0.0/0", "::", "\x00", "*.>", "1e9", "١.١.١.١"])


@given(text=hostile, field=hostile, ranges=st.lists(hostile, max_size=3), key=hostile)
def test_whatever_is_written_the_answer_is_a_short_value(text: str, field: str, ranges: list[str], key: str) -> None:
    annotations = {"fleetlb.dev/addresses": text, "fleetlb.dev/pool": key, SCHEDULER: key, f"fleetlb.dev/{key}": text}
    wish = asked(annotations=annotations, loadBalancerIP=field, loadBalancerSourceRanges=ranges)
    if isinstance(wish, Refusal):
        assert len(wish.message) < 1024
    else:
        assert isinstance(wish, TenantService)
        again = msgspec.json.decode(msgspec.json.encode(wish), type=TenantService)
        assert again == wish


LABELS = {"fleetlb.dev/tier": "gold", "example.com/team": "a", "team": "b", "fleetlb.dev.example.com/x": "y"}


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ((), ["fleetlb.dev/tier"]),
        (("team",), ["fleetlb.dev/tier", "team"]),
        (("team", "example.com/team", "absent"), ["example.com/team", "fleetlb.dev/tier", "team"]),
    ],
)
def test_only_labels_of_our_prefix_and_those_named_are_told_in_order(named: tuple[str, ...], told: list[str]) -> None:
    for labels in (LABELS, dict(reversed(LABELS.items()))):
        wish = wish_of(Selection(labels=named), labels=labels)
        assert list(wish.labels.items()) == [(key, LABELS[key]) for key in told]
    other = wish_of(Selection(labels=named), labels=LABELS | {"fleetlb.dev/tier": "silver"})
    assert other != wish_of(Selection(labels=named), labels=LABELS)


def test_a_service_without_labels_to_tell_is_the_wish_that_it_was() -> None:
    assert wish_of(labels={"team": "b"}).labels == {}
    assert b"labels" not in msgspec.json.encode(wish_of(labels={"team": "b"}))


def test_more_labels_than_a_message_may_hold_are_refused() -> None:
    most = {f"fleetlb.dev/l{number}": "" for number in range(15)} | {"team": "b"}
    wish = asked(Selection(labels=("team",)), labels=most)
    assert isinstance(wish, TenantService)
    assert len(wish.labels) == 16
    refusal = asked(Selection(labels=("team",)), labels=most | {"fleetlb.dev/more": "x"})
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, "metadata.labels: 17" in refusal.message) == (Reason.UNSUPPORTED, True)


def test_other_products_annotations_are_read_where_they_are_switched_on() -> None:
    selection = Selection(dialects=(Dialect.METALLB,))
    wish = asked(selection, annotations={"metallb.io/address-pool": "gold", "lbipam.cilium.io/ips": "192.0.2.1"})
    assert isinstance(wish, TenantService)
    assert (wish.pool, wish.addresses) == ("gold", ())
    wrong = asked(selection, annotations={"metallb.io/loadBalancerIPs": "everywhere"})
    assert isinstance(wrong, Refusal)
    assert "annotation metallb.io/loadBalancerIPs: 'everywhere'" in wrong.message
