from typing import Any

from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import ClaimPhase, ClaimShare
from fleetlb.contracts.tenants import (
    CONFIRM_REMOVAL,
    TENANT_FINALIZER,
    CredentialRules,
    Revocation,
    TenantCluster,
    TenantClusterSpec,
)
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.routing import RouteAttributes
from fleetlb.domain.services import TenantNode
from fleetlb.domain.virtual_servers import Announcement, parse_key
from fleetlb_manager.folding_objects import ObjectFolding
from fleetlb_manager.identities import ClusterKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.virtual_server_tables import Published
from fleetlb_manager.waiting_lines import address_resource, pool_resource, quota_resource, sharing_resource
from tests.unit.fleetlb_manager.manager_world import (
    EXHAUSTED,
    Marked,
    a_claim,
    a_group,
    a_key,
    a_load_balancer,
    a_pool,
    a_tenant,
)

POOL = pool_resource("default", Family.IPV4)
SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))


class Folded:
    def __init__(self) -> None:
        self.memory, self.marks = Memory(), Marked()
        self.fold = ObjectFolding(self.memory, self.marks)

    def versioned(self, item, version: int, **changes):  # type: ignore[no-untyped-def]
        return replace(item, metadata=replace(item.metadata, resource_version=str(version)), **changes)


def test_a_claim_marks_its_service_slots_and_statuses() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool())
    folded.memory.desired.note(SLOT, Published(1, 1, "d"))
    folded.marks.clear()
    folded.fold.claim_set(a_claim())
    assert list(folded.marks.services) == [a_key()]
    assert list(folded.marks.slots) == [SLOT]
    assert list(folded.marks.statuses) == [StatusKey("tenant", "acme"), StatusKey("pool", "default")]
    assert not folded.marks.claims
    folded.fold.claim_set(a_claim(version=2, phase=ClaimPhase.RELEASING))
    assert list(folded.marks.claims) == ["192.0.2.1"]
    folded.marks.clear()
    folded.fold.claim_set(a_claim(version=1))
    assert not folded.marks.services


def test_a_tenant_marks_its_account_when_what_keeps_it_changes_and_not_its_judgement() -> None:
    folded = Folded()
    folded.fold.tenant_set(a_tenant())
    steps: list[dict[str, Any]] = [
        {"finalizers": (TENANT_FINALIZER,)},
        {"deletion_timestamp": "2026-11-25T13:00:00Z"},
        {"deletion_timestamp": "2026-11-25T13:00:00Z", "annotations": {CONFIRM_REMOVAL: "acme"}},
    ]
    for version, changes in enumerate(steps, start=2):
        folded.marks.clear()
        metadata = replace(a_tenant().metadata, resource_version=str(version), **changes)
        folded.fold.tenant_set(replace(a_tenant(), metadata=metadata))
        assert (list(folded.marks.accounts), folded.marks.tenancies) == (["acme"], 0)
    folded.marks.clear()
    metadata = replace(a_tenant().metadata, resource_version="9", annotations={CONFIRM_REMOVAL: "acme", "other": "x"})
    folded.fold.tenant_set(replace(a_tenant(), metadata=replace(metadata, **steps[1])))
    assert not folded.marks.statuses


def test_what_a_deleted_tenant_gives_back_marks_its_account_alone() -> None:
    folded = Folded()
    for name, deleted in (("acme", "2026-11-25T13:00:00Z"), ("globex", None)):
        tenant = a_tenant(name)
        folded.fold.tenant_set(replace(tenant, metadata=replace(tenant.metadata, deletion_timestamp=deleted)))
    claims = [a_claim(f"192.0.2.{n}", a_key("u1", name)) for n, name in ((1, "acme"), (2, "globex"))]
    for claim in claims:
        folded.fold.claim_set(claim)
    folded.fold.load_balancer_set(a_load_balancer(a_key()))
    folded.marks.clear()
    for claim in claims:
        folded.fold.claim_gone(claim)
    assert list(folded.marks.accounts) == ["acme"]
    folded.marks.clear()
    folded.fold.load_balancer_gone(a_load_balancer(a_key()))
    assert list(folded.marks.accounts) == ["acme"]


def test_a_pool_marks_itself_when_what_keeps_it_changes() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool())
    assert list(folded.marks.pools) == ["default"]
    folded.marks.clear()
    folded.fold.pool_set(folded.versioned(a_pool(quarantine=7), 2))
    folded.fold.claim_set(a_claim())
    folded.fold.claim_gone(a_claim())
    assert not folded.marks.pools
    folded.fold.pool_set(folded.versioned(a_pool(deleted="2026-11-25T13:00:00Z"), 3))
    assert list(folded.marks.pools) == ["default"]
    assert folded.memory.book.pools["default"].closed
    folded.marks.clear()
    folded.fold.claim_set(a_claim(uid="again"))
    assert list(folded.marks.pools) == ["default"]


def test_a_deleted_pool_that_cannot_be_read_is_closed_with_its_last_ranges() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool())
    folded.fold.pool_set(folded.versioned(a_pool("garbage", deleted="2026-11-25T13:00:00Z"), 2))
    assert folded.memory.book.pools["default"].closed
    assert folded.memory.book.pools_of("192.0.2.1") == ["default"]
    folded.fold.pool_set(folded.versioned(a_pool("garbage", name="new"), 3))
    assert "new" not in folded.memory.book.pools


def test_a_claim_outside_its_pools_ranges_marks_that_pool_too() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool("198.51.100.0/24"))
    folded.marks.clear()
    folded.fold.claim_set(a_claim())
    assert StatusKey("pool", "default") in folded.marks.statuses
    assert folded.memory.claims.of_pools.of("default").named == ("192.0.2.1 of acme shop/web",)
    folded.fold.pool_set(folded.versioned(a_pool("192.0.2.0/24"), 2))
    assert folded.memory.claims.of_pools.of("default").outside == 0
    folded.fold.pool_set(folded.versioned(a_pool("192.0.2.0/24", exclude=("192.0.2.1",)), 3))
    assert folded.memory.claims.of_pools.of("default").outside == 1
    assert folded.memory.route_of("192.0.2.1", "default").prefix == ""
    folded.fold.pool_gone(a_pool())
    assert folded.memory.claims.of_pools.of("default").addresses == 1


def test_a_freed_address_calls_the_oldest_who_waits() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool())
    folded.fold.claim_set(a_claim())
    lines = folded.memory.lines
    lines.wait(a_key("by-name"), (address_resource("192.0.2.1"),), "t")
    lines.wait(a_key("any"), (POOL,), "t")
    lines.wait(a_key("any-later"), (POOL,), "t")
    lines.wait(a_key("quota"), (quota_resource("acme"),), "t")
    folded.marks.clear()
    folded.fold.claim_set(a_claim(version=2, phase=ClaimPhase.QUARANTINED))
    assert list(folded.marks.services) == [a_key(), a_key("quota")]
    folded.marks.clear()
    folded.fold.claim_gone(a_claim(version=2, phase=ClaimPhase.QUARANTINED))
    assert list(folded.marks.services) == [a_key(), a_key("by-name")], "there is one, so it is offered to one"
    folded.marks.clear()
    folded.fold.call_next(lines.leave(a_key("by-name")))
    assert list(folded.marks.services) == [a_key("any")]
    folded.marks.clear()
    folded.fold.claim_gone(a_claim(version=2))
    assert not folded.marks.services
    folded.fold.call_next([POOL])
    assert list(folded.marks.services) == [a_key("any-later")]


def test_a_new_pool_calls_the_oldest_who_waits_for_another() -> None:
    folded = Folded()
    folded.fold.load_balancer_set(a_load_balancer(a_key("u1"), refusal=EXHAUSTED))
    folded.memory.lines.wait(a_key("u1"), (POOL,), "t")
    folded.fold.pool_set(a_pool("198.51.100.7/32", name="extra"))
    assert folded.memory.lines.called(pool_resource("extra", Family.IPV4)) == 1
    assert folded.memory.lines.called_for(a_key("u1"))


def test_a_changed_pool_wakes_who_was_refused_the_oldest_first() -> None:
    folded = Folded()
    for uid in ("u2", "u1"):
        folded.fold.load_balancer_set(a_load_balancer(a_key(uid), refusal=EXHAUSTED))
        folded.memory.lines.wait(a_key(uid), (POOL,), "t")
    folded.marks.clear()
    folded.fold.pool_set(a_pool())
    assert list(folded.marks.services) == [a_key("u2"), a_key("u1")]
    folded.marks.clear()
    folded.fold.pool_set(folded.versioned(a_pool(), 2))
    assert not folded.marks.services
    assert list(folded.marks.statuses) == [StatusKey("pool", "default")]


def test_ranges_that_cannot_be_read_leave_the_last_good_ones() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool("192.0.2.0/29"))
    folded.fold.pool_set(folded.versioned(a_pool("192.0.2.9-192.0.2.1"), 2))
    assert folded.memory.book.counts("default", Family.IPV4).total == 8
    folded.fold.pool_gone(a_pool())
    assert not folded.memory.book.pools
    assert not folded.memory.pools


def test_an_older_version_changes_nothing() -> None:
    folded = Folded()
    folded.fold.tenant_set(folded.versioned(a_tenant(), 5))
    folded.fold.group_set(folded.versioned(a_group(), 5))
    folded.fold.pool_set(folded.versioned(a_pool(), 5))
    folded.marks.clear()
    folded.fold.tenant_set(folded.versioned(a_tenant("acme", "10.9.0.0/16"), 4))
    folded.fold.group_set(folded.versioned(a_group(nodes=("other",)), 4))
    folded.fold.pool_set(folded.versioned(a_pool("198.51.100.0/24"), 4))
    assert folded.memory.tenants["acme"].spec.node_cidrs == ("10.1.0.0/16",)
    assert folded.memory.nodes_of("default") == ("node-1",)
    assert not folded.marks.tenancies
    assert not folded.marks.statuses


def test_a_tenant_is_judged_when_its_spec_changed_and_looked_after_when_its_status_did() -> None:
    folded = Folded()
    folded.fold.tenant_set(a_tenant())
    assert (folded.marks.tenancies, list(folded.marks.accounts)) == (1, ["acme"])
    folded.marks.clear()
    status = replace(a_tenant().status, account="ASECOND")
    folded.fold.tenant_set(folded.versioned(a_tenant(), 2, status=status))
    assert (folded.marks.tenancies, list(folded.marks.accounts)) == (0, ["acme"])
    assert folded.memory.account_of("acme") == "ASECOND"
    folded.marks.clear()
    revoked = CredentialRules(revoked=Revocation(issued_before="2026-11-28T12:00:00Z"))
    edits: list[dict[str, Any]] = [{"suspended": True}, {"credentials": revoked}]
    for version, changes in enumerate(edits, start=3):
        folded.fold.tenant_set(folded.versioned(a_tenant(), version, spec=replace(a_tenant().spec, **changes)))
        assert list(folded.marks.accounts) == ["acme"], "the grant is the same, so the judgement marks nothing"
        folded.marks.clear()
    folded.fold.tenant_gone(a_tenant())
    assert (folded.marks.tenancies, folded.memory.account_of("acme")) == (1, "")


def test_what_is_gone_does_not_come_back_with_an_answer_that_was_still_on_its_way() -> None:
    """The answer to our own write may be folded after the watch told of the end."""
    folded = Folded()
    cases: list[tuple[Any, ...]] = [
        (a_tenant(), folded.fold.tenant_set, folded.fold.tenant_gone, folded.memory.tenants),
        (a_pool(), folded.fold.pool_set, folded.fold.pool_gone, folded.memory.pools),
        (a_group(), folded.fold.group_set, folded.fold.group_gone, folded.memory.groups),
    ]
    for item, fold, gone, known in cases:
        fold(item)
        gone(item)
        fold(folded.versioned(item, 7))
        assert not known
        again = replace(item, metadata=replace(item.metadata, uid="another", resource_version="8"))
        fold(again)
        gone(item)
        assert list(known.values()) == [again], "a namesake that was made later stays"


def test_a_changed_group_looks_at_its_slots_again() -> None:
    folded = Folded()
    folded.fold.group_set(a_group())
    folded.memory.desired.note(SLOT, Published(1, 1, "d"))
    folded.memory.desired.note(Slot("other", SLOT.key), Published(1, 1, "d"))
    folded.fold.group_set(folded.versioned(a_group(nodes=("node-1", "node-2")), 2))
    assert list(folded.marks.slots) == [SLOT]
    folded.fold.group_gone(a_group())
    assert folded.memory.nodes_of("default") is None


def test_a_group_that_carries_otherwise_concerns_its_load_balancers() -> None:
    folded = Folded()
    folded.fold.load_balancer_set(a_load_balancer(a_key("u1"), "192.0.2.1"))
    elsewhere = a_load_balancer(a_key("u2"), "192.0.2.2")
    folded.fold.load_balancer_set(replace(elsewhere, spec=replace(elsewhere.spec, group="other")))
    folded.marks.clear()
    folded.fold.group_set(a_group())
    assert list(folded.marks.services) == [a_key("u1")]
    folded.marks.clear()
    folded.fold.group_set(folded.versioned(a_group(nodes=("node-1", "node-2")), 2))
    assert not folded.marks.services
    folded.fold.group_set(folded.versioned(a_group(drain_seconds=7), 3))
    assert list(folded.marks.services) == [a_key("u1")]
    folded.marks.clear()
    folded.fold.group_gone(a_group())
    again = replace(a_group(drain_seconds=7), metadata=replace(a_group().metadata, uid="again"))
    folded.fold.group_set(folded.versioned(again, 4))
    assert not folded.marks.services
    folded.fold.group_set(folded.versioned(replace(again, spec=replace(again.spec, engine=EngineName.IPVS)), 5))
    assert list(folded.marks.services) == [a_key("u1")]


def test_a_pool_that_is_gone_wakes_who_was_refused_because_of_it() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool())
    folded.fold.load_balancer_set(a_load_balancer(a_key(), refusal=EXHAUSTED))
    folded.marks.clear()
    folded.fold.pool_gone(a_pool())
    assert list(folded.marks.services) == [a_key()]


def test_a_pool_that_routes_otherwise_concerns_only_the_addresses_that_are_routed_otherwise() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool("192.0.2.0/30", "192.0.2.4/30"))
    for uid, address in (("low", "192.0.2.1"), ("high", "192.0.2.5")):
        folded.fold.claim_set(a_claim(address, a_key(uid)))
    folded.fold.claim_set(a_claim("192.0.2.6", a_key("elsewhere"), group="other"))
    folded.fold.claim_set(a_claim("192.0.2.7", a_key("going"), phase=ClaimPhase.RELEASING))
    folded.marks.clear()

    def marked(pool, version: int) -> set[str]:  # type: ignore[no-untyped-def]
        folded.marks.clear()
        folded.fold.pool_set(folded.versioned(pool, version))
        return {key.uid for key in folded.marks.services}

    assert marked(a_pool("192.0.2.4/30", "192.0.2.0/30"), 2) == set()
    assert marked(a_pool("192.0.2.0/30", "192.0.2.4/30", auto_assign=False), 3) == set()
    assert marked(a_pool("192.0.2.0/30", "192.0.2.4-192.0.2.6"), 4) == {"high"}
    assert marked(a_pool("192.0.2.9-192.0.2.1"), 5) == set()
    assert marked(a_pool("192.0.2.0/29"), 6) == {"low", "high"}
    assert marked(a_pool("192.0.2.0/30", "192.0.2.4/30"), 7) == {"low", "high"}
    assert marked(a_pool("192.0.2.0/30", "192.0.2.4/30", group="other"), 8) == {"low", "high", "elsewhere"}
    folded.marks.clear()
    folded.fold.pool_gone(a_pool())
    assert {key.uid for key in folded.marks.services} == {"elsewhere"}


def test_a_clusters_nodes_concern_its_load_balancers() -> None:
    folded = Folded()
    folded.fold.load_balancer_set(a_load_balancer(a_key("u1"), "192.0.2.1"))
    folded.fold.load_balancer_set(a_load_balancer(a_key("u2", cluster="cluster-2"), "192.0.2.2"))
    folded.marks.clear()
    meta = ObjectMeta(name="cluster-1", namespace="tenant-acme", uid="c", resource_version="1")
    item = TenantCluster(metadata=meta, spec=TenantClusterSpec(tenant="acme", nodes=(TenantNode(name="a"),)))
    folded.fold.cluster_set(item)
    assert list(folded.marks.services) == [a_key("u1")]
    assert list(folded.marks.clusters) == [ClusterKey("acme", "cluster-1")]
    folded.marks.clear()
    folded.fold.cluster_gone(item)
    folded.fold.cluster_gone(item)
    assert list(folded.marks.clusters) == [ClusterKey("acme", "cluster-1")]


def test_a_load_balancer_marks_its_service_when_it_changed_or_went() -> None:
    folded = Folded()
    item = a_load_balancer(a_key(), "192.0.2.1")
    folded.fold.load_balancer_set(item)
    folded.marks.clear()
    folded.fold.load_balancer_set(item)
    assert not folded.marks.services
    folded.fold.load_balancer_gone(item)
    assert list(folded.marks.services) == [a_key()]


def test_a_free_address_marks_the_pool_that_gave_it_also_when_that_has_lost_it() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool("198.51.100.0/30"))
    folded.marks.clear()
    folded.fold.address_free("192.0.2.1", "default")
    assert list(folded.marks.statuses) == [StatusKey("pool", "default")]


def test_a_claim_that_is_shared_marks_all_who_have_or_had_part_in_it_and_wakes_all_who_wait_for_its_key() -> None:
    folded = Folded()
    share = ClaimShare(owner=a_claim(owner=a_key("u2")).spec.owner, ports=("80/TCP",))
    folded.fold.claim_set(a_claim(sharing_key="k", sharers=(share,)))
    folded.memory.lines.wait(a_key("young"), [sharing_resource("acme", "k")], "2026-11-25T12:00:02Z")
    folded.memory.lines.wait(a_key("old"), [address_resource("192.0.2.1")], "2026-11-25T12:00:01Z")
    folded.memory.lines.wait(a_key("other"), [sharing_resource("acme", "other")], "2026-11-25T12:00:00Z")
    folded.marks.clear()
    folded.fold.claim_set(a_claim(version=2, sharing_key="k", leaving=(share,)))
    assert [key.uid for key in folded.marks.services] == ["u1", "u2", "old", "young"]
    assert list(folded.marks.claims) == ["192.0.2.1"]
    folded.marks.clear()
    folded.fold.claim_gone(a_claim(version=2, sharing_key="k", leaving=(share,)))
    assert [key.uid for key in folded.marks.services] == ["u1", "u2", "old", "young"]


def test_a_pools_attributes_concern_its_group_and_who_else_has_some() -> None:
    folded = Folded()
    gold: dict[str, Any] = {"announcement": Announcement.BGP, "bgp": RouteAttributes(communities=("65000:1",))}
    folded.fold.pool_set(a_pool(name="gold", group="edge", **gold))
    assert StatusKey("group", "edge") in folded.marks.statuses
    folded.marks.statuses.clear()
    folded.fold.pool_set(folded.versioned(a_pool(name="gold", group="edge", quarantine=7, **gold), 2))
    assert StatusKey("group", "edge") not in folded.marks.statuses
    folded.fold.pool_set(folded.versioned(a_pool(name="gold", **gold), 3))
    assert {StatusKey("group", "edge"), StatusKey("group", "default")} <= set(folded.marks.statuses)
    folded.marks.statuses.clear()
    folded.fold.group_set(a_group(engine=EngineName.IPVS))
    assert StatusKey("pool", "gold") in folded.marks.statuses
    folded.marks.statuses.clear()
    folded.fold.pool_gone(a_pool(name="gold"))
    assert StatusKey("group", "default") in folded.marks.statuses


def test_load_balancers_of_a_pool_that_gets_attributes_of_its_own_are_planned_anew() -> None:
    folded = Folded()
    folded.fold.pool_set(a_pool(announcement=Announcement.BGP))
    folded.fold.claim_set(a_claim())
    folded.marks.services.clear()
    one, other = (RouteAttributes(communities=(text,)) for text in ("65000:1", "65000:2"))
    folded.fold.pool_set(folded.versioned(a_pool(announcement=Announcement.BGP, bgp=one), 2))
    assert list(folded.marks.services) == [a_key()]
    assert folded.memory.route_of("192.0.2.1", "default").attributes_pool == "default"
    folded.marks.services.clear()
    folded.fold.pool_set(folded.versioned(a_pool(announcement=Announcement.BGP, bgp=other), 3))
    assert not folded.marks.services, "nodes are told of others once for all"
