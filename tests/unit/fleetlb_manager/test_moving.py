"""A pool that names another group: addresses stay with whose they are, and move there; made before broken."""

from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressClaimSpec
from fleetlb.contracts.v1 import NodeRealized, Probe, TenantAllowed, VirtualServerDesired
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes, RouterSession
from fleetlb.domain.services import TenantService
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Message
from fleetlb_manager.allowances import decide_allowance
from fleetlb_manager.counting import moved_condition
from fleetlb_manager.moves import lacks_of
from fleetlb_manager.registering import register
from tests.unit.fleetlb_manager.manager_world import GROUP, Crash, World, a_group, a_key, a_pool, a_wish, a_world

SPARE = "spare"
EFFECTS = 12
"""Of a move."""
VIP = "192.0.2.0"
HERE, THERE = f"{GROUP}.192-0-2-0", f"{SPARE}.192-0-2-0"


async def a_served(service: TenantService | None = None, **pool: object) -> World:
    """A Service that group default carries, and another group."""
    world = a_world()
    if pool:
        world.repool("192.0.2.0/29", **pool)
    group = world.kept.stamp(a_group(SPARE, nodes=("node-9",)), new=True)
    world.kept.groups[SPARE] = group
    world.folding.group_set(group)
    world.rebuild()
    world.tell_of_tenants()
    world.say(a_key(), service or a_wish())
    await world.work()
    world.kept.effects.clear()
    return world


def move(world: World, group: str = SPARE, **spec: object) -> None:
    world.repool("192.0.2.0/29", group=group, **spec)


def the_claim(world: World, address: str = VIP) -> AddressClaimSpec:
    return world.kept.claims[address].spec


def standing(world: World) -> str:
    return world.kept.load_balancers["tenant-acme", "u1"].spec.group


def wished(world: World, group: str) -> list[VirtualServerDesired]:
    prefix = f"fleetlb.v1.desired.{group}."
    found = (body for subject, body in world.kept.streams.items() if subject.startswith(prefix))
    return [wish for wish in (codec.decode(VirtualServerDesired, body) for body in found) if wish.server is not None]


def allowed(world: World, group: str) -> tuple[str, ...]:
    said = codec.decode(TenantAllowed, world.kept.streams[subjects.allowed(group, "acme")])
    return said.allowed.prefixes if said.allowed else ()


def is_settled(world: World, group: str) -> bool:
    """Everything is in one group, and nothing of it in the other."""
    spec, other = the_claim(world), SPARE if group == GROUP else GROUP
    return (
        (spec.groups, spec.moving_back) == ((group,), False)
        and standing(world) == group
        and world.addresses() == {"u1": (VIP,)}
        and len(wished(world, group)) == 1
        and not wished(world, other)
    )


async def test_an_address_is_kept_and_carried_by_both_groups_before_the_first_lets_go() -> None:
    world = await a_served()
    move(world)
    await world.work()
    assert is_settled(world, SPARE)
    done = world.kept.effects
    order = [
        next(number for number, effect in enumerate(done) if words in effect)
        for words in (
            "patch claim",
            f"publish fleetlb.v1.desired.{SPARE}",
            "patch load balancer",
            f"purge fleetlb.v1.desired.{GROUP}",
        )
    ]
    assert order == sorted(order)
    assert len(done) == EFFECTS
    assert sum("patch claim" in effect for effect in done) == 3
    assert sum("patch load balancer" in effect for effect in done) == 1


@pytest.mark.parametrize("crash_after", range(1, EFFECTS + 1))
async def test_a_move_goes_on_after_a_crash_at_any_effect(crash_after: int) -> None:
    world = await a_served()
    world.kept.crash_after = crash_after
    move(world)
    with pytest.raises(Crash):
        await world.work()
    world.rebuild()
    for key in world.memory.services():
        world.marks.service(key)
    await world.work()
    assert is_settled(world, SPARE)


async def test_nothing_leaves_a_group_while_the_other_is_silent_and_a_move_back_ends_it() -> None:
    world = await a_served()
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    assert (standing(world), the_claim(world).carriers) == (GROUP, (GROUP, SPARE))
    assert len(wished(world, GROUP)) == 1
    move(world, GROUP)
    await world.work()
    assert the_claim(world).withdrawn_from == SPARE
    world.kept.silent = set()
    await world.work()
    assert is_settled(world, GROUP)


async def test_a_group_is_waited_for_until_the_last_of_its_nodes_has_let_go() -> None:
    world = await a_served()
    move(world)
    world.kept.silent = {GROUP}
    await world.work()
    assert (standing(world), the_claim(world).group, the_claim(world).moving_from) == (SPARE, SPARE, GROUP)
    move(world, GROUP)
    await world.work()
    assert the_claim(world).moving_from == GROUP
    world.kept.silent = set()
    await world.work()
    assert is_settled(world, GROUP)


async def test_a_third_group_is_reached_by_way_of_where_it_is() -> None:
    world = await a_served()
    third = world.kept.stamp(a_group("third", nodes=("node-7",)), new=True)
    world.kept.groups["third"] = third
    world.folding.group_set(third)
    world.memory.replayed |= {f"FLEETLB_{kind}_third" for kind in ("DESIRED", "ALLOWED", "REALIZED")}
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    move(world, "third")
    await world.work()
    world.kept.silent = set()
    await world.work()
    assert (the_claim(world).groups, standing(world)) == (("third",), "third")
    assert not wished(world, SPARE)
    assert not wished(world, GROUP)


async def test_a_release_in_the_middle_waits_for_the_nodes_of_both_groups() -> None:
    world = await a_served()
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    world.say(a_key(), None)
    await world.work()
    assert world.phases() == {VIP: "Releasing"}
    world.kept.silent = {GROUP}
    await world.work()
    world.kept.silent = set()
    await world.work()
    assert world.phases() == {}
    assert not any(".desired." in subject for subject in world.kept.streams)


async def test_a_release_waits_for_both_groups_where_the_streams_that_told_of_one_are_lost() -> None:
    world = await a_served()
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    for subject in [subject for subject in world.kept.streams if f".{SPARE}." in subject]:
        del world.kept.streams[subject]
    world.rebuild()
    world.say(a_key(), None)
    await world.work()
    assert world.phases() == {VIP: "Releasing"}
    world.kept.silent = set()
    await world.work()
    assert world.phases() == {}


async def test_what_a_group_cannot_carry_stays_where_it_is_and_the_pool_says_why() -> None:
    world = await a_served(a_wish(proxy_protocol=True))
    group = world.kept.groups[SPARE]
    ipvs = world.kept.stamp(replace(group, spec=replace(group.spec, engine=EngineName.IPVS)), respecified=True)
    world.kept.groups[SPARE] = ipvs
    world.folding.group_set(ipvs)
    move(world)
    await world.work()
    assert is_settled(world, GROUP)
    use = world.memory.claims.of_pools.of("default")
    said = moved_condition(world.kept.pools["default"], use, lacks_of(world.memory, [VIP]))
    assert (said.status, said.reason) == ("False", "Stays")
    assert "192.0.2.0 of acme shop/web stays where it is: shop/web of acme: " in said.message
    world.say(a_key(), a_wish())
    await world.work()
    assert is_settled(world, SPARE)
    assert not world.memory.claims.of_pools.of("default").elsewhere


@pytest.mark.parametrize(
    ("group", "grants", "words"),
    [
        ("nowhere", {}, "there is no balancer group nowhere"),
        (SPARE, {"groups": (GROUP,)}, "is not granted group spare"),
        (SPARE, {"node_cidrs": ("nonsense",)}, "nothing changes for tenant acme now"),
    ],
)
async def test_where_a_tenant_cannot_go_nothing_moves(group: str, grants: dict[str, Any], words: str) -> None:
    world = await a_served()
    tenants = [replace(each, spec=replace(each.spec, **grants)) for each in world.kept.tenants.values()]
    world.memory.registrations = register(tenants, allow_loopback=False)
    move(world, group)
    await world.work()
    assert is_settled(world, GROUP)
    assert words in lacks_of(world.memory, [VIP])[VIP]


async def test_addresses_of_one_service_move_together_or_not_at_all() -> None:
    world = a_world()
    for name, ranges in (("default", "192.0.2.0/29"), ("six", "2001:db8::/125")):
        world.kept.pools[name] = world.kept.stamp(a_pool(ranges, name=name), new=True)
    world.kept.groups[SPARE] = world.kept.stamp(a_group(SPARE, nodes=("node-9",)), new=True)
    world.rebuild()
    world.tell_of_tenants()
    world.say(a_key(), a_wish(ip_families=(Family.IPV4, Family.IPV6)))
    await world.work()
    move(world)
    await world.work()
    assert {claim.spec.groups for claim in world.kept.claims.values()} == {(GROUP,)}
    assert "pool default names group spare and pool six names group default" in lacks_of(world.memory, [VIP])[VIP]
    six = world.kept.pools["six"]
    world.kept.pools["six"] = world.kept.stamp(replace(six, spec=replace(six.spec, group=SPARE)), respecified=True)
    world.folding.pool_set(world.kept.pools["six"])
    await world.work()
    assert {claim.spec.groups for claim in world.kept.claims.values()} == {(SPARE,)}
    assert standing(world) == SPARE


async def two_that_wait() -> World:
    """Two Services that share an address, whose pool names a group that says nothing."""
    world = await a_served(a_wish(sharing_key="k", ports=(443,)))
    world.say(a_key("u2"), a_wish("other", sharing_key="k", ports=(80,)))
    await world.work()
    move(world)
    world.kept.silent = {SPARE}
    await world.work()
    return world


async def test_who_may_go_over_is_called_by_whatever_its_party_waited_for_last() -> None:
    """A Service hears of its own addresses alone, and waits for those of all that share with it."""
    world = await two_that_wait()
    world.kept.silent = set()
    world.play_nodes()
    world.marks.services.clear()
    await world.releasing.reconcile_claim(VIP)
    assert set(world.marks.services) == {a_key(), a_key("u2")}
    await world.work()
    assert {item.spec.group for item in world.kept.load_balancers.values()} == {SPARE}
    await world.releasing.reconcile_claim(VIP)
    assert not world.marks.services


async def test_services_that_share_an_address_move_together() -> None:
    world = await two_that_wait()
    assert {item.spec.group for item in world.kept.load_balancers.values()} == {GROUP}
    world.say(a_key("u2"), None)
    world.kept.silent = set()
    await world.work()
    assert is_settled(world, SPARE)


async def test_a_service_stays_while_the_other_group_reaches_no_backend_and_the_first_does() -> None:
    world = await a_served()
    world.kept.probes = {GROUP: Probe.ANSWERED, SPARE: Probe.UNANSWERED}
    world.say(a_key(), a_wish(affinity_seconds=5))
    await world.work()
    move(world)
    await world.work()
    assert (standing(world), the_claim(world).carriers) == (GROUP, (GROUP, SPARE))
    world.kept.probes[SPARE] = Probe.ANSWERED
    world.say(a_key(), a_wish())
    await world.work()
    assert is_settled(world, SPARE)


async def test_on_layer_2_the_nodes_of_one_group_answer_and_never_those_of_two() -> None:
    world = await a_served(announcement=Announcement.LAYER2)
    for group in (GROUP, SPARE):
        ipvs = world.kept.groups[group]
        world.folding.group_set(replace(ipvs, spec=replace(ipvs.spec, engine=EngineName.IPVS)))
    world.memory.capabilities = lambda group: frozenset({"tcp", "layer2"})  # type: ignore[method-assign]

    def answering() -> list[str]:
        wishes = [(group, wish) for group in (GROUP, SPARE) for wish in wished(world, group)]
        return [g for g, wish in wishes if wish.server and wish.server.announcement is Announcement.LAYER2]

    assert answering() == [GROUP]
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    assert (len(wished(world, SPARE)), answering()) == (1, [GROUP])
    world.kept.silent = {GROUP}
    await world.work()
    assert (standing(world), the_claim(world).carriers) == (SPARE, (GROUP, SPARE)), "a silent node may answer still"
    assert answering() == [GROUP]
    assert allowed(world, GROUP) == ("192.0.2.0/29",), "what it carries still may change"
    world.kept.silent = set()
    await world.work()
    assert is_settled(world, SPARE)
    assert answering() == [SPARE]


async def test_an_address_that_its_pool_has_lost_is_allowed_where_it_goes() -> None:
    world = await a_served()
    world.repool("192.0.2.4/30")
    await world.work()
    world.kept.silent = {SPARE}
    world.repool("192.0.2.4/30", group=SPARE)
    await world.work()
    assert f"{VIP}/32" in allowed(world, SPARE), "nodes refuse what its tenant may not have there, and are waited for"
    world.kept.silent = set()
    await world.work()
    assert is_settled(world, SPARE)
    assert f"{VIP}/32" not in allowed(world, GROUP)


def speaking(*peers: str) -> BgpSpeaking:
    routers = (BgpPeer(name=name, address=f"10.0.0.{number}", asn=65000) for number, name in enumerate(peers, 1))
    return BgpSpeaking(asn=65001, peers=tuple(routers))


def speak(world: World, group: str, bgp: BgpSpeaking | None) -> None:
    kept = world.kept.groups[group]
    spec = replace(kept.spec, engine=EngineName.IPVS, bgp=bgp)
    world.kept.groups[group] = world.kept.stamp(replace(kept, spec=spec), respecified=True)
    world.folding.group_set(world.kept.groups[group])


def is_up(world: World, group: str, node: str, *peers: str) -> None:
    sessions = tuple(RouterSession(peer=peer, up=True) for peer in peers)
    said = NodeRealized(
        node=node, group=group, engine=EngineName.IPVS, capabilities=("tcp", "bgp"), ready=True, sessions=sessions
    )
    subject = subjects.realized_node(group, node)
    world.messages.realized(group, Message(subject, codec.encode(said), 1))


async def test_by_bgp_nothing_leaves_a_group_before_the_other_tells_a_router() -> None:
    world = await a_served(announcement=Announcement.BGP)
    for group, node in ((GROUP, "node-1"), (SPARE, "node-9")):
        speak(world, group, speaking("tor"))
        is_up(world, group, node, *(("tor",) if group == GROUP else ()))
    move(world, announcement=Announcement.BGP)
    await world.work()
    assert (standing(world), the_claim(world).carriers) == (GROUP, (GROUP, SPARE))
    is_up(world, SPARE, "node-9", "tor")
    await world.work()
    assert is_settled(world, SPARE)


@pytest.mark.parametrize(
    ("bgp", "words"),
    [
        (None, "group spare has no routers; set spec.bgp of the BalancerGroup spare"),
        (speaking("spine"), "spec.bgp.peers: there is no peer 'tor'"),
    ],
)
async def test_by_bgp_nothing_moves_to_where_no_router_can_be_told_of_it(bgp: BgpSpeaking | None, words: str) -> None:
    asked: dict[str, Any] = {"announcement": Announcement.BGP, "bgp": RouteAttributes(peers=("tor",))}
    world = await a_served(**asked)
    speak(world, GROUP, speaking("tor"))
    speak(world, SPARE, bgp)
    for group, node in ((GROUP, "node-1"), (SPARE, "node-9")):
        is_up(world, group, node, "tor")
    move(world, **asked)
    await world.work()
    assert is_settled(world, GROUP)
    assert words in lacks_of(world.memory, [VIP])[VIP]
    speak(world, SPARE, speaking("spine", "tor"))
    await world.work()
    assert is_settled(world, SPARE)


async def test_tenants_may_have_on_each_group_what_it_carries_of_theirs_and_no_longer() -> None:
    world = await a_served()
    assert (allowed(world, GROUP), allowed(world, SPARE)) == (("192.0.2.0/29",), ())
    world.kept.silent = {SPARE}
    move(world)
    await world.work()
    assert (allowed(world, GROUP), allowed(world, SPARE)) == (("192.0.2.0/29",), ("192.0.2.0/29",))
    world.kept.silent = set()
    await world.work()
    assert (allowed(world, GROUP), allowed(world, SPARE)) == ((), ("192.0.2.0/29",))


@pytest.mark.parametrize("count", [2, 8])
async def test_what_a_tenant_may_have_is_decided_anew_as_often_for_many_addresses_as_for_few(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await a_served()
    for number in range(2, count + 1):
        world.say(a_key(f"u{number}"), a_wish())
    await world.work()
    decided = list[str]()

    def counting(grant: Any, group: str, *more: Any) -> Any:
        decided.append(group)
        return decide_allowance(grant, group, *more)

    monkeypatch.setattr("fleetlb_manager.allowing.decide_allowance", counting)
    move(world)
    await world.work()
    assert {claim.spec.groups for claim in world.kept.claims.values()} == {(SPARE,)}
    assert len(world.kept.claims) == count
    # The pool's change concerns both groups; the last address leaves the one.
    assert sorted(decided) == [GROUP, GROUP, SPARE]
    assert allowed(world, GROUP) == ()
    assert allowed(world, SPARE) == ("192.0.2.0/29",)


async def test_a_pool_is_allowed_on_a_group_until_the_last_address_has_left_it() -> None:
    world = await a_served()
    world.say(a_key("u2"), a_wish())
    await world.work()
    move(world)
    world.kept.silent = {SPARE}
    await world.work()
    assert allowed(world, GROUP) == allowed(world, SPARE) == ("192.0.2.0/29",)
    for uid in ("u1", "u2"):
        world.say(a_key(uid), None)
        await world.work()
        assert allowed(world, GROUP) == ("192.0.2.0/29",)
    world.kept.silent = set()
    await world.work()
    assert (allowed(world, GROUP), world.kept.claims) == ((), {})
