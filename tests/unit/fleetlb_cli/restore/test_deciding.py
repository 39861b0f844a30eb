"""What is done about a store that went back, case by case, on the auditor's small fleet."""

from msgspec.structs import replace

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.v1 import Owner, RealizedState
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.audit.picture import Picture
from fleetlb_cli.restore.carrying_out import claim_of
from fleetlb_cli.restore.deciding import Course, Names, Reclaim, Sight, Unmake, decide
from fleetlb_cli.restore.telling import as_lines
from tests.unit.fleetlb_cli.audit.small_fleet import (
    BALANCER,
    CLAIM,
    NODE,
    OWNER,
    POOL,
    REALIZED,
    SOUND,
    VIP,
    with_claim,
    with_realized,
)

SECOND = NODE._replace(key=VirtualServerKey(VIP, 443, Protocol.TCP))
NEIGHBOUR = Owner(tenant="acme", cluster_uid="c1", service_uid="u9")


def sight(picture: Picture, **more: object) -> Sight:
    return Sight(picture=picture, names={OWNER: Names("shop", "web")}, **more)  # type: ignore[arg-type]


def test_nothing_is_done_where_all_is_right() -> None:
    course = decide(sight(SOUND))
    assert (course.steps, course.obstacles) == ((), ())
    assert list(as_lines([], course)) == [
        "no restore waits to be accepted",
        "every address that is served is claimed for whom it is served",
    ]


def test_what_was_given_out_since_is_claimed_for_whom_it_is_served() -> None:
    words = {NODE: REALIZED, SECOND: replace(REALIZED, key=SECOND.key, revision=8)}
    picture = replace(SOUND, claims={}, load_balancers=(), realized=words)
    course = decide(sight(picture))
    assert course.obstacles == ()
    (step,) = course.steps
    assert isinstance(step, Reclaim)
    made, expected = claim_of(step), replace(CLAIM.spec, ports=("80/TCP", "443/TCP"))
    assert (made.spec, made.metadata.name, made.metadata.labels) == (expected, VIP, {"fleetlb.dev/tenant": "acme"})
    assert list(as_lines([], course))[1] == f"{VIP}: to be claimed for acme/shop/web"


def test_a_claim_of_the_past_goes_before_it() -> None:
    past = replace(CLAIM.spec.owner, service_uid="u0", name="old")
    course = decide(sight(with_claim(owner=past)))
    (step,) = course.steps
    assert isinstance(step, Reclaim)
    assert step.instead_of is not None
    assert claim_of(step).spec == CLAIM.spec
    assert "acme/shop/web, not for acme/shop/old (Bound)" in list(as_lines([], course))[1]


def test_a_claim_that_was_being_let_go_of_is_bound_again() -> None:
    for phase in (ClaimPhase.RELEASING, ClaimPhase.QUARANTINED):
        (step,) = decide(sight(with_claim(phase=phase))).steps
        assert isinstance(step, Reclaim)
        assert claim_of(step).spec.phase is ClaimPhase.BOUND


def test_what_nobody_serves_stays_as_the_store_has_it() -> None:
    """Its Service may be one that is to be served again, or gone: the manager finds out."""
    assert decide(sight(replace(SOUND, realized={}))).steps == ()
    assert decide(sight(with_realized(state=RealizedState.REMOVED))).steps == ()


def test_a_load_balancer_of_the_past_is_made_anew() -> None:
    elsewhere = replace(BALANCER, spec=replace(BALANCER.spec, addresses=("192.0.2.2",)))
    course = decide(sight(replace(SOUND, load_balancers=(elsewhere,))))
    assert course.steps == (Unmake(elsewhere),)
    assert "acme/shop/web with 192.0.2.2: of the past" in list(as_lines([], course))[1]
    foreign = replace(BALANCER, metadata=replace(BALANCER.metadata, name="u0"))
    assert decide(sight(replace(SOUND, load_balancers=(foreign,)))).steps == (Unmake(foreign),)
    bare = replace(BALANCER, spec=replace(BALANCER.spec, addresses=()))
    assert decide(sight(replace(SOUND, load_balancers=(bare,)))).steps == ()


def test_of_two_words_the_newer_wish_counts() -> None:
    """One node of a group may not have heard of the handover yet."""
    late = NODE._replace(node="node-2")
    group = replace(SOUND.groups["default"], spec=replace(SOUND.groups["default"].spec, nodes=("node-1", "node-2")))
    for order in ((NODE, late), (late, NODE)):
        older = replace(REALIZED, owner=NEIGHBOUR, revision=6, node=order[1].node)
        words = {order[0]: replace(REALIZED, node=order[0].node), order[1]: older}
        picture = replace(SOUND, groups={"default": group}, realized=words)
        assert decide(sight(picture)).steps == ()
    strangers = {NODE: REALIZED, NODE._replace(node="node-3"): replace(REALIZED, owner=NEIGHBOUR, revision=99)}
    assert decide(sight(replace(SOUND, realized=strangers))).steps == (), "not a node of the group"


def test_who_shares_an_address_is_claimed_with_it() -> None:
    names = {OWNER: Names("shop", "web", "front"), NEIGHBOUR: Names("shop", "other", "front")}
    words = {NODE: REALIZED, SECOND: replace(REALIZED, key=SECOND.key, owner=NEIGHBOUR, revision=6)}
    picture = replace(SOUND, claims={}, load_balancers=(), realized=words)
    (step,) = decide(Sight(picture=picture, names=names)).steps
    assert isinstance(step, Reclaim)
    made = claim_of(step).spec
    assert (made.owner.name, made.ports, made.sharing_key) == ("web", ("80/TCP",), "front")
    assert [(share.owner.name, share.ports) for share in made.sharers] == [("other", ("443/TCP",))]
    told = as_lines([], decide(Sight(picture=picture, names=names)))
    assert f"{VIP}: to be claimed for acme/shop/web and acme/shop/other" in told
    whole = replace(picture, claims={VIP: claim_of(step)})
    assert decide(Sight(picture=whole, names=names)).steps == ()
    apart = {OWNER: Names("shop", "web", "front"), NEIGHBOUR: Names("shop", "other", "back")}
    (step,) = decide(Sight(picture=picture, names=apart)).steps
    assert isinstance(step, Reclaim)
    assert claim_of(step).spec.sharers == ()


def test_who_shares_is_known_from_the_store_where_no_watcher_speaks() -> None:
    """NATS may have been lost with the store, and a tenant's watcher be away."""
    words = {NODE: REALIZED, SECOND: replace(REALIZED, key=SECOND.key, owner=NEIGHBOUR, revision=6)}
    service = replace(BALANCER.spec.service, sharing_key="front")
    first = replace(BALANCER, spec=replace(BALANCER.spec, service=service))
    second = replace(
        first,
        metadata=replace(first.metadata, name=NEIGHBOUR.service_uid),
        spec=replace(first.spec, service=replace(service, name="other")),
    )
    picture = replace(SOUND, claims={}, load_balancers=(first, second), realized=words)
    (step,) = decide(Sight(picture=picture)).steps
    assert isinstance(step, Reclaim)
    claim = claim_of(step)
    assert (claim.spec.sharing_key, [share.owner.name for share in claim.spec.sharers]) == ("front", ["other"])
    whole = replace(picture, claims={VIP: claim}, load_balancers=())
    assert decide(Sight(picture=whole)) == Course(steps=(), obstacles=())


def test_an_address_is_not_taken_from_a_service_of_which_nobody_knows_whether_it_shares_it() -> None:
    words = {NODE: REALIZED, SECOND: replace(REALIZED, key=SECOND.key, owner=NEIGHBOUR, revision=6)}
    picture = replace(SOUND, claims={}, load_balancers=(), realized=words)
    course = decide(sight(picture))
    assert course.steps == ()
    (obstacle,) = course.obstacles
    assert f"{VIP} is served for several Services of tenant acme" in obstacle
    assert "start the watcher of cluster c1" in obstacle
    elsewhere = {**words, SECOND: replace(words[SECOND], owner=replace(NEIGHBOUR, tenant="globex"))}
    assert len(decide(sight(replace(picture, realized=elsewhere))).steps) == 1, "tenants never share"


def test_nothing_is_done_while_something_is_not_known() -> None:
    lost = replace(SOUND, claims={}, load_balancers=())
    assert "apply that Tenant again" in decide(sight(replace(lost, tenants={}))).obstacles[0]
    elsewhere = replace(POOL, spec=replace(POOL.spec, addresses=("198.51.100.0/30",)))
    for pools in ({}, {"default": elsewhere}):
        assert "apply that pool again" in decide(sight(replace(lost, pools=pools))).obstacles[0]
    unheard = decide(sight(SOUND, unheard=("balancer node node-1 of group default",)))
    assert "has not said all that it serves" in unheard.obstacles[0]
    assert list(as_lines([], unheard))[-1].startswith("in the way: balancer node node-1")


def test_an_address_that_was_on_its_way_to_another_group_is_claimed_with_both() -> None:
    there = NODE._replace(group="other", node="node-9")
    group = replace(SOUND.groups["default"], spec=replace(SOUND.groups["default"].spec, nodes=("node-9",)))
    words = {NODE: REALIZED, there: replace(REALIZED, node="node-9", revision=9)}
    pool = replace(POOL, spec=replace(POOL.spec, group="other"))
    groups = {**SOUND.groups, "other": group}
    course = decide(sight(replace(SOUND, claims={}, groups=groups, realized=words, pools={"default": pool})))
    assert course.obstacles == ()
    step = next(step for step in course.steps if isinstance(step, Reclaim))
    assert claim_of(step).spec.groups == ("other", "default")
    assert claim_of(step).spec.withdrawn_from == "default"


def test_an_address_whose_pool_names_another_group_is_claimed_where_it_is_served() -> None:
    pool = replace(POOL, spec=replace(POOL.spec, group="other"))
    (step,) = decide(sight(replace(SOUND, claims={}, load_balancers=(), pools={"default": pool}))).steps
    assert isinstance(step, Reclaim)
    assert (step.pool, claim_of(step).spec.groups) == ("default", ("default",))
