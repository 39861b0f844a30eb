import asyncio
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim
from fleetlb.contracts.tenants import AnnotationRules, Quotas
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints, TenantNode
from fleetlb.domain.virtual_servers import Forwarding, Scheduler, VirtualServer
from fleetlb.kube.errors import Conflict
from fleetlb.runtime.bus import Ack
from fleetlb_manager.answering import new_load_balancer
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.registering import NOT_READY, Registration, register
from fleetlb_manager.serving import MAX_RACES
from fleetlb_manager.tenancy import Tenancy
from tests.unit.fleetlb_manager.manager_world import (
    READY,
    Crash,
    World,
    a_claim,
    a_key,
    a_load_balancer,
    a_tenant,
    a_wish,
    a_world,
)


async def test_a_new_service_costs_two_writes_and_one_message() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    assert world.kept.effects == [
        "create claim 192.0.2.0",
        "create load balancer u1",
        "publish fleetlb.v1.desired.default.192-0-2-0_443_tcp",
    ]
    item = world.kept.load_balancers["tenant-acme", "u1"]
    wish = world.kept.serving["192.0.2.0:443/tcp"]
    assert wish.load_balancer is not None
    assert (wish.load_balancer.uid, wish.load_balancer.generation) == (item.metadata.uid, 1)


async def test_endpoints_cost_a_message_and_no_write() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    world.kept.effects.clear()
    world.say(a_key(), a_wish(), ServiceEndpoints(ready=False))
    await world.work()
    world.say(a_key(), a_wish(), ServiceEndpoints(ready=False, nodes=()))
    await world.work()
    assert world.kept.effects == ["publish fleetlb.v1.desired.default.192-0-2-0_443_tcp"]


async def test_a_refused_wish_has_an_object_and_waits() -> None:
    world = a_world(pool=("192.0.2.1/32",))
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(uid))
        await world.work()
    item = world.kept.load_balancers["tenant-acme", "u2"]
    assert item.spec.refusal is not None
    assert item.spec.refusal.reason == "PoolExhausted"
    world.kept.effects.clear()
    world.say(a_key("u2"), a_wish("u2"), None)
    await world.work()
    assert world.kept.effects == []


RANGES = ("10.0.0.0/8",)
SIMPLE = ("tcp", "udp", "affinity")
CLEVER = (*SIMPLE, "source-ranges")


def servers(world: World) -> dict[str, VirtualServer]:
    """What the balancer node serves, by address and port."""
    return {key: wish.server for key, wish in world.kept.serving.items() if wish.server is not None}


def ip_mode(world: World) -> str:
    """What the object of u1 says of its addresses."""
    return world.kept.load_balancers["tenant-acme", "u1"].spec.ip_mode.value


async def test_source_ranges_wait_for_a_group_that_enforces_them() -> None:
    world = a_world()
    world.say_node(*SIMPLE)
    world.say(a_key(), a_wish(source_ranges=RANGES))
    await world.work()
    refusal = world.kept.load_balancers["tenant-acme", "u1"].spec.refusal
    assert refusal is not None
    assert refusal.reason == "Unsupported"
    assert "spec.loadBalancerSourceRanges" in refusal.message
    assert world.addresses() == {"u1": ()}
    assert not world.kept.serving
    world.say_node(*CLEVER)
    await world.work()
    assert world.kept.load_balancers["tenant-acme", "u1"].spec.refusal is None
    assert servers(world)["192.0.2.0:443/tcp"].source_ranges == RANGES


def pods(*addresses: str) -> ServiceEndpoints:
    """Pods that listen at 8443 for the port without a name."""
    group = PodGroup(ports=(PodPort(port=8443),), pods=tuple(Pod(address, "node-a") for address in addresses))
    return ServiceEndpoints(ready=bool(addresses), pods=(group,))


def grant_pods(world: World, *cidrs: str) -> None:
    """An operator changes the tenant; whoever is refused has another turn."""
    tenant = world.kept.tenants["acme"]
    world.kept.tenants["acme"] = world.kept.stamp(replace(tenant, spec=replace(tenant.spec, pod_cidrs=cidrs)))
    world.folding.tenant_set(world.kept.tenants["acme"])
    world.memory.registrations = register(world.memory.tenants.values(), allow_loopback=False)
    world.marks.service(a_key())


async def test_NPT_1_without_node_ports_it_waits_for_pods_that_are_granted_and_told_of() -> None:
    world = a_world()
    world.say(a_key(), a_wish(node_ports=(0,)), pods("10.244.0.7"))
    await world.work()
    refusal = world.kept.load_balancers["tenant-acme", "u1"].spec.refusal
    assert refusal is not None
    assert (refusal.reason, "nodePort" in refusal.message) == ("Unsupported", True)
    assert not world.kept.serving
    grant_pods(world, "10.244.0.0/16")
    await world.work()
    assert world.kept.load_balancers["tenant-acme", "u1"].spec.refusal is None
    key = "192.0.2.0:443/tcp"
    assert [(r.address, r.port) for r in servers(world)[key].real_servers] == [("10.244.0.7", 8443)]
    world.say(a_key(), a_wish(node_ports=(0,)), READY)
    await world.work()
    assert (servers(world)[key].real_servers, world.kept.serving[key].reason) == ((), "NoNodePort")


async def test_pods_come_and_go_with_a_message_and_no_write() -> None:
    world = a_world()
    grant_pods(world, "10.244.0.0/16")
    world.say(a_key(), a_wish(), pods("10.244.0.7"))
    await world.work()
    world.kept.effects.clear()
    world.say(a_key(), a_wish(), pods("10.244.0.8", "10.244.0.9"))
    await world.work()
    assert world.kept.effects == ["publish fleetlb.v1.desired.default.192-0-2-0_443_tcp"]
    grant_pods(world)
    await world.work()
    (server,) = servers(world).values()
    assert [(r.address, r.port) for r in server.real_servers] == [("10.1.0.1", 31000)]


async def test_NOD_11_backends_not_updated_for_one_service_are_tried_again_for_that_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = a_world()
    for uid in ("u1", "u2", "u3"):
        world.say(a_key(uid), a_wish(uid))
    await world.work()
    publish, tried, failures = world.publish, Counter[str](), 3

    async def failing(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        nonlocal failures
        tried[subject] += 1
        if "192-0-2-1_" in subject and failures:
            failures -= 1
            raise Transient("no answer")
        return await publish(subject, body, message_id=message_id, trace=trace)

    monkeypatch.setattr(world, "publish", failing)
    cluster = world.kept.clusters["tenant-acme", "cluster-1"]
    nodes = (*cluster.spec.nodes, TenantNode(name="node-b", addresses=("10.1.0.2",)))
    changed = world.kept.stamp(replace(cluster, spec=replace(cluster.spec, nodes=nodes)), respecified=True)
    world.folding.cluster_set(changed)
    await world.work()
    assert {key: len(server.real_servers) for key, server in servers(world).items()} == {
        f"192.0.2.{number}:443/tcp": 2 for number in range(3)
    }
    assert sorted(tried.values()) == [1, 1, 4]


async def test_a_refused_edit_keeps_the_address_and_what_it_served() -> None:
    world = a_world()
    world.say_node(*SIMPLE)
    world.say(a_key(), a_wish())
    await world.work()
    before = dict(world.kept.serving)
    world.kept.effects.clear()
    world.say(a_key(), a_wish(source_ranges=RANGES, ports=(8443,)))
    await world.work()
    spec = world.kept.load_balancers["tenant-acme", "u1"].spec
    assert spec.refusal is not None
    assert spec.refusal.reason == "Unsupported"
    assert (spec.addresses, spec.service) == (("192.0.2.0",), a_wish())
    assert {key: wish.server for key, wish in before.items()} == servers(world)


async def test_who_wishes_again_after_its_address_was_freed_and_is_refused_is_not_told_that_it_has_it() -> None:
    world = a_world(pool=("192.0.2.1/32",))
    world.say(a_key(), a_wish())
    await world.work()
    world.say(a_key(), None)
    world.kept.crash_after = len(world.kept.effects) + 5
    with pytest.raises(Crash):
        await world.work()
    assert world.kept.claims == {}
    assert world.addresses() == {"u1": ("192.0.2.1",)}
    world.rebuild()
    world.say(a_key(), a_wish(node_ports=(1,)))
    world.say(a_key("u2", "acme"), a_wish("other"))
    await world.work()
    assert world.addresses() == {"u1": (), "u2": ("192.0.2.1",)}


async def test_a_grant_that_was_begun_and_is_refused_then_gives_back_what_it_claimed() -> None:
    world = a_world(pool=("192.0.2.1/32", "2001:db8::1/128"))
    world.say(a_key(), a_wish(ip_families=(Family.IPV4, Family.IPV6)))
    world.kept.crash_after = 1
    with pytest.raises(Crash):
        await world.work()
    assert list(world.phases()) == ["192.0.2.1"]
    world.rebuild()
    world.repool("192.0.2.1/32")
    await world.work()
    assert world.phases() == {}
    assert world.addresses() == {"u1": ()}
    world.say(a_key("u2"), a_wish("other"))
    await world.work()
    assert world.addresses()["u2"] == ("192.0.2.1",)


async def test_those_who_cannot_use_what_is_kept_for_each_other_come_to_rest() -> None:
    world = a_world(quotas=Quotas(load_balancers=1))
    world.say(a_key(), a_wish())
    await world.work()
    for uid in ("u2", "u3", "u4"):
        world.say(a_key(uid), a_wish(uid, addresses=("203.0.113.9",)))
    await world.work()
    world.say(a_key(), None)
    await world.work()
    reasons = {item.spec.refusal.reason for item in world.kept.load_balancers.values() if item.spec.refusal}
    assert reasons == {Reason.ADDRESS_NOT_ALLOWED}


async def test_ranges_that_no_watcher_of_ours_would_send_are_refused() -> None:
    world = a_world()
    world.say_node(*CLEVER)
    world.say(a_key(), a_wish(source_ranges=("10.0.0.1/8",)))
    await world.work()
    refusal = world.kept.load_balancers["tenant-acme", "u1"].spec.refusal
    assert refusal is not None
    assert refusal.reason == "InvalidWish"
    assert not world.kept.serving


async def test_a_group_that_carries_otherwise_is_followed_and_written_once() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    assert ip_mode(world) == "Proxy"
    world.kept.effects.clear()
    published = "publish fleetlb.v1.desired.default.192-0-2-0_443_tcp"
    world.regroup(drain_seconds=7)
    await world.work()
    assert world.kept.effects == [published]
    world.regroup(engine=EngineName.IPVS, forwarding=Forwarding.DIRECT)
    await world.work()
    assert world.kept.effects == [published, "patch load balancer u1", published]
    assert ip_mode(world) == "VIP"
    server = servers(world)["192.0.2.0:443/tcp"]
    assert (server.forwarding, server.drain_seconds, server.real_servers[0].port) == (Forwarding.DIRECT, 7, 443)
    world.regroup(nodes=("node-1",))
    world.rebuild()
    await world.work()
    assert len(world.kept.effects) == 3


async def test_a_deleted_group_goes_on_as_it_was() -> None:
    world = a_world()
    world.regroup(engine=EngineName.IPVS, forwarding=Forwarding.IPIP)
    world.say(a_key(), a_wish())
    await world.work()
    world.folding.group_gone(world.kept.groups["default"])
    world.kept.effects.clear()
    world.say(a_key(), a_wish(), ServiceEndpoints(ready=False))
    await world.work()
    assert world.kept.effects == ["publish fleetlb.v1.desired.default.192-0-2-0_443_tcp"]
    server = servers(world)["192.0.2.0:443/tcp"]
    assert (server.forwarding, server.real_servers) == (Forwarding.IPIP, ())
    assert ip_mode(world) == "VIP"


async def test_only_addresses_that_are_routed_otherwise_are_published_anew() -> None:
    world = a_world(pool=("192.0.2.0/30", "192.0.2.4/30"))
    for uid, address in (("low", "192.0.2.1"), ("high", "192.0.2.5")):
        world.say(a_key(uid), a_wish(uid, addresses=(address,)))
    await world.work()
    assert servers(world)["192.0.2.5:443/tcp"].prefix == "192.0.2.4/30"
    world.kept.effects.clear()
    world.repool("192.0.2.0/30", "192.0.2.4/30", "192.0.2.8/29")
    await world.work()
    assert world.kept.effects == ["publish fleetlb.v1.allowed.default.acme"]
    world.kept.effects.clear()
    world.repool("192.0.2.0/30", "192.0.2.4-192.0.2.6")
    await world.work()
    assert world.kept.effects == [
        "publish fleetlb.v1.allowed.default.acme",
        "publish fleetlb.v1.desired.default.192-0-2-5_443_tcp",
    ]
    assert servers(world)["192.0.2.5:443/tcp"].prefix == "192.0.2.4/31"
    world.repool("192.0.2.0/30")
    await world.work()
    assert servers(world)["192.0.2.5:443/tcp"].prefix == ""


async def test_the_quota_counts_what_is_being_claimed() -> None:
    world = a_world(quotas=Quotas(load_balancers=1))
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(uid))
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.0",), "u2": ()}


async def test_a_wish_is_judged_with_what_another_one_is_about_to_claim() -> None:
    world = a_world(quotas=Quotas(load_balancers=1))
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish(uid))
    create, waiting = world.claiming._store.create, asyncio.Event()

    async def slowly(claim: AddressClaim) -> AddressClaim:
        await waiting.wait()
        return await create(claim)

    world.claiming._store.create = slowly  # type: ignore[method-assign]
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(world.serving.reconcile(a_key("u1")))
        await asyncio.sleep(0)
        await world.serving.reconcile(a_key("u2"))
        waiting.set()
    assert world.addresses() == {"u1": ("192.0.2.0",), "u2": ()}


async def test_a_failed_claim_gives_the_quota_to_who_waits() -> None:
    world = a_world(quotas=Quotas(load_balancers=1))
    world.say(a_key("u1"), a_wish("u1"))
    failing = True
    create = world.claiming._store.create

    async def sometimes(claim):  # type: ignore[no-untyped-def]
        if failing and claim.spec.owner.service_uid == "u1":
            world.say(a_key("u2"), a_wish("u2"))
            await world.serving.reconcile(a_key("u2"))
            raise Transient("away")
        return await create(claim)

    world.claiming._store.create = sometimes  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key("u1"))
    failing = False
    world.say(a_key("u1"), None)
    await world.work()
    assert world.addresses() == {"u2": ("192.0.2.1",)}


async def test_what_was_reserved_and_proposed_for_nothing_is_not_counted_for_ever() -> None:
    world = a_world()
    world.say(a_key(), a_wish())

    async def away(claim: AddressClaim) -> AddressClaim:
        world.marks.clear()  # the statuses are written now
        raise Transient("away")

    create, world.claiming._store.create = world.claiming._store.create, away  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key())
    assert list(world.marks.statuses) == [StatusKey("tenant", "acme")]
    world.marks.clear()
    world.claiming._store.create = create  # type: ignore[method-assign]
    world.say(a_key(), None)
    await world.serving.reconcile(a_key())
    assert StatusKey("pool", "default") in world.marks.statuses


async def test_a_tenant_that_is_not_ready_keeps_what_it_has_and_gets_nothing_new() -> None:
    world = a_world()
    world.say(a_key("u1"), a_wish("u1"))
    await world.work()
    world.memory.registrations["acme"] = Registration(refusal=NOT_READY)
    world.kept.effects.clear()
    world.say(a_key("u1"), a_wish("u1"), None)
    world.say(a_key("u2"), a_wish("u2"))
    await world.work()
    assert world.kept.effects == ["create load balancer u2"]
    assert world.addresses() == {"u1": ("192.0.2.0",), "u2": ()}
    del world.memory.registrations["acme"]
    world.say(a_key("u3"), a_wish("u3"))
    await world.work()
    assert "u3" not in world.addresses()


async def test_an_object_whose_spec_changed_meanwhile_is_read_again() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    item = world.kept.load_balancers["tenant-acme", "u1"]
    edited = replace(item.spec, addresses=("192.0.2.7",))
    world.kept.load_balancers["tenant-acme", "u1"] = world.kept.stamp(replace(item, spec=edited), respecified=True)
    world.say(a_key(), a_wish(ports=(8443,)))
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key())
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.0",)}


async def test_an_object_that_was_made_anew_meanwhile_is_read_again() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    item = world.kept.load_balancers["tenant-acme", "u1"]
    world.kept.load_balancers["tenant-acme", "u1"] = world.kept.stamp(item, new=True)
    world.say(a_key(), a_wish(ports=(8443,)))
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key())
    await world.work()
    assert world.kept.load_balancers["tenant-acme", "u1"].spec.service == a_wish(ports=(8443,))


async def test_a_spec_that_the_api_server_refuses_is_a_bug_and_no_loop() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()

    async def refuse(item: object, spec: object) -> None:
        raise Conflict("schema")

    world.serving._answering._load_balancers.set_spec = refuse  # type: ignore[method-assign, assignment]
    world.say(a_key(), a_wish(ports=(8443,)))
    with pytest.raises(Conflict):
        await world.serving.reconcile(a_key())


async def test_a_uid_of_two_clusters_serves_the_first_only() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    twin = a_key(cluster="cluster-2")
    world.say(twin, a_wish())
    with pytest.raises(Transient) as caught:
        await world.serving.reconcile(twin)
    assert caught.value.retry_after == 300.0
    assert world.kept.load_balancers["tenant-acme", "u1"].spec.cluster_uid == "cluster-1"


async def test_a_load_balancer_that_vanished_is_made_again() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    world.kept.load_balancers.clear()
    world.say(a_key(), a_wish(ports=(8443,)))
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key())
    await world.work()
    assert world.addresses() == {"u1": ("192.0.2.0",)}
    assert list(world.kept.serving) == ["192.0.2.0:8443/tcp"]


async def test_races_lost_without_end_are_given_up_for_now() -> None:
    world = a_world(pool=("192.0.2.0/24",))
    for number in range(MAX_RACES + 4):
        address = f"192.0.2.{number}"
        world.kept.claims[address] = a_claim(address, a_key("other"), version=100 + number)
    world.say(a_key(), a_wish())
    with pytest.raises(Transient):
        await world.serving.reconcile(a_key())
    await world.work()
    assert world.addresses() == {"u1": (f"192.0.2.{MAX_RACES + 4}",)}


async def test_a_standby_does_nothing() -> None:
    world = a_world()
    world.authority.acting = False
    world.say(a_key(), a_wish())
    await world.work()
    assert world.kept.effects == []


def test_an_object_is_named_and_labelled_by_its_origin() -> None:
    item = new_load_balancer(a_key(), a_load_balancer(a_key(), "192.0.2.1").spec)
    assert (item.metadata.name, item.metadata.namespace) == ("u1", "tenant-acme")
    assert item.metadata.labels == {
        "fleetlb.dev/tenant": "acme",
        "fleetlb.dev/origin-cluster": "cluster-1",
        "fleetlb.dev/origin-namespace": "shop",
        "fleetlb.dev/origin-name": "web",
    }


async def test_a_claim_deleted_by_hand_is_made_again_with_the_same_address() -> None:
    world: World = a_world()
    world.say(a_key(), a_wish(), READY)
    await world.work()
    world.folding.claim_gone(world.kept.claims.pop("192.0.2.0"))
    await world.work()
    assert world.phases() == {"192.0.2.0": "Bound"}
    assert list(world.kept.serving) == ["192.0.2.0:443/tcp"]


async def test_a_tenants_rules_for_annotations_hold_and_a_change_of_its_defaults_is_followed() -> None:
    world = a_world()

    async def rule(**rules: Any) -> None:
        tenant = a_tenant("acme", "10.1.0.0/16", annotations=AnnotationRules(**rules))
        world.folding.tenant_set(world.kept.stamp(tenant))
        await Tenancy(world.memory, world.marks, allow_loopback=False).reconcile("all")
        await world.work()

    await rule(deny=("scheduler",), default={"scheduler": "rr"})
    world.say(a_key("u1"), a_wish())
    world.say(a_key("u2"), a_wish("choosy", scheduler=Scheduler.MAGLEV))
    await world.work()
    assert servers(world)["192.0.2.0:443/tcp"].scheduler is Scheduler.ROUND_ROBIN
    refusal = world.kept.load_balancers["tenant-acme", "u2"].spec.refusal
    assert refusal is not None
    assert refusal.reason == "AnnotationNotAllowed"
    await rule(default={"scheduler": "lc"})
    assert servers(world)["192.0.2.0:443/tcp"].scheduler is Scheduler.LEAST_CONNECTION
    assert servers(world)["192.0.2.1:443/tcp"].scheduler is Scheduler.MAGLEV


async def test_a_family_that_was_not_to_be_had_follows_when_a_pool_has_it() -> None:
    world = a_world(pool=("192.0.2.0/29",))
    world.say(a_key(), a_wish(ip_families=(Family.IPV4, Family.IPV6), prefers_dual_stack=True))
    await world.work()
    (had,) = world.addresses()["u1"]
    world.kept.effects.clear()
    world.say(a_key(), a_wish(ip_families=(Family.IPV4, Family.IPV6), prefers_dual_stack=True))
    await world.work()
    assert world.kept.effects == []
    world.repool("192.0.2.0/29", "2001:db8::/127")
    await world.work()
    assert world.addresses() == {"u1": (had, "2001:db8::")}
    assert set(servers(world)) == {f"{had}:443/tcp", "[2001:db8::]:443/tcp"}


async def test_who_would_like_two_families_and_has_none_waits_for_either() -> None:
    world = a_world(pool=("192.0.2.1/32", "2001:db8::1/128"))
    world.say(a_key("v4"), a_wish("v4"))
    world.say(a_key("v6"), a_wish("v6", ip_families=(Family.IPV6,)))
    await world.work()
    world.say(a_key(), a_wish(ip_families=(Family.IPV6, Family.IPV4), prefers_dual_stack=True))
    await world.work()
    assert world.addresses()["u1"] == ()
    world.say(a_key("v4"), None)
    await world.work()
    assert world.addresses()["u1"] == ("192.0.2.1",)
    world.say(a_key("v6"), None)
    await world.work()
    assert set(world.addresses()["u1"]) == {"192.0.2.1", "2001:db8::1"}
