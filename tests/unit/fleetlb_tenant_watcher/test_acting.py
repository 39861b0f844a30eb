"""Bodies of patches: meant for one very Service, touching nothing but ours."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Reason, Status
from fleetlb.kube.service_wishes import Claim
from fleetlb_tenant_watcher.acting import Write, body_of
from fleetlb_tenant_watcher.deciding import AddFinalizers, ClearStatus, RemoveFinalizers, WriteStatus
from fleetlb_tenant_watcher.service_views import ServiceView

NOW = "2026-11-25T15:00:00Z"
BEFORE = "2026-11-25T12:00:00Z"
VIEW = ServiceView(
    uid="u",
    namespace="shop",
    name="web",
    claim=Claim.OURS,
    conditions=(
        Condition(type=PROVISIONED, status=Status.TRUE, reason="Complete", message="old", last_transition_time=BEFORE),
    ),
)


def entry(kind: str, status: str, reason: str, message: str, since: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


@pytest.mark.parametrize(
    ("action", "body", "subresource"),
    [
        (AddFinalizers(("a/b", "c/d")), {"metadata": {"uid": "u", "finalizers": ["a/b", "c/d"]}}, None),
        (
            RemoveFinalizers(("a/b",)),
            {"metadata": {"uid": "u", "$deleteFromPrimitiveList/finalizers": ["a/b"]}},
            None,
        ),
        (
            WriteStatus((Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY),), ()),
            {
                "metadata": {"uid": "u"},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "Proxy"}]}},
            },
            "status",
        ),
        (
            WriteStatus((Ingress(hostname="web.example.org"),), ()),
            {"metadata": {"uid": "u"}, "status": {"loadBalancer": {"ingress": [{"hostname": "web.example.org"}]}}},
            "status",
        ),
        (WriteStatus((), ()), {"metadata": {"uid": "u"}, "status": {"loadBalancer": {"ingress": None}}}, "status"),
        (
            WriteStatus(
                None,
                (
                    Condition(type=PROVISIONED, status=Status.TRUE, reason=Reason.COMPLETE),
                    Condition(type=SERVING, status=Status.FALSE, reason="NoReadyBackend", message="none"),
                ),
            ),
            {
                "metadata": {"uid": "u"},
                "status": {
                    "conditions": [
                        entry(PROVISIONED, "True", "Complete", "", BEFORE),
                        entry(SERVING, "False", "NoReadyBackend", "none", NOW),
                    ]
                },
            },
            "status",
        ),
        (
            ClearStatus(True, (PROVISIONED,)),
            {
                "metadata": {"uid": "u"},
                "status": {
                    "loadBalancer": {"ingress": None},
                    "conditions": [{"$patch": "delete", "type": PROVISIONED}],
                },
            },
            "status",
        ),
        (ClearStatus(False, ()), {"metadata": {"uid": "u"}, "status": {}}, "status"),
    ],
)
def test_bodies(action: Write, body: dict[str, Any], subresource: str | None) -> None:
    made, place = body_of(VIEW, action, NOW)
    assert (msgspec.json.decode(msgspec.json.encode(made)), place) == (body, subresource)


def test_a_flip_of_the_status_moves_the_time() -> None:
    flipped = Condition(type=PROVISIONED, status=Status.FALSE, reason="Unsupported")
    body, _ = body_of(VIEW, WriteStatus(None, (flipped,)), NOW)
    assert body["status"]["conditions"][0]["lastTransitionTime"] == NOW


def test_conditions_name_the_change_that_led_to_them() -> None:
    said = Condition(type=PROVISIONED, status=Status.FALSE, reason="Unsupported", message="not that")
    body, _ = body_of(VIEW, WriteStatus(None, (said,)), NOW, f"00-{7:032x}-{1:016x}-01")
    assert body["status"]["conditions"][0]["message"] == f"not that [trace {7:032x}]"
