"""Services of one key on one address, through all workers of a manager."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim, ClaimShare
from fleetlb.contracts.tenants import Quotas
from fleetlb.domain.addresses import Family
from fleetlb.domain.errors import Transient
from fleetlb.domain.services import TrafficPolicy
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.shares import live_shares
from tests.unit.fleetlb_manager.manager_world import Crash, World, a_key, a_wish, a_world

BOTH = (Family.IPV4, Family.IPV6)
V6 = (Family.IPV6,)
ONE = "192.0.2.0"


async def wish(world: World, uid: str, *ports: int, key: str = "k", tenant: str = "acme", **more: Any) -> None:
    world.say(a_key(uid, tenant), a_wish(uid, ports=ports, sharing_key=key, **more))
    await world.work()


async def gone(world: World, uid: str) -> None:
    world.say(a_key(uid), None)
    await world.work()


def refused(world: World, uid: str, tenant: str = "acme") -> str:
    refusal = world.kept.load_balancers[f"tenant-{tenant}", uid].spec.refusal
    return f"{refusal.reason}: {refusal.message}" if refusal else ""


def served(world: World) -> dict[str, str]:
    """Virtual server to the Service that the balancer node serves there."""
    return {key: wish.owner.service_uid for key, wish in sorted(world.kept.serving.items())}


def shares(world: World, address: str = ONE) -> str:
    """A claim as a text: who has which ports, and who leaves."""
    spec = world.kept.claims[address].spec
    texts = [f"{share.owner.service_uid}:{','.join(share.ports)}" for share in live_shares(spec)]
    return " ".join(texts + [f"-{share.owner.service_uid}:{','.join(share.ports)}" for share in spec.leaving])


async def test_services_of_one_key_share_an_address_and_each_serves_its_own_ports() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443, 53, external_traffic_policy=TrafficPolicy.LOCAL)
    world.kept.effects.clear()
    await wish(world, "u3", 22, key="other")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": ("192.0.2.1",)}
    assert served(world) == {
        "192.0.2.0:443/tcp": "u2",
        "192.0.2.0:53/tcp": "u2",
        "192.0.2.0:80/tcp": "u1",
        "192.0.2.1:22/tcp": "u3",
    }
    usage = world.memory.usage.of("acme")
    assert (usage.load_balancers, usage.addresses, usage.ports) == (3, 2, 4)


async def test_joining_costs_two_writes_and_disturbs_nobody() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    world.kept.effects.clear()
    await wish(world, "u2", 443)
    assert world.kept.effects == [
        "patch claim 192.0.2.0 Bound",
        "create load balancer u2",
        "publish fleetlb.v1.desired.default.192-0-2-0_443_tcp",
    ]


async def test_services_of_different_clusters_of_a_tenant_share() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    world.say(a_key("u2", cluster="cluster-2"), a_wish("u2", ports=(443,), sharing_key="k"))
    await world.work()
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}


async def test_two_tenants_never_share() -> None:
    world = a_world("acme", "globex")
    await wish(world, "u1", 80)
    await wish(world, "u2", 443, tenant="globex")
    await wish(world, "u3", 443, tenant="globex", addresses=(ONE,))
    assert world.addresses() == {"u1": (ONE,), "u2": ("192.0.2.1",), "u3": ()}
    assert refused(world, "u3", "globex") == (
        "AddressInUse: fleetlb.dev/addresses: 192.0.2.0 is in use, or rests after its last use"
    )


async def test_ports_that_collide_are_refused_and_served_once_they_are_free() -> None:
    world = a_world()
    await wish(world, "u1", 80, 443)
    await wish(world, "u2", 443)
    await wish(world, "u3", 22, 80)
    assert world.addresses() == {"u1": (ONE,), "u2": (), "u3": ()}
    assert refused(world, "u2") == (
        "SharingConflict: fleetlb.dev/sharing-key: port 443/TCP of 192.0.2.0 is shop/u1's, which has the same key;"
        " use another port, or another key"
    )
    await wish(world, "u1", 8080)
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": (ONE,)}
    assert shares(world) == "u1:8080/TCP u2:443/TCP u3:22/TCP,80/TCP"


async def test_all_who_wait_find_each_other_when_the_address_is_gone() -> None:
    world = a_world(quarantine=60)
    await wish(world, "u1", 80, 443)
    await wish(world, "u2", 443)
    await wish(world, "u3", 80)
    await gone(world, "u1")
    assert world.phases() == {ONE: "Quarantined", "192.0.2.1": "Bound"}
    assert world.addresses() == {"u2": ("192.0.2.1",), "u3": ("192.0.2.1",)}


@pytest.mark.parametrize("asked", [(), (ONE,)], ids=["any", "by name"])
async def test_who_collided_with_one_who_left_is_told_that_another_came_first(asked: tuple[str, ...]) -> None:
    world = a_world(pool=("192.0.2.0/32",))
    await wish(world, "u1", 80)
    await wish(world, "u2", 80, key="")
    await wish(world, "u3", 80, addresses=asked)
    assert refused(world, "u3").startswith("SharingConflict")
    world.say(a_key("u1"), None)
    await world.serving.reconcile(a_key("u1"))
    world.marks.services.pop(a_key("u3"))  # its turn comes when the address is free, and kept for u2
    await world.work()
    assert world.addresses() == {"u2": (ONE,), "u3": ()}
    assert refused(world, "u3").startswith("AddressInUse" if asked else "PoolExhausted")


async def test_a_port_is_anothers_only_when_every_node_has_let_go_of_it() -> None:
    world = a_world(quarantine=60)
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u3", 443)
    world.kept.answering = False
    await gone(world, "u2")
    assert shares(world) == "u1:80/TCP -u2:443/TCP"
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": ()}
    assert "was shop/u2's, and not every balancer node has let go of it yet" in refused(world, "u3")
    assert world.kept.notified == []
    world.rebuild()
    for address in list(world.memory.claims.passing()):
        world.marks.claim(address)
    await world.work()
    assert shares(world) == "u1:80/TCP -u2:443/TCP"
    world.kept.answering = True
    await world.work()
    assert shares(world) == "u1:80/TCP u3:443/TCP"
    assert world.addresses() == {"u1": (ONE,), "u3": (ONE,)}
    assert served(world) == {"192.0.2.0:443/tcp": "u3", "192.0.2.0:80/tcp": "u1"}
    assert world.phases() == {ONE: "Bound"}
    assert [subject.rsplit(".", 1)[1] for subject in world.kept.notified] == ["u2"]
    assert world.memory.let_go == set()


async def test_the_address_rests_only_when_the_last_one_has_left() -> None:
    world = a_world(quarantine=60)
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    before = world.kept.streams["fleetlb.v1.desired.default.192-0-2-0_443_tcp"]
    await gone(world, "u1")
    assert shares(world) == "u2:443/TCP"
    assert world.memory.usage.of("acme").addresses == 1
    assert world.kept.streams["fleetlb.v1.desired.default.192-0-2-0_443_tcp"] == before
    assert world.memory.book.holder(ONE) == str(a_key("u2"))
    assert world.memory.let_go == set()
    await gone(world, "u2")
    assert world.phases() == {ONE: "Quarantined"}
    await world.releasing.begin(a_key("u2"), ONE)
    assert world.phases() == {ONE: "Quarantined"}
    assert world.addresses() == {}
    assert world.memory.usage.of("acme").addresses == 0


async def test_an_edit_that_collides_changes_nothing_and_says_so() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u2", 443, 80)
    assert "port 80/TCP of 192.0.2.0 is shop/u1's" in refused(world, "u2")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}
    assert served(world) == {"192.0.2.0:443/tcp": "u2", "192.0.2.0:80/tcp": "u1"}
    await gone(world, "u1")
    assert refused(world, "u2") == ""
    assert served(world) == {"192.0.2.0:443/tcp": "u2", "192.0.2.0:80/tcp": "u2"}


@pytest.mark.parametrize("key", ["", "other"])
async def test_a_key_stays_while_others_share_the_address(key: str) -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u1", 80, key=key)
    assert "SharingConflict" in refused(world, "u1")
    assert "is shared with shop/u2 under the key 'k'; write that key again" in refused(world, "u1")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}
    await gone(world, "u2")
    assert refused(world, "u1") == ""
    assert world.kept.claims[ONE].spec.sharing_key == key
    assert world.addresses() == {"u1": (ONE,)}


async def test_a_key_that_is_added_opens_the_address_that_is_held_but_not_what_a_node_may_still_serve() -> None:
    world = a_world()
    await wish(world, "u1", 80, 443, key="")
    world.kept.answering = False
    await wish(world, "u1", 80, key="")
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    assert shares(world) == "u1:80/TCP -u1:443/TCP"
    assert "was shop/u1's" in refused(world, "u2")
    world.kept.answering = True
    await world.work()
    assert shares(world) == "u1:80/TCP u2:443/TCP"


async def test_both_families_are_shared() -> None:
    world = a_world(pool=("192.0.2.0/29", "2001:db8::/126"))
    await wish(world, "u1", 80, ip_families=BOTH)
    await wish(world, "u2", 443, ip_families=BOTH)
    await wish(world, "u3", 22, ip_families=V6)
    assert world.addresses() == {"u1": (ONE, "2001:db8::"), "u2": (ONE, "2001:db8::"), "u3": ("2001:db8::",)}
    await wish(world, "u4", 22, ip_families=BOTH)
    assert "port 22/TCP of 2001:db8:: is shop/u3's" in refused(world, "u4")
    assert shares(world) == "u1:80/TCP u2:443/TCP"


@pytest.mark.parametrize("families", [BOTH, BOTH[::-1]])
async def test_who_prefers_two_families_gives_up_none_that_it_holds(families: tuple[Family, ...]) -> None:
    world = a_world(pool=("192.0.2.0/29", "2001:db8::/126"))
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u1", 80, key="", ip_families=families, prefers_dual_stack=True)
    assert "is shared with shop/u2" in refused(world, "u1")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}
    await wish(world, "u3", 22, ip_families=V6)
    await wish(world, "u1", 80, 22, ip_families=families, prefers_dual_stack=True)
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": ("2001:db8::",)}
    assert refused(world, "u1") == ""
    await wish(world, "u1", 80, 22, 443, ip_families=families, prefers_dual_stack=True)
    assert "443/TCP" in refused(world, "u1")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": ("2001:db8::",)}


async def test_one_family_is_shared_and_the_other_is_new_in_the_same_group() -> None:
    world = a_world(pool=("192.0.2.0/29", "2001:db8::/126"))
    await wish(world, "u1", 80)
    await wish(world, "u2", 443, ip_families=BOTH)
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE, "2001:db8::")}
    assert world.memory.usage.of("acme").addresses == 2


async def test_an_address_is_asked_for_with_its_key() -> None:
    world = a_world()
    await wish(world, "u1", 80, addresses=("192.0.2.5",))
    await wish(world, "u2", 443, addresses=("192.0.2.5",))
    await wish(world, "u3", 22, addresses=("192.0.2.5",), key="")
    await wish(world, "u4", 22, addresses=("192.0.2.5",), key="other")
    await wish(world, "u5", 80, addresses=("192.0.2.5",))
    assert world.addresses() == {"u1": ("192.0.2.5",), "u2": ("192.0.2.5",), "u3": (), "u4": (), "u5": ()}
    for uid in ("u3", "u4"):
        assert "AddressInUse" in refused(world, uid)
        assert "192.0.2.5 is of shop/u1 under the key 'k'; write that fleetlb.dev/sharing-key" in refused(world, uid)
    assert "SharingConflict" in refused(world, "u5")
    await gone(world, "u1")
    assert world.addresses()["u5"] == ("192.0.2.5",)


async def test_a_quota_of_addresses_counts_one_that_is_shared_once() -> None:
    world = a_world(quotas=Quotas(addresses=1, load_balancers=3))
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u3", 22, key="other")
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,), "u3": ()}
    assert refused(world, "u3").startswith("QuotaExceeded: quota addresses")
    await gone(world, "u1")
    await wish(world, "u2", 443, 444)
    assert world.addresses() == {"u2": (ONE,), "u3": ()}
    assert refused(world, "u2") == ""
    await wish(world, "u3", 22)
    await wish(world, "u4", 23)
    await wish(world, "u5", 24)
    assert world.addresses() == {"u2": (ONE,), "u3": (ONE,), "u4": (ONE,), "u5": ()}
    assert refused(world, "u5").startswith("QuotaExceeded: quota loadBalancers")


@pytest.mark.parametrize("mover", ["u1", "u2"])
async def test_who_moves_away_from_a_shared_address_needs_another_one_in_the_quota(mover: str) -> None:
    world = a_world(quotas=Quotas(addresses=1))
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    port = 80 if mover == "u1" else 443
    await wish(world, mover, port, addresses=("192.0.2.7",))
    assert refused(world, mover).startswith("QuotaExceeded: quota addresses: 1 of 1 used")
    assert shares(world) == "u1:80/TCP u2:443/TCP"
    await gone(world, "u2" if mover == "u1" else "u1")
    assert world.addresses() == {mover: ("192.0.2.7",)}


async def test_a_pool_that_is_not_for_a_service_is_not_reached_by_a_key() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    world.repool("192.0.2.1-192.0.2.7")
    await wish(world, "u2", 443)
    await wish(world, "u3", 444)
    assert world.addresses() == {"u1": (ONE,), "u2": ("192.0.2.1",), "u3": ("192.0.2.1",)}


async def test_one_that_waits_for_an_address_joins_when_its_key_gets_one() -> None:
    world = a_world(pool=("192.0.2.0/32",))
    await wish(world, "u1", 80, key="")
    await wish(world, "u2", 443)
    assert refused(world, "u2").startswith("PoolExhausted")
    await wish(world, "u1", 80)
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}


async def test_of_two_that_begin_at_once_the_second_waits_for_the_address_of_the_first() -> None:
    world = a_world()
    for uid, port in (("u1", 80), ("u2", 443)):
        world.say(a_key(uid), a_wish(uid, ports=(port,), sharing_key="k"))
    create, waiting = world.claiming._store.create, asyncio.Event()

    async def slowly(claim: AddressClaim) -> AddressClaim:
        await waiting.wait()
        return await create(claim)

    world.claiming._store.create = slowly  # type: ignore[method-assign]
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(world.serving.reconcile(a_key("u1")))
        await asyncio.sleep(0)
        with pytest.raises(Transient, match="is being claimed"):
            await world.serving.reconcile(a_key("u2"))
        waiting.set()
    await world.work()
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}


async def test_two_managers_never_put_one_port_on_an_address_twice() -> None:
    first = a_world()
    await wish(first, "u1", 80)
    second = World(first.kept, generation=2)
    for world, uid in ((first, "u2"), (second, "u3")):
        world.say(a_key(uid), a_wish(uid, ports=(443,), sharing_key="k"))
    await second.work()
    assert shares(first) == "u1:80/TCP u3:443/TCP"
    with pytest.raises(Transient, match="changed meanwhile"):
        await first.serving.reconcile(a_key("u2"))
    await first.work()
    assert shares(first) == "u1:80/TCP u3:443/TCP"
    assert "port 443/TCP of 192.0.2.0 is shop/u3's" in refused(first, "u2")


async def test_two_managers_that_both_let_one_join_lose_nobody() -> None:
    first = a_world()
    await wish(first, "u1", 80)
    second = World(first.kept, generation=2)
    for world, uid, port in ((first, "u2", 443), (second, "u3", 22)):
        world.say(a_key(uid), a_wish(uid, ports=(port,), sharing_key="k"))
    await second.work()
    await first.work()
    assert shares(first) == "u1:80/TCP u3:22/TCP u2:443/TCP"


async def test_killed_after_any_effect_it_ends_the_same() -> None:
    ends = set()
    for count in range(1, 60):
        world = a_world(quarantine=0)
        world.kept.crash_after = count
        history = [("u1", (80, 81)), ("u2", (443,)), ("u1", (80,)), ("u3", (81,)), ("u1", None), ("u2", None)]
        for uid, ports in history:
            world.say(a_key(uid), a_wish(uid, ports=ports, sharing_key="k") if ports else None)
            for _ in range(2):
                try:
                    await world.work()
                except Crash:
                    world.authority.generation += 1
                    world.rebuild()
                    for address in list(world.memory.claims.passing()):
                        world.marks.claim(address)
                    for slot in [*world.memory.desired.slots(), *world.memory.realized.slots()]:
                        world.marks.slot(slot)
        ends.add((shares(world), str(world.addresses()), str(served(world)), str(world.phases())))
    assert ends == {("u3:81/TCP", "{'u3': ('192.0.2.0',)}", "{'192.0.2.0:81/tcp': 'u3'}", "{'192.0.2.0': 'Bound'}")}


async def test_all_who_shared_an_address_find_it_again_when_every_object_is_lost() -> None:
    world = a_world()
    for uid, port, key in (("u0", 1, "k0"), ("u1", 80, "k"), ("u2", 443, "k"), ("u3", 80, "k3"), ("u4", 22, "k3")):
        await wish(world, uid, port, key=key)
    await gone(world, "u0")
    had = world.addresses()
    assert had == {"u1": ("192.0.2.1",), "u2": ("192.0.2.1",), "u3": ("192.0.2.2",), "u4": ("192.0.2.2",)}
    for uid, port, key in (("u1", 80, "k"), ("u2", 443, "k"), ("u3", 80, "k3"), ("u4", 22, "k3")):
        world.say(a_key(uid), a_wish(uid, ports=(port,), sharing_key=key), shown=had[uid])
    world.kept.claims.clear()
    world.kept.load_balancers.clear()
    world.rebuild()
    for uid in ("u4", "u2", "u3", "u1"):
        world.marks.service(a_key(uid))
    await world.work()
    assert world.addresses() == had


async def test_who_had_another_address_of_its_key_does_not_join_the_first_one_when_every_object_is_lost() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    world.repool("192.0.2.1-192.0.2.7")
    await wish(world, "u2", 443)
    await wish(world, "u3", 22)
    world.repool("192.0.2.0/29")
    had = world.addresses()
    assert had == {"u1": (ONE,), "u2": ("192.0.2.1",), "u3": ("192.0.2.1",)}
    for uid, port in (("u1", 80), ("u2", 443), ("u3", 22)):
        world.say(a_key(uid), a_wish(uid, ports=(port,), sharing_key="k"), shown=had[uid])
    world.kept.claims.clear()
    world.kept.load_balancers.clear()
    world.rebuild()
    await world.work()
    assert world.addresses() == had


async def test_who_could_share_one_family_and_has_none_of_the_other_takes_nothing() -> None:
    world = a_world(pool=("192.0.2.0/29", "2001:db8::/128"))
    await wish(world, "u0", 80, ip_families=V6, key="")
    await wish(world, "u1", 80)
    await wish(world, "u2", 443, ip_families=BOTH)
    assert refused(world, "u2").startswith("PoolExhausted")
    assert world.memory.book.holder(ONE) == str(a_key("u1"))
    assert shares(world) == "u1:80/TCP"


async def test_one_whose_claim_is_made_anew_by_another_is_not_cut_off() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    claim = world.kept.claims.pop(ONE)
    world.folding.claim_gone(claim)
    world.kept.effects.clear()
    await world.serving.reconcile(a_key("u1"))
    for slot in list(world.marks.slots):
        await world.publishing.reconcile(slot)
    await world.work()
    assert shares(world) == "u1:80/TCP u2:443/TCP"
    assert [effect for effect in world.kept.effects if effect.startswith(("publish", "purge"))] == []


async def test_a_claim_of_before_sharing_goes_on() -> None:
    world = a_world()
    await wish(world, "u1", 80, key="")
    claim = world.kept.claims[ONE]
    assert (claim.spec.sharing_key, claim.spec.sharers, claim.spec.leaving) == ("", (), ())
    await wish(world, "u1", 80, 443, key="")
    assert shares(world) == "u1:80/TCP,443/TCP"
    await gone(world, "u1")
    assert world.phases() == {}


async def test_ports_are_given_up_only_when_the_object_says_so() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    world.kept.effects.clear()
    await wish(world, "u1", 81)
    writes = [effect for effect in world.kept.effects if effect.startswith("patch")]
    claim = "patch claim 192.0.2.0 Bound"
    assert writes == [claim, "patch load balancer u1", claim, claim]
    assert shares(world) == "u1:81/TCP u2:443/TCP"


async def test_an_edit_that_was_begun_and_is_refused_then_keeps_no_port_from_others() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    world.say(a_key("u1"), a_wish("u1", ports=(81,), sharing_key="k"))
    world.kept.crash_after = len(world.kept.effects) + 1
    with pytest.raises(Crash):
        await world.work()
    assert shares(world) == "u1:81/TCP,80/TCP u2:443/TCP"
    world.rebuild()
    await wish(world, "u1", 81, node_ports=(1,))
    assert "BackendNotAllowed" in refused(world, "u1")
    assert shares(world) == "u1:80/TCP u2:443/TCP"
    assert served(world) == {"192.0.2.0:443/tcp": "u2", "192.0.2.0:80/tcp": "u1"}


async def test_a_service_that_is_called_otherwise_comes_to_rest() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    world.kept.answering = False
    for uid in ("u1", "u2"):
        world.say(a_key(uid), a_wish("other", ports=(int(uid[1]),), sharing_key="k"))
    await world.work()
    assert shares(world) == "u1:1/TCP u2:2/TCP -u1:80/TCP -u2:443/TCP"
    world.kept.answering = True
    await world.work()
    assert shares(world) == "u1:1/TCP u2:2/TCP"


async def test_a_service_that_moves_away_leaves_its_ports_and_may_come_back() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    await wish(world, "u2", 443, addresses=("192.0.2.7",))
    assert world.addresses() == {"u1": (ONE,), "u2": ("192.0.2.7",)}
    assert shares(world) == "u1:80/TCP"
    world.kept.answering = False
    await wish(world, "u2", 443, addresses=(ONE,))
    world.kept.answering = True
    await world.work()
    assert world.addresses() == {"u1": (ONE,), "u2": (ONE,)}


async def test_a_claim_that_was_meddled_with_is_refused_and_does_not_spin() -> None:
    world = a_world()
    await wish(world, "u1", 80)
    await wish(world, "u2", 443)
    claim = world.kept.claims[ONE]
    thief = ClaimShare(owner=claim.spec.sharers[0].owner, ports=("443/TCP", "80/TCP"))
    spoiled = replace(claim.spec, ports=(), sharers=(thief,))
    world.kept.claims[ONE] = world.kept.stamp(replace(claim, spec=spoiled), respecified=True)
    world.folding.claim_set(world.kept.claims[ONE])
    world.marks.services.pop(a_key("u2"))
    await world.serving.reconcile(a_key("u1"))
    assert "port 80/TCP of 192.0.2.0 is shop/u2's" in refused(world, "u1")
    await world.work()
    world.marks.service(ServiceKey("acme", "cluster-1", "u2"))
    await world.work()
    assert refused(world, "u1") == ""
    assert shares(world) == "u1:80/TCP u2:443/TCP"
