"""The one parse: every field is honoured or refused with its name, whatever a tenant writes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING, Reason, Refusal, Status
from fleetlb.domain.dialects import Dialect
from fleetlb.domain.services import MAX_SOURCE_RANGES, ServicePort, TenantService, TrafficPolicy
from fleetlb.domain.virtual_servers import Scheduler
from fleetlb.testkit.tenant_objects import DEFAULT_PORTS, a_condition, a_service
from fleetlb_tenant_watcher.kube_objects import Service
from fleetlb_tenant_watcher.observing import SOURCE_RANGES, observe
from fleetlb_tenant_watcher.service_views import OWN_FINALIZER, STANDARD_FINALIZER, Claim, Selection, ServiceView

SCHEDULER = "fleetlb.dev/scheduler"
DEFAULT = Selection()
CLASSY = Selection("example.com/lb")


def view_of(selection: Selection = DEFAULT, **given: Any) -> ServiceView:
    return observe(msgspec.convert(a_service(**given), Service), selection)


def wish_of(**given: Any) -> TenantService:
    wish = view_of(**given).wish
    assert isinstance(wish, TenantService), wish
    return wish


def refusal_of(**given: Any) -> Refusal:
    wish = view_of(**given).wish
    assert isinstance(wish, Refusal), wish
    return wish


def test_a_wish_is_parsed() -> None:
    assert wish_of() == TenantService(
        namespace="shop",
        name="web",
        ports=(ServicePort(port=443, node_port=31777, protocol=Protocol.TCP, name="https"),),
        ip_families=(Family.IPV4,),
    )


@pytest.mark.parametrize(
    ("selection", "spec", "claim"),
    [
        (DEFAULT, {}, Claim.OURS),
        (DEFAULT, {"type": "ClusterIP"}, Claim.PLAIN),
        (DEFAULT, {"type": "NodePort"}, Claim.PLAIN),
        (DEFAULT, {"type": "ExternalName"}, Claim.PLAIN),
        (DEFAULT, {"loadBalancerClass": "example.com/lb"}, Claim.FOREIGN),
        (DEFAULT, {"loadBalancerClass": ""}, Claim.FOREIGN),
        (CLASSY, {"loadBalancerClass": "example.com/lb"}, Claim.OURS),
        (CLASSY, {"loadBalancerClass": "example.com/LB"}, Claim.FOREIGN),
        (CLASSY, {"loadBalancerClass": "example.com/lb2"}, Claim.FOREIGN),
        (CLASSY, {}, Claim.FOREIGN),
        (CLASSY, {"type": "ClusterIP"}, Claim.PLAIN),
    ],
)
def test_selection_by_type_and_exact_class(selection: Selection, spec: dict[str, str], claim: Claim) -> None:
    view = view_of(selection, **spec)
    assert view.claim is claim
    assert (view.wish is not None) is (claim is Claim.OURS)


def test_a_service_being_deleted_has_no_wish() -> None:
    view = view_of(deleting=True, finalizers=(STANDARD_FINALIZER,))
    assert (view.is_wanted, view.wish, view.finalizers) == (False, None, (STANDARD_FINALIZER,))


@pytest.mark.parametrize(
    ("selection", "present", "ours", "others"),
    [
        (DEFAULT, (), (), False),
        (DEFAULT, ("a/b", STANDARD_FINALIZER), (STANDARD_FINALIZER,), True),
        (DEFAULT, (OWN_FINALIZER,), (), True),
        (CLASSY, (OWN_FINALIZER,), (OWN_FINALIZER,), False),
        (CLASSY, (OWN_FINALIZER, "a/b", STANDARD_FINALIZER), (STANDARD_FINALIZER, OWN_FINALIZER), True),
    ],
)
def test_finalizers(selection: Selection, present: tuple[str, ...], ours: tuple[str, ...], others: bool) -> None:
    view = view_of(selection, finalizers=present, loadBalancerClass=selection.load_balancer_class)
    assert (view.finalizers, view.has_others) == (ours, others)


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
    view = view_of(annotations=annotations, loadBalancerIP=field, loadBalancerSourceRanges=ranges)
    if isinstance(view.wish, Refusal):
        assert len(view.wish.message) < 1024
    else:
        assert isinstance(view.wish, TenantService)
        again = msgspec.json.decode(msgspec.json.encode(view.wish), type=TenantService)
        assert again == view.wish


def test_only_our_own_conditions_are_seen() -> None:
    view = view_of(
        conditions=(
            a_condition("LoadBalancerPortsError", "True", "X"),
            a_condition(PROVISIONED, "True", "Complete", "m"),
            a_condition(SERVING, "Perhaps", "Altered"),
        )
    )
    assert [(c.type, c.status, c.reason) for c in view.conditions] == [
        (PROVISIONED, Status.TRUE, "Complete"),
        (SERVING, Status.UNKNOWN, "Altered"),
    ]
    assert view.shown(PROVISIONED) is view.conditions[0]
    assert view.shown("other") is None


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ({"ip": "192.0.2.1", "ipMode": "VIP"}, Ingress(ip="192.0.2.1", ip_mode=IpMode.VIP)),
        ({"ip": "192.0.2.1", "ipMode": "Proxy"}, Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY)),
        ({"ip": "192.0.2.1"}, None),
        ({"hostname": "lb.example.com"}, Ingress(hostname="lb.example.com")),
        ({"hostname": "lb.example.com", "ports": [{"port": 1, "protocol": "TCP"}]}, None),
        ({}, None),
        ({"ip": "192.0.2.1", "ipMode": "VIP", "hostname": "x"}, None),
        ({"ip": "192.0.2.1", "ipMode": "VIP", "ports": [{"port": 1, "protocol": "TCP"}]}, None),
    ],
)
def test_ingress_that_we_would_not_write_compares_as_different(shown: dict[str, Any], seen: Ingress | None) -> None:
    assert view_of(ingress=(shown,)).ingress == (seen,)


def test_what_does_not_matter_makes_no_difference() -> None:
    one = a_service()
    other = a_service(version=99)
    other["metadata"] |= {"labels": {"x": "y"}, "annotations": {"kubectl.kubernetes.io/x": "y"}, "managedFields": []}
    other["spec"] |= {"selector": {"a": "b"}}
    assert observe(msgspec.convert(one, Service), DEFAULT) == observe(msgspec.convert(other, Service), DEFAULT)


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
        wish = view_of(Selection(labels=named), labels=labels).wish
        assert isinstance(wish, TenantService)
        assert list(wish.labels.items()) == [(key, LABELS[key]) for key in told]
    other = view_of(Selection(labels=named), labels=LABELS | {"fleetlb.dev/tier": "silver"})
    assert other != view_of(Selection(labels=named), labels=LABELS)


def test_a_service_without_labels_to_tell_is_the_wish_that_it_was() -> None:
    assert wish_of(labels={"team": "b"}).labels == {}
    assert b"labels" not in msgspec.json.encode(wish_of(labels={"team": "b"}))


def test_more_labels_than_a_message_may_hold_are_refused() -> None:
    most = {f"fleetlb.dev/l{number}": "" for number in range(15)} | {"team": "b"}
    wish = view_of(Selection(labels=("team",)), labels=most).wish
    assert isinstance(wish, TenantService)
    assert len(wish.labels) == 16
    refusal = view_of(Selection(labels=("team",)), labels=most | {"fleetlb.dev/more": "x"}).wish
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, "metadata.labels: 17" in refusal.message) == (Reason.UNSUPPORTED, True)


def test_other_products_annotations_are_read_where_they_are_switched_on() -> None:
    selection = Selection(dialects=(Dialect.METALLB,))
    view = view_of(selection, annotations={"metallb.io/address-pool": "gold", "lbipam.cilium.io/ips": "192.0.2.1"})
    assert isinstance(view.wish, TenantService)
    assert (view.wish.pool, view.wish.addresses) == ("gold", ())
    wrong = view_of(selection, annotations={"metallb.io/loadBalancerIPs": "everywhere"})
    assert isinstance(wrong.wish, Refusal)
    assert "annotation metallb.io/loadBalancerIPs: 'everywhere'" in wrong.wish.message
