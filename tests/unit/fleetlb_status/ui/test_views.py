"""What a tenant does not see."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.tenants import TenantStatus
from fleetlb.contracts.v1 import (
    LoadBalancerRevision,
    NodePresent,
    Owner,
    RealizedState,
    VipCarried,
    VirtualServerDesired,
)
from fleetlb.domain.conditions import READY, Condition, Reason, Status
from fleetlb.domain.virtual_servers import Announcement, VirtualServer, parse_key
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.situation import Carrying, Presence, Said, Situation
from fleetlb.kube.holding import Held
from fleetlb.testkit.load_balancers import ADDRESS, KEY, a_group, a_load_balancer, a_tenant, a_word
from fleetlb_status.ui.pictures import Kind, NodeMark, ThingChanged
from fleetlb_status.ui.picturing import group_of, tenant_of
from fleetlb_status.ui.views import OPERATOR, View, narrowed
from tests.unit.fleetlb_status.ui.test_picturing import pictured

ACME = View("acme")
WISH = VirtualServerDesired(
    key=parse_key(KEY),
    generation=1,
    revision=4,
    owner=Owner(tenant="acme", cluster_uid="cluster-1", service_uid="service-1"),
    load_balancer=LoadBalancerRevision("uid-of-service-1", 1),
    server=VirtualServer(key=parse_key(KEY)),
)
SECRETS = ("secret-node", "secret-replica", "secret-port", "globex")


def a_situation(**changed: Any) -> Situation:
    """One in which everything that a tenant should not read has a name of its own."""
    word = Said(a_word(node="secret-node"), "", 1_800_000_000.0)
    well: dict[str, Any] = {
        "tenant_name": "acme",
        "namespace": "shop",
        "name": "web",
        "now": 1_800_000_000.0,
        "tenant": a_tenant(),
        "watcher_heard": 1_800_000_000.0,
        "balancer": a_load_balancer(),
        "group": a_group("secret-node"),
        "desired": {parse_key(KEY): WISH},
        "realized": {"secret-node": {parse_key(KEY): word}},
        "manager": Held("fleetlb-manager", "secret-replica", True),
        "status": Held("fleetlb-status", "secret-replica", True),
    }
    return Situation(**(well | changed))


OVERLAP = msgspec.structs.replace(
    a_tenant(),
    status=TenantStatus(
        conditions=(Condition(type=READY, status=Status.FALSE, reason=Reason.OVERLAP, message="those of globex"),)
    ),
)
REJECTED = Said(a_word(node="secret-node", state=RealizedState.REJECTED, message="bind: in use"), "", 1.0)
UNANSWERED = Said(a_word(node="secret-node", healthy=0), "", 1.0)
ON_A_LINK = msgspec.structs.replace(WISH, server=VirtualServer(key=WISH.key, announcement=Announcement.LAYER2))
LINKED = a_group("secret-node")
DRAINED = msgspec.structs.replace(LINKED, spec=msgspec.structs.replace(LINKED.spec, draining=("secret-node",)))


def on_a_link(*, announced: bool, is_heard: bool = True, draining: bool = False, **changed: Any) -> Situation:
    """One in which a node carries the address on a link that others share."""
    word = VipCarried(
        node="secret-node",
        group="default",
        address=ADDRESS,
        epoch=1,
        run="r1",
        number=1,
        carried=True,
        announced=announced,
        to=("secret-port",),
        since=1_799_990_000_000_000,
    )
    there = NodePresent(
        node="secret-node", group="default", epoch=1, run="r1", number=2, lease_ms=1500, draining=draining
    )
    return a_situation(
        desired={WISH.key: ON_A_LINK},
        realized={"secret-node": {WISH.key: Said(a_word(node="secret-node"), "", 1.0)}},
        carried={"secret-node": {ADDRESS: Carrying(word, 1.0)}},
        present={"secret-node": Presence(there, 1_800_000_000.0 if is_heard else 1.0)},
        **changed,
    )


SITUATIONS = {
    "announced": on_a_link(announced=True),
    "not announced": on_a_link(announced=False),
    "gives way": on_a_link(announced=False, draining=True),
    "is drained": on_a_link(announced=False, draining=True, group=DRAINED),
    "its lease has ended": on_a_link(announced=True, is_heard=False),
    "published to nobody": a_situation(desired={}),
    "not judged": a_situation(),
    "no backend answers": a_situation(realized={"secret-node": {parse_key(KEY): UNANSWERED}}),
    "not acknowledged": a_situation(realized={}),
    "rejected": a_situation(realized={"secret-node": {parse_key(KEY): REJECTED}}),
    "overlaps another tenant": a_situation(tenant=OVERLAP),
    "the store went back": a_situation(manager=Held("fleetlb-manager", "secret-replica", True, "accept secret-node")),
    "nobody acts": a_situation(status=Held("fleetlb-status", "", False)),
}


@pytest.mark.parametrize("seen", SITUATIONS.values(), ids=SITUATIONS)
def test_no_explanation_names_a_node_a_replica_or_another_tenant(seen: Situation) -> None:
    told = msgspec.json.encode(explain(ACME.situation(seen))).decode()
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize("seen", SITUATIONS.values(), ids=SITUATIONS)
def test_a_tenant_is_told_of_the_same_step_and_cure(seen: Situation) -> None:
    whole, own = explain(seen), explain(ACME.situation(seen))
    assert (own.stage, own.reason, own.cure) == (whole.stage, whole.reason, whole.cure)


def test_a_tenant_is_told_since_when_it_is_announced_and_on_no_interface() -> None:
    told = explain(ACME.situation(SITUATIONS["announced"]))
    assert told.given[f"announced {ADDRESS}"] == (f"balancer node 1 answers for {ADDRESS} since 2027-01-15T05:13:20Z")
    drained = explain(ACME.situation(SITUATIONS["is drained"]))
    assert drained.given["balancer node 1"] == "is to be emptied"


def test_an_operator_is_told_all_of_it() -> None:
    assert "secret-port" in explain(OPERATOR.situation(SITUATIONS["announced"])).given[f"announced {ADDRESS}"]
    assert "secret-node" in explain(OPERATOR.situation(SITUATIONS["not acknowledged"])).given["node"]
    assert "globex" in explain(OPERATOR.situation(SITUATIONS["overlaps another tenant"])).message


def test_nodes_are_numbers() -> None:
    picture = pictured(a_load_balancer(), nodes=("secret-node", "node-2"))
    assert narrowed(picture).nodes == (
        NodeMark(node="balancer node 1", state="waiting"),
        NodeMark(node="balancer node 2", state="waiting"),
    )
    assert ACME.service(picture) == narrowed(picture)
    assert OPERATOR.service(picture) is picture


def test_a_tenant_has_itself_and_nothing_that_is_shared() -> None:
    own = ThingChanged(kind=Kind.TENANT, name="acme", value=tenant_of(a_tenant()))
    others = [
        ThingChanged(kind=Kind.TENANT, name="globex", value=None),
        ThingChanged(kind=Kind.GROUP, name="acme", value=group_of(a_group())),
        *(ThingChanged(kind=kind, name="acme", value=None) for kind in (Kind.POOL, Kind.PROCESS, Kind.HUB)),
    ]
    assert ACME.has_thing(own)
    assert not [each for each in others if ACME.has_thing(each)]
    assert all(OPERATOR.has_thing(each) for each in (own, *others))
    assert [ACME.has_service(tenant) for tenant in ("acme", "globex", "")] == [True, False, False]
