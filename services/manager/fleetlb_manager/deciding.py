"""What to do about one Service, and what its LoadBalancer should say: pure decisions over what is known.

Never acts on silence: a Service of which nothing is known stays as it is, whatever objects it has.
"""

import enum
from collections.abc import Container, Iterable, Mapping

import msgspec

from fleetlb.contracts.objects import (
    AddressClaim,
    BalancerGroupSpec,
    ClaimPhase,
    ClaimShare,
    LoadBalancer,
    LoadBalancerSpec,
)
from fleetlb.domain.addresses import family_of
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import TenantService
from fleetlb.domain.tenancy import Usage, judge_wish
from fleetlb_manager.balancer_groups import Delivery, delivery_of
from fleetlb_manager.choices import Choice, Denial, Holding
from fleetlb_manager.claims import owner_of
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.observations import ObservedService
from fleetlb_manager.registering import NOT_READY, Registration
from fleetlb_manager.shares import is_shareable, judge_share, owners_of, port_texts, share_of
from fleetlb_manager.waiting_lines import for_anybody, quota_resource


class Course(enum.Enum):
    """The direction in which a Service is to be moved."""

    KEEP = "keep"
    SERVE = "serve"
    RELEASE = "release"


def decide_course(
    observed: ObservedService | None,
    absent: bool,
    load_balancer: LoadBalancer | None,
    claims: Iterable[AddressClaim],
    *,
    leaving: bool = False,
) -> Course:
    """Serve, release, or leave alone.

    `absent`: inventories have proven that the Service is gone; `leaving`: its tenant is being removed.
    """
    if leaving or absent or (observed is not None and observed.service is None):
        return Course.RELEASE
    if observed is None:
        return Course.KEEP
    going = {claim.spec.address for claim in claims if claim.spec.phase is not ClaimPhase.BOUND}
    if load_balancer is not None and going.intersection(load_balancer.spec.addresses):
        return Course.RELEASE  # wished again in the middle of a release: that is finished first
    return Course.SERVE


def judge(
    service: TenantService, registration: Registration, beside: Usage, held: Usage, shared: int = 0
) -> Refusal | None:
    """Whether a wish may be granted at all; whether there is an address for it is judged elsewhere.

    `beside`: what the tenant holds without this Service; `held`: what the Service holds. A quota that was lowered takes
    nothing away, so a wish for no more than is held meets no quota. `shared`: how many of its addresses count as
    another Service's.
    """
    grant = registration.grant
    if grant is None:
        return NOT_READY
    addresses, ports = len(service.ip_families) - shared, len(service.ports)
    if held.load_balancers and addresses <= held.addresses and ports <= held.ports:
        grant = msgspec.structs.replace(grant, max_load_balancers=None, max_addresses=None, max_ports=None)
    return judge_wish(grant, service, beside, addresses) or _judge_families(service)


def count_shared(key: ServiceKey, sharing_key: str, claims: Iterable[AddressClaim]) -> int:
    """How many of these claims are another Service's whom this one shares with, or may share with: in families."""
    return len(
        {
            family_of(claim.spec.address)
            for claim in claims
            if owner_of(claim) != key
            and claim.spec.owner.tenant == key.tenant
            and (key in owners_of(claim) or (sharing_key and claim.spec.sharing_key == sharing_key))
        }
    )


def _judge_families(service: TenantService) -> Refusal | None:
    """Addresses asked for: one of each family that the Service has, at the most."""
    families = [family_of(address) for address in service.addresses]
    for address, family in zip(service.addresses, families, strict=True):
        if families.count(family) > 1 or family not in service.ip_families:
            text = f"fleetlb.dev/addresses: {address} does not fit: ask for one address of each family in ipFamilies"
            return Refusal(Reason.INVALID, text)
    return None


def denial_of(refusal: Refusal | None, tenant: str) -> Denial:
    """A refusal, and what would end it."""
    if refusal is None:
        return Denial(NOT_READY)
    waits_for = (quota_resource(tenant),) if refusal.reason is Reason.QUOTA_EXCEEDED else ()
    return Denial(refusal, waits_for)


def count_passed_on(key: ServiceKey, claims: Iterable[AddressClaim], kept: Container[str]) -> int:
    """How many of these claims count as this Service's, and as another's once it keeps these addresses alone."""
    return sum(
        1
        for claim in claims
        if claim.spec.sharers and owner_of(claim) == key and claim.spec.address not in kept and is_shareable(claim)
    )


def standing_choice(
    load_balancer: LoadBalancer | None,
    service: TenantService,
    claims: Iterable[AddressClaim],
    around: Mapping[str, AddressClaim] | None = None,
) -> Choice | None:
    """The addresses of a wish that was granted before and is still the same, if all of them are still bound, in one
    group, and have room for it. `claims` as the Service sees them, `around` as they are."""
    if load_balancer is None:
        return None
    spec = load_balancer.spec
    if spec.refusal or not spec.addresses or spec.service != service or spec.is_short:
        return None
    bound = {claim.spec.address: claim for claim in claims if claim.spec.phase is ClaimPhase.BOUND}
    groups = {bound[address].spec.group if address in bound else "" for address in spec.addresses}
    if len(groups) != 1 or "" in groups:
        return None
    group = groups.pop()
    for address in spec.addresses:
        share = ClaimShare(owner=bound[address].spec.owner, ports=port_texts(service.ports))
        if around and judge_share(around[address].spec, share, service.sharing_key):
            return None
    return Choice(group, tuple(Holding(a, bound[a].spec.pool, group) for a in spec.addresses))


def decide_delivery(carrier: BalancerGroupSpec | None, load_balancer: LoadBalancer | None) -> Delivery:
    """As the group has it; what was said before stands while the group is not known."""
    if carrier is not None:
        return delivery_of(carrier)
    if load_balancer is not None:
        return Delivery(load_balancer.spec.ip_mode, load_balancer.spec.keeps_client_address)
    return Delivery()


def granted_spec(
    key: ServiceKey, wish: str, service: TenantService, choice: Choice, delivery: Delivery
) -> LoadBalancerSpec:
    """What the object says of a granted wish."""
    return LoadBalancerSpec(
        tenant=key.tenant,
        cluster_uid=key.cluster,
        wish=wish,
        service=service,
        group=choice.group,
        pool=choice.holdings[0].pool,
        addresses=tuple(holding.address for holding in choice.holdings),
        waits_for=for_anybody(choice.short.waits_for) if choice.short else (),
        ip_mode=delivery.ip_mode,
        keeps_client_address=delivery.keeps_client_address,
    )


def still_standing(
    load_balancer: LoadBalancer | None, claims: Iterable[AddressClaim], group: str
) -> LoadBalancerSpec | None:
    """What was granted before, in this group, with those of its addresses that are still bound; None if there are none.

    An object may outlive its claims: a release frees them first, and may find the Service wished again.
    """
    if load_balancer is None:
        return None
    bound = {claim.spec.address for claim in claims if claim.spec.phase is ClaimPhase.BOUND}
    addresses = tuple(address for address in load_balancer.spec.addresses if address in bound)
    return msgspec.structs.replace(load_balancer.spec, addresses=addresses, group=group) if addresses else None


def may_stand(key: ServiceKey, service: TenantService, refusal: Refusal | None, around: Iterable[AddressClaim]) -> bool:
    """Whether an answer may stand while what is free is kept for others: not that somebody has a port of a shared
    address once nobody has. `around`: the claims that the Service has part in, asks for, or may share."""
    if refusal is None or refusal.reason is not Reason.SHARING_CONFLICT:
        return True
    wanted = share_of(key, service)
    found = (judge_share(claim.spec, wanted, service.sharing_key) for claim in around)
    return any(other is not None and other.reason is refusal.reason for other in found)


def refused_spec(
    key: ServiceKey,
    wish: str,
    service: TenantService,
    refusal: Refusal,
    standing: LoadBalancerSpec | None,
    delivery: Delivery,
    waits_for: tuple[str, ...] = (),
) -> LoadBalancerSpec:
    """What the object says of a refused wish. `standing`: the wish that was granted last, which stays in force."""
    if standing is None:
        return LoadBalancerSpec(
            tenant=key.tenant,
            cluster_uid=key.cluster,
            wish=wish,
            service=service,
            refusal=refusal,
            waits_for=waits_for,
        )
    return LoadBalancerSpec(
        tenant=key.tenant,
        cluster_uid=key.cluster,
        wish=wish,
        service=standing.service,
        group=standing.group,
        pool=standing.pool,
        addresses=standing.addresses,
        ip_mode=delivery.ip_mode,
        keeps_client_address=delivery.keeps_client_address,
        refusal=refusal,
        waits_for=waits_for,
    )
