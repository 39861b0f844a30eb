"""What is planned is what happens then, and planning changes nothing."""

from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressPoolSpec
from fleetlb.contracts.plans import PoolPlanAnswered, PoolPlanRequested, ServicesPlanAnswered, ServicesPlanRequested
from fleetlb.contracts.tenants import AnnotationRules, Quotas
from fleetlb.domain.addresses import Family
from fleetlb.domain.services import TenantService
from fleetlb_manager.registering import register
from tests.unit.fleetlb_manager.manager_world import World, a_group, a_key, a_pool, a_wish, a_world
from tests.unit.fleetlb_manager.rehearsing_stage import advising, answer, picture, plan, plan_pool

BOTH = (Family.IPV4, Family.IPV6)


async def a_busy_world(**given: Any) -> World:
    """Two of acme's Services have addresses, one of globex' waits for a quota; one address was given back."""
    world = a_world("acme", "globex", **given)
    for number in range(3):
        world.say(a_key(f"u{number}"), a_wish(f"w{number}"))
        await world.work()
    world.say(a_key("u1"), None)
    await world.work()
    return world


def addresses(found: Any) -> tuple[str, ...]:
    return tuple(each.address for each in found.addresses)


async def really(world: World, service: TenantService, uid: str = "new") -> tuple[str, ...] | str:
    """What the Service gets: addresses, or the reason of its refusal."""
    world.say(a_key(uid), service)
    await world.work()
    spec = world.kept.load_balancers["tenant-acme", uid].spec
    return spec.refusal.reason if spec.refusal else spec.addresses


@pytest.mark.parametrize(
    "service",
    [
        a_wish("new"),
        a_wish("new", addresses=("192.0.2.5",)),
        a_wish("new", ip_families=BOTH),
        a_wish("new", ip_families=(Family.IPV6,)),
        a_wish("new", ip_families=BOTH, prefers_dual_stack=True),
        a_wish("new", pool="gold"),
        a_wish("new", addresses=("192.0.2.0",)),
        a_wish("new", addresses=("198.51.100.1",)),
        a_wish("new", pool="nowhere"),
        a_wish("new", affinity_seconds=10, ports=(1, 2)),
        a_wish("new", node_ports=(80,)),
        a_wish("new", sharing_key="together"),
    ],
    ids=lambda service: " ".join(str(part) for part in (service.addresses, service.pool, service.ip_families)),
)
async def test_what_is_planned_is_what_happens(service: TenantService) -> None:
    world = await a_busy_world()
    gold = world.kept.pools["gold"] = world.kept.stamp(a_pool("203.0.113.0/30", "2001:db8::/126", name="gold"))
    world.folding.pool_set(gold)
    await world.work()
    found = plan(world, service)
    said = found.refusal.reason if found.refusal else addresses(found)
    assert said == await really(world, service)


async def test_a_thousand_plans_change_nothing() -> None:
    world = await a_busy_world(pool=("192.0.2.0/30", "2001:db8::/126"), quotas=Quotas(load_balancers=3))
    everything = (world.memory, world.folding, world.chooser, world.serving)
    before, marked, effects = picture(everything), picture(world.marks), list(world.kept.effects)
    wishes = [a_wish(f"n{number}", sharing_key="k" if number % 2 else "") for number in range(4)]
    first, pool = answer(world, *wishes), plan_pool(world, "192.0.2.0/29")
    for _ in range(500):
        assert answer(world, *wishes) == first
        assert plan_pool(world, "192.0.2.0/29") == pool
    assert picture(everything) == before
    assert picture(world.marks) == marked
    assert world.kept.effects == effects


async def test_services_of_one_question_come_one_after_the_other() -> None:
    world = a_world(pool=("192.0.2.0/31",))
    one, two, three = answer(world, a_wish("a"), a_wish("b"), a_wish("c")).plans
    assert [addresses(one), addresses(two)] == [("192.0.2.0",), ("192.0.2.1",)]
    assert three.refusal is not None
    assert three.refusal.reason == "PoolExhausted"


async def test_those_who_share_share_in_a_plan_too() -> None:
    world = a_world()
    one, two, three = answer(
        world,
        a_wish("a", sharing_key="k", ports=(80,)),
        a_wish("b", sharing_key="k", ports=(81,)),
        a_wish("c", sharing_key="k", ports=(81,)),
    ).plans
    assert addresses(one) == addresses(two)
    assert two.addresses[0].why == "shared with shop/a under the key 'k'"
    assert three.refusal is not None
    assert three.refusal.reason == "SharingConflict"
    assert "shop/b" in three.refusal.message


async def test_quotas_count_what_the_question_asked_for_before() -> None:
    world = a_world(quotas=Quotas(load_balancers=1))
    one, two = answer(world, a_wish("a"), a_wish("b")).plans
    assert one.refusal is None
    assert two.refusal is not None
    assert two.refusal.message == "quota loadBalancers: 1 of 1 used, 1 more asked for"


async def test_a_service_that_is_there_keeps_what_it_has() -> None:
    world = await a_busy_world()
    found = plan(world, a_wish("w2", ports=(443, 80)))
    assert (found.uid, found.before, addresses(found)) == ("u2", ("192.0.2.2",), ("192.0.2.2",))
    assert found.addresses[0].why == "it has this address"
    assert [str(port.key) for port in found.ports] == ["192.0.2.2:443/tcp", "192.0.2.2:80/tcp"]


async def test_a_service_that_would_move_is_told_where() -> None:
    world = await a_busy_world()
    found = plan(world, a_wish("w2", addresses=("192.0.2.6",)))
    assert (found.before, addresses(found)) == (("192.0.2.2",), ("192.0.2.6",))
    assert found.addresses[0].why == "it asks for this address"


async def test_one_that_is_refused_keeps_what_it_has() -> None:
    world = await a_busy_world()
    found = plan(world, a_wish("w2", addresses=("192.0.2.0",)))
    assert found.refusal is not None
    assert (found.refusal.reason, found.before) == ("AddressInUse", ("192.0.2.2",))


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({}, "the first that has one free, of the pools that give to it by priority: gold (10), default (0)"),
        ({"pool": "default"}, "it asks for this pool"),
        ({"addresses": ("192.0.2.5",)}, "it asks for this address"),
    ],
)
async def test_why_an_address_is_the_one(wish: dict[str, Any], why: str) -> None:
    world = a_world()
    world.folding.pool_set(world.kept.stamp(a_pool("203.0.113.0/30", name="gold", priority=10)))
    assert plan(world, a_wish("new", **wish)).addresses[0].why == why


async def test_an_only_pool_needs_no_list_and_what_a_service_shows_it_had() -> None:
    world = a_world()
    assert plan(world, a_wish("new")).addresses[0].why == "the only pool that gives to it by itself"
    world.say(a_key("u1"), a_wish("old"), shown=("192.0.2.3",))
    assert plan(world, a_wish("old")).addresses[0].why == "it had this address, and nobody else has"


async def test_balancer_nodes_and_backends_are_told() -> None:
    world = a_world(nodes=("node-1", "node-2"))
    found = plan(world, a_wish("new", ports=(443, 80)))
    assert (found.group, found.nodes) == ("default", ("node-1", "node-2"))
    assert [(port.real_servers, port.reason) for port in found.ports] == [(1, ""), (1, "")]
    assert found.notes == ("balancer group default: not heard of as ready: node-1, node-2",)


async def test_without_nodes_there_is_no_backend_and_a_reason() -> None:
    world = a_world()
    world.memory.clusters.drop(next(iter(world.kept.clusters.values())).metadata)
    assert [port.reason for port in plan(world, a_wish("new")).ports] == ["NoEligibleNode"]


async def test_the_tenants_defaults_are_named() -> None:
    world = a_world()
    spec = replace(world.kept.tenants["acme"].spec, annotations=AnnotationRules(default={"drain-seconds": "7"}))
    changed = replace(world.kept.tenants["acme"], spec=spec)
    world.memory.registrations = register([changed], allow_loopback=False)
    assert "the tenant's defaults ask for more: drainSeconds" in plan(world, a_wish("new")).notes


async def test_a_tenant_that_is_not_ready_says_why_to_the_operator() -> None:
    world = a_world("acme", "globex")
    tenants = [
        replace(each, spec=replace(each.spec, node_cidrs=("10.0.0.0/8",))) for each in world.kept.tenants.values()
    ]
    world.memory.registrations = register(tenants, allow_loopback=False)
    found = plan(world, a_wish("new"), tenant="globex")
    assert found.refusal is not None
    assert found.refusal.reason == "TenantNotReady"
    assert found.notes == (
        "why it is not ready: spec.nodeCIDRs: 10.0.0.0/8 overlaps 10.0.0.0/8 of the older tenant acme",
    )


async def test_a_family_that_cannot_be_had_is_told() -> None:
    world = a_world(pool=("192.0.2.0/30",))
    found = plan(world, a_wish("new", ip_families=BOTH, prefers_dual_stack=True))
    assert len(found.addresses) == 1
    assert found.missing is not None
    assert "IPv6" in found.missing.message


async def test_who_waits_longer_comes_first_in_a_plan_too() -> None:
    world = a_world(pool=("192.0.2.0/32",), quarantine=60)
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(uid))
        await world.work()
    found = plan(world, a_wish("u3"))
    assert found.refusal is not None
    assert found.refusal.reason == "PoolExhausted"


async def test_who_does_not_act_does_not_answer() -> None:
    silent = advising(a_world(), acting=False)
    services = ServicesPlanRequested(tenant="acme", cluster="cluster-1", services=(a_wish(),))
    assert await silent.services(subjects.PLAN_SERVICES, codec.encode(services)) is None
    pool = PoolPlanRequested(name="default", spec=AddressPoolSpec(addresses=("192.0.2.0/24",)))
    assert await silent.pool(subjects.PLAN_POOL, codec.encode(pool)) is None


async def test_what_cannot_be_read_or_said_is_answered_with_a_sentence() -> None:
    world = a_world()
    asked = advising(world)
    services, pool = await asked.services(subjects.PLAN_SERVICES, b"{}"), await asked.pool(subjects.PLAN_POOL, b"[]")
    assert services is not None
    assert pool is not None
    assert codec.decode(ServicesPlanAnswered, services).problem.startswith(
        "not a dev.fleetlb.v1.services_plan_requested"
    )
    assert codec.decode(PoolPlanAnswered, pool).problem.startswith("not a dev.fleetlb.v1.pool_plan_requested")
    assert answer(world, a_wish(), tenant="initech").problem == "there is no tenant initech"


async def test_while_others_take_up_what_they_had_nothing_is_promised() -> None:
    world = a_world()
    world.say(a_key("u1"), a_wish("old"), shown=("192.0.2.3",))
    world.memory.begin_adoption(world.clock.monotonic())
    found = answer(world, a_wish("new"))
    assert found.plans == ()
    assert found.problem.endswith("choose first; ask again in a moment")


async def test_a_pool_that_grows_serves_the_oldest_who_wait() -> None:
    world = a_world("acme", "globex", pool=("192.0.2.0/32",))
    for uid, tenant in (("u1", "acme"), ("u2", "globex"), ("u3", "acme"), ("u4", "acme")):
        world.say(a_key(uid, tenant), a_wish(uid))
        await world.work()
    found = plan_pool(world, "192.0.2.0/31", "192.0.2.2")
    told = [(each.tenant, f"{each.namespace}/{each.name}", each.addresses) for each in found.served]
    assert told == [("globex", "shop/u2", ("192.0.2.1",)), ("acme", "shop/u3", ("192.0.2.2",))]
    assert (found.gained, found.lost, found.waiting) == (("192.0.2.1-192.0.2.2",), (), 1)
    assert (found.ipv4_before.total, found.ipv4_before.free, found.ipv4.total, found.ipv4.free) == (1, 0, 3, 2)
    world.repool("192.0.2.0/31", "192.0.2.2")
    await world.work()
    assert {uid: got for uid, got in world.addresses().items() if got} == {
        "u1": ("192.0.2.0",),
        "u2": ("192.0.2.1",),
        "u3": ("192.0.2.2",),
    }


async def test_a_pool_that_names_another_group_takes_its_addresses_along() -> None:
    world = await a_busy_world()
    world.folding.group_set(world.kept.stamp(a_group("second")))
    held = len(world.kept.claims)
    found = plan_pool(world, "192.0.2.0/29", group="second")
    assert f"spec.group: {held} addresses in use move to balancer group second" in found.notes
    assert all(claim.spec.groups == ("default",) for claim in world.memory.claims.bound())


async def test_a_pool_that_shrinks_leaves_those_whom_it_names() -> None:
    world = await a_busy_world()
    found = plan_pool(world, "192.0.2.4/30")
    assert (found.gained, found.lost) == ((), ("192.0.2.0-192.0.2.3",))
    assert (found.outside, found.outside_named) == (2, ("192.0.2.0 of acme shop/w0", "192.0.2.2 of acme shop/w2"))
    assert found.ipv4.free == 4


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"addresses": ("192.0.2.0/24", "everything")}, "spec.addresses: 'everything'"),
        ({"addresses": ("192.0.2.0/24",), "exclude": ("192.0.2.9-192.0.2.1",)}, "spec.exclude: '192.0.2.9-192.0.2.1'"),
    ],
)
async def test_ranges_that_cannot_be_read_are_named(spec: dict[str, Any], words: str) -> None:
    found = plan_pool(a_world(), *spec.pop("addresses"), **spec)
    assert words in found.problem
    assert found == PoolPlanAnswered(problem=found.problem)


@pytest.mark.parametrize(
    ("name", "ranges", "spec", "note"),
    [
        ("other", ("192.0.2.4/30",), {}, "a range of this pool lies in pool default too"),
        ("other", ("203.0.113.0/24",), {"group": "edge"}, "spec.group: there is no balancer group edge"),
        ("other", ("203.0.113.0/24",), {"exclude": ("203.0.113.0/24",)}, "spec.exclude leaves nothing"),
        (
            "default",
            ("192.0.2.0/29",),
            {"group": "second"},
            "spec.group: 192.0.2.0 stays where it is: tenant acme is not granted group second",
        ),
        ("default", ("192.0.2.0/29",), {"group": "second"}, "no tenant may use this pool"),
    ],
)
async def test_what_else_is_odd_about_a_pool_is_said(
    name: str, ranges: tuple[str, ...], spec: dict[str, Any], note: str
) -> None:
    world = await a_busy_world()
    world.folding.group_set(world.kept.stamp(a_group("second")))
    tenants = [
        replace(each, spec=replace(each.spec, groups=("default", "edge"))) for each in world.kept.tenants.values()
    ]
    world.memory.registrations = register(tenants, allow_loopback=False)
    found = plan_pool(world, *ranges, name=name, **spec)
    assert any(note in each for each in found.notes), found.notes
    assert found.is_new is (name == "other")


async def test_other_fields_that_differ_are_told() -> None:
    found = plan_pool(a_world(), "192.0.2.0/29", priority=10, auto_assign=False)
    assert found.changes == ("priority: 0 -> 10", "autoAssign: true -> false", "quarantineSeconds: 0 -> 60")
    assert (found.gained, found.lost) == ((), ())
