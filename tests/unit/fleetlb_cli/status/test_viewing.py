"""What is said to be wrong with a fleet, and what to look at next, from pictures made by hand."""

from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPoolStatus, LoadBalancer
from fleetlb.contracts.tenants import TenantStatus
from fleetlb.domain.conditions import READY, REMOVED, Condition, Reason, Refusal, Status
from fleetlb.domain.routing import RouterSession
from fleetlb.kube.holding import Held
from fleetlb_cli.status.view import State
from fleetlb_cli.status.viewing import SILENCE_SECONDS, state_of, view_of
from fleetlb_cli.tenants.judging import LIVE
from tests.unit.fleetlb_cli.status.a_fleet import GROUP, NODE, NOW, POOL, TENANT, a_balancer, a_sight, judged

REFUSED = a_balancer(refusal=Refusal(Reason.POOL_EXHAUSTED, "pool public: 4 of 4 used"))
IDLE = a_balancer(status=judged(Status.FALSE, Reason.NO_READY_BACKEND, f"no backend [trace {7:032x}]"))
UNKNOWN = a_balancer(status=judged(Status.UNKNOWN, Reason.IN_PROGRESS))
LONG_AGO, JUST_NOW = "2027-01-15T07:59:00Z", "2027-01-15T07:59:50Z"
OLDER = replace(a_balancer(), metadata=replace(a_balancer().metadata, generation=2, creation_timestamp=LONG_AGO))
NEW = replace(OLDER, metadata=replace(OLDER.metadata, creation_timestamp=JUST_NOW))
REMOVED_TENANT = replace(TENANT, metadata=ObjectMeta(name="acme", uid="u", deletion_timestamp=JUST_NOW, generation=2))


TOLD = RouterSession(peer="tor-1", up=True, routes=3)
UNTOLD = RouterSession(peer="tor-2", problem="Socket: Connection refused")


def pool_that_says(reason: str) -> tuple[Any, ...]:
    said = Condition(type=READY, status=Status.FALSE, reason=reason)
    return (replace(POOL, status=AddressPoolStatus(conditions=(said,))),)


def with_node(**changed: Any) -> tuple[Any, ...]:
    return (replace(GROUP, status=replace(GROUP.status, nodes=(replace(NODE, **changed),))),)


def test_all_is_well() -> None:
    fleet = view_of(a_sight())
    assert (fleet.serving, fleet.troubles) == (True, ())
    (tenant,), (group,), (pool,) = fleet.tenants, fleet.groups, fleet.pools
    assert tenant.load_balancers == {"serving": 1, "pending": 0, "not serving": 0, "refused": 0}
    assert (tenant.state, tenant.addresses, tenant.clusters) == ("served", 1, 1)
    (node,) = group.nodes
    assert (node.name, node.is_well, node.virtual_servers, node.version) == ("node-1", True, 3, "1.0")
    assert (pool.ipv4.used, pool.ipv4.quarantined, pool.ipv4.free) == (1, 1, 2)
    assert [(each.name, each.holder) for each in fleet.processes] == [("manager", "m-1"), ("status", "s-1")]


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (a_balancer(), State.SERVING),
        (REFUSED, State.REFUSED),
        (IDLE, State.NOT_SERVING),
        (UNKNOWN, State.PENDING),
        (OLDER, State.PENDING),
    ],
)
def test_how_a_load_balancer_is(item: LoadBalancer, state: State) -> None:
    assert state_of(item) is state
    (tenant,) = view_of(a_sight(load_balancers=(item,))).tenants
    assert tenant.load_balancers[state] == 1
    assert sum(tenant.load_balancers.values()) == 1


@pytest.mark.parametrize(
    ("changed", "about", "text", "command"),
    [
        ({"nats_problem": "no answer"}, "NATS", "no answer", "fleetlb sysdump"),
        ({"managers": (Held("fleetlb-manager", "m-1", False),)}, "manager", "nobody holds", "fleetlb sysdump"),
        ({"status": Held("fleetlb-status", "", False)}, "status", "nobody holds", "fleetlb sysdump"),
        (
            {"managers": (Held("fleetlb-manager", "m-1", True, "the store went back"),)},
            "manager",
            "the store went back",
            "fleetlb restore show",
        ),
        ({"following": {}}, "node node-1 of group default", "does not follow", "fleetlb audit"),
        ({"groups": with_node(ready=False)}, "node node-1 of group default", "not ready", "fleetlb audit"),
        (
            {"groups": with_node(sessions=(TOLD, UNTOLD))},
            "node node-1 of group default",
            "tells these routers of no VIP: tor-2 (Socket: Connection refused)",
            "kubectl describe balancergroup default",
        ),
        ({"groups": (replace(GROUP, status=replace(GROUP.status, nodes=())),)}, "node node-1", "not ready", "audit"),
        ({"pools": pool_that_says("Overlap")}, "pool public", "Overlap", "kubectl describe addresspool public"),
        (
            {"tenants": (replace(TENANT, status=TenantStatus()),)},
            "tenant acme",
            "is not ready",
            "fleetlb tenant show acme",
        ),
        ({"watchers": {}}, "tenant acme", "cluster-1 is silent", "fleetlb tenant show acme"),
        (
            {"watchers": {"cluster-1": NOW - SILENCE_SECONDS - 1}},
            "tenant acme",
            "cluster-1 is silent",
            "fleetlb tenant show acme",
        ),
        (
            {"load_balancers": (REFUSED,)},
            "service acme/shop/web",
            "refused: PoolExhausted: pool public: 4 of 4 used",
            "fleetlb why svc acme/shop/web",
        ),
        (
            {"load_balancers": (IDLE,)},
            "service acme/shop/web",
            "not serving: NoReadyBackend: no backend",
            "fleetlb why svc acme/shop/web",
        ),
        ({"load_balancers": (OLDER,)}, "service acme/shop/web", "pending", "fleetlb why svc acme/shop/web"),
    ],
)
def test_each_thing_that_is_wrong_is_named(changed: dict[str, Any], about: str, text: str, command: str) -> None:
    fleet = view_of(a_sight(**changed))
    (trouble,) = fleet.troubles
    assert not fleet.serving
    assert about in trouble.about
    assert text in trouble.text
    assert "trace" not in trouble.text
    assert command in trouble.next


def test_without_nats_nothing_is_said_of_those_whom_only_it_knows() -> None:
    fleet = view_of(a_sight(nats_problem="away", following={}, watchers={}))
    assert [trouble.about for trouble in fleet.troubles] == ["NATS"]
    assert fleet.groups[0].nodes[0].following is None


@pytest.mark.parametrize(
    "changed",
    [
        {"pools": pool_that_says("Draining")},
        {"tenants": (replace(TENANT, spec=replace(TENANT.spec, suspended=True)),), "watchers": {}},
        {"tenants": (REMOVED_TENANT,), "watchers": {}},
        {"load_balancers": (NEW,)},
    ],
    ids=["a pool that is drained", "a tenant that is suspended", "a tenant that is removed", "a new load balancer"],
)
def test_what_somebody_wanted_or_has_just_begun_is_not_wrong(changed: dict[str, Any]) -> None:
    assert view_of(a_sight(**changed)).serving


def test_how_far_a_removal_is() -> None:
    told = Condition(type=REMOVED, status=Status.FALSE, reason=LIVE)
    meta = ObjectMeta(name="acme", uid="u", deletion_timestamp="2026-11-29T00:00:00Z")
    going = replace(TENANT, metadata=meta, status=replace(TENANT.status, conditions=(*TENANT.status.conditions, told)))
    assert view_of(a_sight(tenants=(going,))).tenants[0].state == "removal unconfirmed"
