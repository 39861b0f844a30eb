"""Whose a Service is, and what its status shows of us. What it wishes is tested beside `service_wishes`."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import PROVISIONED, SERVING, Status
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import OWN_FINALIZER, STANDARD_FINALIZER, Claim, Selection
from fleetlb.testkit.tenant_objects import a_condition, a_service
from fleetlb_tenant_watcher.observing import observe
from fleetlb_tenant_watcher.service_views import ServiceView

SCHEDULER = "fleetlb.dev/scheduler"
DEFAULT = Selection()
CLASSY = Selection("example.com/lb")


def view_of(selection: Selection = DEFAULT, **given: Any) -> ServiceView:
    return observe(msgspec.convert(a_service(**given), Service), selection)


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
