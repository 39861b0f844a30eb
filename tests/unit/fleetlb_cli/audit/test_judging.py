import pytest
from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressPoolStatus,
    BalancerGroupSpec,
    ClaimOwner,
    ClaimPhase,
    ClaimShare,
    PoolCounts,
)
from fleetlb.contracts.tenants import Quotas, TenantSpec, TenantUsage
from fleetlb.contracts.v1 import LoadBalancerRevision, Probe, RealizedState
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.services import ServicePort
from fleetlb.domain.virtual_servers import RealServer
from fleetlb_cli.audit.judging import CHECKED, judge, lasting
from fleetlb_cli.audit.picture import Finding, Picture
from tests.unit.fleetlb_cli.audit.small_fleet import (
    BALANCER,
    CLAIM,
    DESIRED,
    GROUP,
    NODE,
    OTHER,
    OWNER,
    POOL,
    REALIZED,
    SOUND,
    TENANT,
    VIP,
    WISH,
    sent_to,
    with_balancer,
    with_claim,
    with_realized,
)

GLOBEX = ClaimOwner(tenant="globex", cluster_uid="c2", service_uid="u2", namespace="shop", name="web")
SHARER = ClaimShare(owner=replace(CLAIM.spec.owner, service_uid="u3"), ports=("443/TCP",))
HAS_IT = replace(SHARER, ports=("80/TCP",))
SHARED = replace(
    BALANCER,
    metadata=replace(BALANCER.metadata, name="u3"),
    spec=replace(
        BALANCER.spec, service=replace(BALANCER.spec.service, ports=(ServicePort(port=443, node_port=30443),))
    ),
    status=replace(BALANCER.status, conditions=()),
)
TWIN = replace(
    BALANCER,
    metadata=replace(BALANCER.metadata, name="u9"),
    spec=replace(BALANCER.spec, service=replace(BALANCER.spec.service, name="twin")),
)

WIDE = replace(
    POOL,
    metadata=ObjectMeta(name="wide", generation=1),
    spec=replace(POOL.spec, addresses=("192.0.2.0/29",), exclude=("192.0.2.0/30",)),
    status=AddressPoolStatus(ipv4=PoolCounts(total=4, free=4)),
)


def found(picture: Picture) -> list[str]:
    """Which invariants do not hold."""
    return sorted({finding.invariant for finding in judge(picture)})


def with_tenant(**changes: object) -> Picture:
    return replace(SOUND, tenants={"acme": replace(TENANT, **changes)})


def with_pool(**changes: object) -> Picture:
    return replace(SOUND, pools={"default": replace(POOL, **changes)})


def test_nothing_is_found_where_every_promise_holds() -> None:
    assert judge(SOUND) == []


SPOILED = {
    "A1 two load balancers": (replace(SOUND, load_balancers=(BALANCER, TWIN)), "A1"),
    "A1 nothing claimed": (replace(SOUND, claims={}, pools=with_pool(status=AddressPoolStatus()).pools), "A1"),
    "A1 let go already": (with_claim(phase=ClaimPhase.RELEASING), "A1"),
    "A1 a port of two in one claim": (with_claim(sharing_key="k", sharers=(replace(SHARER, ports=("80/TCP",)),)), "A1"),
    "A1 a port of one who left": (with_claim(leaving=(replace(SHARER, ports=("80/TCP",)),)), "A1"),
    "A2 shared with another": (with_claim(sharing_key="k", sharers=(ClaimShare(owner=GLOBEX, ports=()),)), "A2"),
    "A7 a port of one who shares": (with_claim(ports=(), sharing_key="k", sharers=(HAS_IT,)), "A7"),
    "A7 a port of nobody who shares": (
        replace(
            with_claim(ports=("443/TCP",)), realized=with_realized(owner=replace(OWNER, service_uid="u7")).realized
        ),
        "A7",
    ),
    "A8 one who shares has it not": (with_claim(sharing_key="k", sharers=(SHARER,)), "A8"),
    "A2 a wish for another": (replace(SOUND, desired={WISH: replace(DESIRED, owner=OTHER)}), "A2"),
    "A2 a node for another": (with_realized(owner=OTHER), "A2"),
    "A3 in no pool": (replace(SOUND, pools={}), "A3"),
    "A3 never in the pool": (
        with_pool(spec=replace(POOL.spec, addresses=("198.51.100.0/30",)), status=AddressPoolStatus()),
        "A3",
    ),
    "A6 used": (with_pool(status=AddressPoolStatus(ipv4=PoolCounts(total=4, used=2, quarantined=0, free=2))), "A6"),
    "A6 lost and not counted": (
        with_pool(
            metadata=ObjectMeta(name="default", generation=2),
            spec=replace(POOL.spec, exclude=(VIP,)),
            status=AddressPoolStatus(ipv4=PoolCounts(total=3, free=3)),
        ),
        "A6",
    ),
    "A3 never given": (with_pool(spec=replace(POOL.spec, exclude=(VIP,))), "A3"),
    "A6 sum": (with_pool(status=AddressPoolStatus(ipv4=PoolCounts(total=4, used=1, quarantined=0, free=2))), "A6"),
    "A6 resting": (with_claim(phase=ClaimPhase.QUARANTINED), "A6"),
    "A7 served for the last owner": (with_realized(owner=OTHER), "A7"),
    "A8 nobody has it": (replace(SOUND, load_balancers=()), "A8"),
    "A9 miscounted": (with_tenant(status=replace(TENANT.status, usage=TenantUsage(addresses=2))), "A9"),
    "A9 exceeded": (with_tenant(spec=replace(TENANT.spec, quotas=Quotas(load_balancers=0))), "A9"),
    "P1 nobody claimed it": (replace(SOUND, claims={}), "P1"),
    "P1 at rest": (with_claim(phase=ClaimPhase.QUARANTINED), "P1"),
    "P1 an older wish": (with_realized(generation=2), "P1"),
    "P9 less than asked": (with_realized(real_servers=0), "P9"),
    "T2 somebody else's node": (sent_to(RealServer("10.2.0.5", 30080)), "T2"),
    "T2 loopback": (sent_to(RealServer("127.0.0.1", 30080)), "T2"),
    "T2 metadata": (sent_to(RealServer("169.254.169.254", 80)), "T2"),
    "T2 mapped": (sent_to(RealServer("::ffff:10.1.0.5", 30080)), "T2"),
    "T3 no node port": (sent_to(RealServer("10.1.0.5", 22)), "T3"),
    "T6 elsewhere": (with_balancer(metadata=replace(BALANCER.metadata, namespace="tenant-globex")), "T6"),
    "T8 garbage": (replace(SOUND, unreadable=("fleetlb.v1.desired.default.x",)), "T8"),
    "V10 no node": (replace(SOUND, realized={}), "V10"),
    "V10 removed": (with_realized(state=RealizedState.REMOVED), "V10"),
    "V10 as before": (with_realized(load_balancer=LoadBalancerRevision("lb1", 1)), "V10"),
    "V10 nobody answers": (with_realized(probe=Probe.UNANSWERED), "V10"),
    "V10 not all nodes": (
        replace(
            SOUND,
            groups={
                "default": replace(GROUP, spec=BalancerGroupSpec(engine=EngineName.IPVS, nodes=("node-1", "node-2")))
            },
        ),
        "V10",
    ),
    "V10 no group": (replace(SOUND, groups={}), "V10"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_promise_that_does_not_hold_is_found(case: str) -> None:
    picture, invariant = SPOILED[case]
    assert invariant in found(picture)
    assert set(found(picture)) <= set(CHECKED)


def test_every_invariant_that_is_said_to_be_checked_is() -> None:
    assert {invariant for _, invariant in SPOILED.values()} == set(CHECKED)


SOUND_TOO = {
    "an address that is shared": replace(
        with_claim(sharing_key="k", sharers=(SHARER,), generation=9), load_balancers=(BALANCER, SHARED)
    ),
    "a port that is let go of": replace(
        with_claim(
            ports=("443/TCP",), owner=SHARER.owner, sharing_key="k", leaving=(replace(HAS_IT, owner=CLAIM.spec.owner),)
        ),
        load_balancers=(SHARED,),
    ),
    "a pod of the tenant": sent_to(RealServer("10.244.3.4", 8080)),
    "forwarding that keeps the port": sent_to(RealServer("10.1.0.5", 443, check_port=30443)),
    "a wish to let go": replace(SOUND, desired={WISH: replace(DESIRED, owner=OTHER, server=None)}),
    "a node that is no more of the group": replace(
        SOUND, realized={NODE: REALIZED, NODE._replace(node="old"): replace(REALIZED, owner=OTHER)}
    ),
    "a node that is behind": with_realized(revision=6, real_servers=0),
    "a young claim": replace(
        SOUND,
        load_balancers=(),
        claims={VIP: replace(CLAIM, metadata=replace(CLAIM.metadata, creation_timestamp="2027-01-15T07:59:30Z"))},
    ),
    "a range that was taken out": with_pool(
        metadata=ObjectMeta(name="default", generation=2),
        spec=replace(POOL.spec, addresses=("198.51.100.0/30",)),
        status=AddressPoolStatus(ipv4=PoolCounts(total=5, used=1, free=4)),
    ),
    "an address that was excluded": with_pool(
        metadata=ObjectMeta(name="default", generation=2),
        spec=replace(POOL.spec, exclude=(VIP,)),
        status=AddressPoolStatus(ipv4=PoolCounts(total=4, used=1, free=3)),
    ),
    "an address that is excluded for another pool": replace(SOUND, pools={"default": POOL, "wide": WIDE}),
    "a quota that was lowered": with_tenant(
        metadata=replace(TENANT.metadata, generation=2), spec=replace(TENANT.spec, quotas=Quotas(addresses=0))
    ),
    "a verdict on an older wish": with_balancer(status=replace(BALANCER.status, observed_generation=1)),
    "a tenant that cannot be read": with_tenant(spec=TenantSpec(node_cidrs=("rubbish",))),
}


@pytest.mark.parametrize("case", SOUND_TOO)
def test_what_is_promised_to_nobody_is_not_found(case: str) -> None:
    assert judge(SOUND_TOO[case]) == []


def test_loopback_is_allowed_where_the_fleet_allows_it() -> None:
    spec = replace(TENANT.spec, node_cidrs=("127.10.0.0/16",))
    picture = replace(sent_to(RealServer("127.10.0.5", 30080)), tenants={"acme": replace(TENANT, spec=spec)})
    assert found(picture) == ["T2"]
    assert judge(picture, allow_loopback=True) == []


def test_only_what_lasts_is_told_and_in_its_later_words() -> None:
    passing, lasted = Finding("A7", "a", "x"), Finding("V10", "b", "one node")
    later = Finding("V10", "b", "two nodes")
    assert lasting([passing, lasted], [later, Finding("P1", "a", "new")]) == [later]
