import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim, ClaimPhase, IpMode, LoadBalancer
from fleetlb.contracts.tenants import Quotas
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Usage
from fleetlb_manager.balancer_groups import Delivery
from fleetlb_manager.choices import Choice, Holding
from fleetlb_manager.deciding import (
    Course,
    decide_course,
    decide_delivery,
    denial_of,
    granted_spec,
    judge,
    refused_spec,
    standing_choice,
    still_standing,
)
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.registering import NOT_READY, Registration, grant_of
from tests.unit.fleetlb_manager.manager_world import (
    EXHAUSTED,
    a_claim,
    a_group,
    a_key,
    a_load_balancer,
    a_tenant,
    a_wish,
)

WANTED = ObservedService(digest="d", wish="w", service=a_wish(), endpoints=None)
GONE = replace(WANTED, service=None)
OWNED = a_load_balancer(a_key(), "192.0.2.1")
BOUND, GOING = a_claim(), a_claim(phase=ClaimPhase.RELEASING)


@pytest.mark.parametrize(
    ("observed", "absent", "item", "claims", "course"),
    [
        (None, False, None, (), Course.KEEP),
        (None, False, OWNED, (BOUND,), Course.KEEP),
        (None, False, OWNED, (GOING,), Course.KEEP),
        (None, True, OWNED, (BOUND,), Course.RELEASE),
        (WANTED, False, None, (), Course.SERVE),
        (WANTED, False, OWNED, (BOUND,), Course.SERVE),
        (WANTED, True, OWNED, (BOUND,), Course.RELEASE),
        (GONE, False, None, (), Course.RELEASE),
        (GONE, False, OWNED, (BOUND,), Course.RELEASE),
        (WANTED, False, OWNED, (GOING,), Course.RELEASE),
        (WANTED, False, OWNED, (a_claim(phase=ClaimPhase.QUARANTINED),), Course.RELEASE),
        (WANTED, False, OWNED, (BOUND, a_claim("192.0.2.2", phase=ClaimPhase.RELEASING)), Course.SERVE),
        (WANTED, False, None, (GOING,), Course.SERVE),
    ],
)
def test_the_course(
    observed: ObservedService | None,
    absent: bool,
    item: LoadBalancer | None,
    claims: tuple[AddressClaim, ...],
    course: Course,
) -> None:
    assert decide_course(observed, absent, item, claims) is course


@pytest.mark.parametrize("observed", [None, WANTED, GONE])
def test_a_service_of_a_tenant_that_leaves_is_released_whatever_was_said_of_it(
    observed: ObservedService | None,
) -> None:
    assert decide_course(observed, False, OWNED, (BOUND,), leaving=True) is Course.RELEASE


def registered(**quotas: int) -> Registration:
    return Registration(grant=grant_of(a_tenant(quotas=Quotas(**quotas)), allow_loopback=False))


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (a_wish(), None),
        (a_wish(addresses=("192.0.2.1",)), None),
        (a_wish(addresses=("192.0.2.1", "192.0.2.2")), Reason.INVALID),
        (a_wish(addresses=("2001:db8::1",)), Reason.INVALID),
        (a_wish(addresses=("192.0.2.01",)), Reason.INVALID),
        (a_wish(ip_families=(Family.IPV4, Family.IPV4)), Reason.INVALID),
        (a_wish(ports=(443, 443)), Reason.INVALID),
        (a_wish(node_ports=(99,)), Reason.BACKEND_NOT_ALLOWED),
        (a_wish(source_ranges=("10.0.0.0/8",)), None),
        (a_wish(source_ranges=("10.0.0.1/8",)), Reason.INVALID),
    ],
)
def test_a_wish_is_judged(service: TenantService, reason: Reason | None) -> None:
    refusal = judge(service, registered(), Usage(), Usage())
    assert (refusal and refusal.reason) == reason


def test_a_tenant_that_is_not_ready_gets_nothing() -> None:
    assert judge(a_wish(), Registration(refusal=EXHAUSTED), Usage(), Usage()) == NOT_READY
    assert denial_of(None, "acme").refusal == NOT_READY


@pytest.mark.parametrize(
    ("beside", "held", "ports", "refused"),
    [
        (Usage(load_balancers=0), Usage(), (443,), False),
        (Usage(load_balancers=1), Usage(), (443,), True),
        (Usage(load_balancers=5, addresses=5), Usage(load_balancers=1, addresses=1, ports=1), (443,), False),
        (Usage(load_balancers=5, addresses=5), Usage(load_balancers=1, addresses=1, ports=1), (443, 80), True),
        (Usage(ports=2), Usage(load_balancers=1, addresses=1, ports=1), (443, 80), True),
    ],
)
def test_a_quota_takes_nothing_away(beside: Usage, held: Usage, ports: tuple[int, ...], refused: bool) -> None:
    refusal = judge(a_wish(ports=ports), registered(load_balancers=1, ports=3), beside, held)
    assert (refusal is not None) is refused
    if refusal:
        assert denial_of(refusal, "acme").waits_for == ("quota/acme",)
    assert denial_of(EXHAUSTED, "acme").waits_for == ()


def test_a_granted_wish_that_is_still_the_same_stands() -> None:
    assert standing_choice(OWNED, a_wish(), (BOUND,)) == Choice(
        "default", (Holding("192.0.2.1", "default", "default"),)
    )
    for item, service, claims in (
        (None, a_wish(), (BOUND,)),
        (OWNED, a_wish("renamed"), (BOUND,)),
        (OWNED, a_wish(), ()),
        (OWNED, a_wish(), (GOING,)),
        (a_load_balancer(a_key()), a_wish(), ()),
        (a_load_balancer(a_key(), "192.0.2.1", refusal=EXHAUSTED), a_wish(), (BOUND,)),
    ):
        assert standing_choice(item, service, claims) is None


def test_a_granted_wish_stands_in_the_group_that_carries_all_of_its_addresses() -> None:
    two = replace(OWNED, spec=replace(OWNED.spec, addresses=("192.0.2.1", "192.0.2.2")))
    other = (a_claim(group="other"), a_claim("192.0.2.2", group="other"))
    found = standing_choice(two, a_wish(), other)
    assert found is not None
    assert {found.group, *(holding.group for holding in found.holdings)} == {"other"}
    assert standing_choice(two, a_wish(), (BOUND, other[1])) is None


def test_a_grant_says_everything() -> None:
    choice = Choice("default", (Holding("192.0.2.1", "one", "default"), Holding("2001:db8::1", "two", "default")))
    spec = granted_spec(a_key(), "wish", a_wish(), choice, Delivery(IpMode.VIP, True))
    assert (spec.addresses, spec.pool, spec.group) == (("192.0.2.1", "2001:db8::1"), "one", "default")
    assert (spec.tenant, spec.cluster_uid, spec.wish, spec.refusal) == ("acme", "cluster-1", "wish", None)
    assert (spec.ip_mode, spec.keeps_client_address) == (IpMode.VIP, True)


def test_the_engine_says_what_an_address_is_and_stays_believed() -> None:
    vip = replace(OWNED, spec=replace(OWNED.spec, ip_mode=IpMode.VIP, keeps_client_address=True))
    assert decide_delivery(a_group(engine=EngineName.IPVS).spec, OWNED) == Delivery(IpMode.VIP)
    assert decide_delivery(a_group().spec, vip) == Delivery(IpMode.PROXY)
    assert decide_delivery(None, vip) == Delivery(IpMode.VIP, keeps_client_address=True)
    assert decide_delivery(None, None) == Delivery(IpMode.PROXY)


def test_a_refusal_keeps_what_was_granted() -> None:
    refused = refused_spec(a_key(), "new", a_wish("edited"), EXHAUSTED, OWNED.spec, Delivery(IpMode.VIP))
    assert (refused.wish, refused.service, refused.addresses) == ("new", a_wish(), ("192.0.2.1",))
    assert (refused.refusal, refused.ip_mode) == (EXHAUSTED, IpMode.VIP)
    first = refused_spec(a_key(), "new", a_wish("edited"), EXHAUSTED, None, Delivery())
    assert (first.service, first.addresses, first.group) == (a_wish("edited"), (), "")


def test_what_was_granted_stands_as_far_as_it_is_still_bound() -> None:
    item = a_load_balancer(a_key(), "192.0.2.1", "2001:db8::1")
    bound = (a_claim("192.0.2.1"), a_claim("2001:db8::1"))
    assert still_standing(item, bound, "default") == item.spec
    going = a_claim("2001:db8::1", phase=ClaimPhase.RELEASING)
    standing = still_standing(item, (bound[0], going), "other")
    assert standing is not None
    assert (standing.addresses, standing.group) == (("192.0.2.1",), "other")
    assert still_standing(item, (), "default") is None
    assert still_standing(a_load_balancer(a_key(), refusal=EXHAUSTED), (), "default") is None
    assert still_standing(None, bound, "default") is None
