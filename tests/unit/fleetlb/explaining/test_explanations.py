"""What is said of a Service at each step of its way, from pictures made by hand."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressClaimSpec,
    ClaimOwner,
    ClaimPhase,
    ClaimShare,
    LoadBalancerStatus,
)
from fleetlb.contracts.v1 import (
    Hop,
    LoadBalancerRevision,
    Owner,
    Probe,
    RealizedState,
    ServiceObserved,
    VirtualServerDesired,
)
from fleetlb.domain.conditions import PROVISIONED, READY, SERVING, Condition, Reason, Refusal, Status
from fleetlb.domain.services import ServiceEndpoints
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey, parse_key
from fleetlb.explaining.cures import CURES
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.passages import last_change, passages
from fleetlb.explaining.situation import Said, Situation
from fleetlb.explaining.steps import SILENCE_SECONDS, Stage
from fleetlb.kube.holding import Held
from fleetlb.kube.shown_services import Condition as Shown
from fleetlb.kube.shown_services import Ingress, Metadata, Service, Spec
from fleetlb.kube.shown_services import LoadBalancerStatus as ShownAddresses
from fleetlb.kube.shown_services import Status as ServiceStatus
from fleetlb.testkit.load_balancers import ADDRESS, CLUSTER, KEY, a_group, a_load_balancer, a_tenant, a_word

NOW = 1_800_000_000.0
THEN = "2027-01-15T07:00:00Z"
TRACE = f"00-{7:032x}-{1:016x}-01"
WEB = parse_key(KEY)


def a_condition(kind: str, status: Status, reason: str, message: str = "") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=THEN)


WELL = LoadBalancerStatus(
    observed_generation=1,
    addresses=(ADDRESS,),
    conditions=(
        a_condition(PROVISIONED, Status.TRUE, Reason.COMPLETE),
        a_condition(SERVING, Status.TRUE, Reason.SERVING),
    ),
)
ABOUT = LoadBalancerRevision("uid-of-service-1", 1)
WISH = VirtualServerDesired(
    key=WEB,
    generation=1,
    revision=4,
    owner=Owner(tenant="acme", cluster_uid=CLUSTER, service_uid="service-1"),
    load_balancer=ABOUT,
    server=VirtualServer(key=WEB),
)


def a_service(*shown: str, conditions: tuple[Shown, ...] = (), **spec: Any) -> Service:
    status = ServiceStatus(ShownAddresses(tuple(Ingress(ip) for ip in shown)), conditions)
    metadata = Metadata("web", "shop", "service-1", creation_timestamp=THEN)
    return Service(metadata, Spec(**({"type": "LoadBalancer"} | spec)), status)


def said(**word: Any) -> dict[str, dict[VirtualServerKey, Said]]:
    return {"node-1": {WEB: Said(a_word(**word), TRACE, NOW - 5)}}


def a_situation(**changed: Any) -> Situation:
    """All is well, but for what is changed."""
    well: Mapping[str, Any] = {
        "tenant_name": "acme",
        "namespace": "shop",
        "name": "web",
        "now": NOW,
        "tenant": a_tenant(),
        "is_tenant_seen": True,
        "service": a_service(ADDRESS),
        "observed": ServiceObserved(digest="d", wish="wish-1"),
        "watcher_heard": NOW - 10,
        "balancer": a_load_balancer(status=WELL, trace=TRACE),
        "group": a_group(),
        "desired": {WEB: WISH},
        "realized": said(),
        "manager": Held("fleetlb-manager", "m-1", True),
        "status": Held("fleetlb-status", "s-1", True),
    }
    return Situation(**(dict(well) | changed))


def test_all_is_well() -> None:
    found = explain(a_situation())
    assert (found.serving, found.stage, found.reason) == (True, Stage.SERVING, Reason.SERVING)
    assert found.service == "acme/shop/web"
    assert found.given == {"addresses": ADDRESS, "ports": "443/TCP", "group": "default"}
    assert (found.since, found.trace, found.cure) == (THEN, f"{7:032x}", "")


REFUSED = a_load_balancer(
    addresses=(),
    group="",
    refusal=Refusal(Reason.POOL_EXHAUSTED, "pool default: 4 of 4 used"),
    status=LoadBalancerStatus(conditions=(a_condition(PROVISIONED, Status.FALSE, Reason.POOL_EXHAUSTED),)),
)
NOT_VALID = (Shown(PROVISIONED, "False", "InvalidWish", f"no [trace {9:032x}]", THEN),)
LEAVING = AddressClaim(
    metadata=ObjectMeta(name=ADDRESS),
    spec=AddressClaimSpec(
        address=ADDRESS,
        pool="default",
        phase=ClaimPhase.RELEASING,
        owner=ClaimOwner(tenant="acme", cluster_uid=CLUSTER, service_uid="service-1", namespace="shop", name="web"),
    ),
)
_NEIGHBOUR = ClaimOwner(tenant="acme", cluster_uid=CLUSTER, service_uid="service-2", namespace="shop", name="other")
LEFT = msgspec.structs.replace(
    LEAVING,
    spec=msgspec.structs.replace(
        LEAVING.spec,
        phase=ClaimPhase.BOUND,
        owner=_NEIGHBOUR,
        sharing_key="front",
        leaving=(ClaimShare(owner=LEAVING.spec.owner, ports=("443/TCP",)),),
    ),
)
STILL_SHARED = msgspec.structs.replace(
    LEAVING, spec=msgspec.structs.replace(LEFT.spec, sharers=(ClaimShare(owner=LEAVING.spec.owner),), leaving=())
)
NOT_YET = msgspec.structs.replace(WELL, observed_generation=0)
SUSPENDED = msgspec.structs.replace(a_tenant(), spec=msgspec.structs.replace(a_tenant().spec, suspended=True))
UNREADY = msgspec.structs.replace(
    a_tenant(),
    status=msgspec.structs.replace(
        a_tenant().status, conditions=(a_condition(READY, Status.FALSE, Reason.OVERLAP, "nodeCIDRs"),)
    ),
)
NOBODY = Held("a-lease", "", False)


@pytest.mark.parametrize(
    ("changed", "stage", "reason"),
    [
        ({"service": None, "balancer": None}, Stage.TENANT, "NotFound"),
        ({"service": a_service(type="ClusterIP"), "balancer": None}, Stage.TENANT, "NotALoadBalancer"),
        (
            {"service": a_service(load_balancer_class="x/y"), "balancer": None, "observed": None},
            Stage.TENANT,
            "OtherClass",
        ),
        ({"tenant": None}, Stage.MANAGER, "TenantUnknown"),
        ({"tenant": SUSPENDED}, Stage.MANAGER, "TenantSuspended"),
        ({"tenant": UNREADY}, Stage.MANAGER, Reason.TENANT_NOT_READY),
        ({"service": a_service(conditions=NOT_VALID), "balancer": None}, Stage.WATCHER, Reason.INVALID),
        ({"service": a_service(ADDRESS, conditions=NOT_VALID)}, Stage.WATCHER, Reason.INVALID),
        ({"watcher_heard": NOW - SILENCE_SECONDS - 1}, Stage.WATCHER, "WatcherSilent"),
        ({"watcher_heard": None}, Stage.WATCHER, "WatcherSilent"),
        ({"observed": None, "balancer": None}, Stage.WATCHER, "NotObserved"),
        ({"manager": NOBODY}, Stage.MANAGER, "NoManager"),
        ({"manager": Held("fleetlb-manager", "m-1", True, "the store went back")}, Stage.MANAGER, "StoreWentBack"),
        ({"observed": ServiceObserved(digest="d", wish="wish-2")}, Stage.MANAGER, "NotDecided"),
        ({"balancer": None}, Stage.MANAGER, "NotDecided"),
        ({"claims": (LEAVING,), "realized": {}}, Stage.NODE, Reason.RELEASE_PENDING),
        ({"claims": (LEFT,), "realized": {}}, Stage.NODE, Reason.RELEASE_PENDING),
        ({"balancer": REFUSED}, Stage.MANAGER, Reason.POOL_EXHAUSTED),
        ({"desired": {}}, Stage.MANAGER, "NotPublished"),
        ({"desired": {WEB: msgspec.structs.replace(WISH, server=None)}}, Stage.MANAGER, "NotPublished"),
        (
            {"desired": {WEB: msgspec.structs.replace(WISH, load_balancer=LoadBalancerRevision("other", 1))}},
            Stage.MANAGER,
            "NotPublished",
        ),
        ({"realized": {}}, Stage.NODE, "NotAcknowledged"),
        ({"realized": said(about=LoadBalancerRevision("uid-of-service-1", 0))}, Stage.NODE, "NotAcknowledged"),
        ({"realized": said(state=RealizedState.REMOVED)}, Stage.NODE, "NotAcknowledged"),
        ({"realized": said(state=RealizedState.REJECTED, message="in use")}, Stage.NODE, Reason.DATAPLANE_REJECTED),
        ({"realized": said(real_servers=0)}, Stage.BACKENDS, Reason.NO_READY_BACKEND),
        ({"realized": said(real_servers=0, reason="NoEligibleNode")}, Stage.BACKENDS, Reason.NO_ELIGIBLE_NODE),
        ({"realized": said(probe=Probe.UNANSWERED)}, Stage.BACKENDS, Reason.PROBE_UNANSWERED),
        ({"realized": said(healthy=0)}, Stage.BACKENDS, Reason.PROBE_UNANSWERED),
        ({"status": NOBODY}, Stage.STATUS, "NoStatusService"),
        ({"balancer": a_load_balancer(status=NOT_YET)}, Stage.STATUS, "NotJudged"),
        ({"service": a_service()}, Stage.WATCHER, "NotShown"),
    ],
)
def test_the_first_step_that_is_not_done_is_named(changed: dict[str, Any], stage: Stage, reason: str) -> None:
    found = explain(a_situation(**changed))
    assert (found.stage, found.reason, found.serving) == (stage, reason, False)
    assert found.message
    assert found.cure


def test_who_shares_an_address_is_not_leaving_it() -> None:
    assert explain(a_situation(claims=(STILL_SHARED,))).serving


def test_what_it_was_decided_from_is_shown() -> None:
    endpoints = ServiceObserved(digest="d", wish="wish-1", endpoints=ServiceEndpoints(ready=False))
    assert explain(a_situation(observed=endpoints, realized=said(real_servers=0))).given["endpoints"] == "ready: false"
    refused = explain(a_situation(balancer=REFUSED))
    assert (refused.message, refused.since) == ("pool default: 4 of 4 used", THEN)
    leaving = explain(a_situation(claims=(LEAVING,), realized={}))
    assert leaving.given["waits for"] == "node-1"


def test_a_mark_is_shown_as_the_trace_and_not_as_text() -> None:
    found = explain(a_situation(service=a_service(conditions=NOT_VALID), balancer=None))
    assert found.message == "no"


def test_whoever_cannot_look_at_the_tenant_says_nothing_of_it() -> None:
    assert explain(a_situation(service=None, is_tenant_seen=False)).serving
    assert "in the hub" in explain(a_situation(service=None, is_tenant_seen=False, balancer=None)).message


def test_every_reason_that_can_be_given_has_a_cure() -> None:
    fine = {Reason.COMPLETE, Reason.SERVING}
    assert {reason for reason in Reason if reason not in fine} <= CURES.keys()


def test_the_last_change_is_told_by_its_stations() -> None:
    hops = (Hop("watch", 1_000), Hop("claim", 6_000), Hop("probe", 21_000))
    seen = a_situation(realized=said(hops=hops))
    found = last_change(seen)
    assert found is not None
    assert [(p.service, p.station, p.took_ms, p.after_ms) for p in passages(found.word.hops)] == [
        ("tenant-watcher", "watch", 0.0, 0.0),
        ("manager", "claim", 5.0, 5.0),
        ("balancer node", "probe", 15.0, 20.0),
    ]
    assert last_change(a_situation()) is None
    assert passages(()) == []
