"""IPA: who gets which address. Pools of the tests' own are of spare addresses; claims are the truth about them."""

import asyncio
import contextlib
import ipaddress
import random
from typing import Any

import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec, ClaimPhase, PoolCounts
from fleetlb.contracts.v1 import ServiceObserved
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.conditions import ADDRESSES_OUTSIDE, PROVISIONED, Reason
from fleetlb.kube.errors import AlreadyExists, Invalid, NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, ADDRESS_POOLS, LOAD_BALANCERS
from fleetlb.kube.resources import Object, Resource
from fleetlb.kube.shown_services import Service
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.stage.hub import claims_of, observed_message
from tests.stage.networks import Network
from tests.stage.pools import change_pool, of_addresses, pool_for, set_tenant, until_pool_gone
from tests.stage.slices import READY, say_pods
from tests.stage.tenants import Tenant

BOTH = ("node-1", "node-2")
SHARING_KEY = "fleetlb.dev/sharing-key"


def spares(network: Network) -> list[str]:
    """Addresses outside of the fleet's pool, in order."""
    return [str(address) for address in ipaddress.ip_network(network.spare_addresses)]


def a_port() -> Object:
    """A port on which nobody serves."""
    return tcp(80, next_node_port())


async def shows_none(tenant: Tenant, fleet: Fleet, name: str) -> None:
    """Fails if a Service has any address, wherever one could stand."""
    service = await tenant.get(name)
    assert service["status"]["loadBalancer"] == {}
    assert await claims_of(fleet, service["metadata"]["uid"]) == []


async def test_IPA_1_no_two_services_hold_the_same_address(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    port = a_port()
    for tenant in (acme, globex):
        await tenant.listen(port)
    names = [(tenant, f"web-{number}") for number in range(8) for tenant in (acme, globex)]
    uids = await asyncio.gather(
        *(tenant.create(name, [port if name == "web-0" else a_port()]) for tenant, name in names)
    )
    addresses = await asyncio.gather(*(tenant.address(name) for tenant, name in names))
    assert len(set(addresses)) == len(names)
    for address, uid in zip(addresses, uids, strict=True):
        (claim,) = await claims_of(fleet, uid)
        assert (claim.spec.address, claim.spec.phase) == (address, ClaimPhase.BOUND)
    for tenant in (acme, globex):
        await tenant.until_served_by(key(await tenant.vip("web-0"), 80), *BOTH)
    await globex.create("thief", [a_port()], annotations=of_addresses(addresses[0]))
    await globex.reason("thief", PROVISIONED, "AddressInUse")
    await shows_none(globex, fleet, "thief")


@pytest.mark.parametrize("change", ["deleted", "of another type"])
async def test_IPA_2_a_released_address_is_given_again_after_its_quarantine(
    change: str, acme: Tenant, fleet: Fleet
) -> None:
    one = spares(acme.network)[0]
    async with pool_for(fleet, acme, "one", f"{one}/32", quarantine_seconds=2) as annotations:
        uid = await acme.create("first", [a_port()], annotations=annotations)
        assert await acme.address("first") == one
        await acme.create("second", [a_port()], annotations=annotations)
        await acme.reason("second", PROVISIONED, "PoolExhausted")
        if change == "deleted":
            await acme.delete("first")
            await acme.until_gone("first")
        else:
            await acme.patch("first", {"spec": {"type": "NodePort"}})
            await acme.until_let_go("first")
        assert [claim.spec.phase for claim in await claims_of(fleet, uid)] == [ClaimPhase.QUARANTINED]
        await shows_none(acme, fleet, "second")
        assert await acme.address("second") == one


@pytest.mark.parametrize("how", ["annotation", "field"])
async def test_IPA_3_a_requested_address_is_given_or_none(how: str, acme: Tenant, fleet: Fleet) -> None:
    def asking(address: str) -> dict[str, Any]:
        return {"annotations": of_addresses(address)} if how == "annotation" else {"loadBalancerIP": address}

    wanted = spares(acme.network)[5]
    port = a_port()
    await acme.listen(port)
    async with pool_for(fleet, acme, "some", acme.network.spare_addresses):
        await acme.create("owner", [port], **asking(wanted))
        assert await acme.vip("owner") == wanted
        await acme.until_served_by(key(wanted, 80), *BOTH)
        await acme.create("waiting", [a_port()], **asking(wanted))
        assert wanted in await acme.reason("waiting", PROVISIONED, "AddressInUse")
        await acme.create("outside", [a_port()], **asking("192.0.2.1"))
        assert "192.0.2.1" in await acme.reason("outside", PROVISIONED, "AddressNotAllowed")
        await acme.witness()
        for name in ("waiting", "outside"):
            await shows_none(acme, fleet, name)
        await acme.delete("owner")
        assert await acme.address("waiting") == wanted


async def test_IPA_3_an_address_of_a_pool_that_is_not_granted_is_not_given(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    one = spares(acme.network)[0]
    async with pool_for(fleet, acme, "one", f"{one}/32"):
        await globex.create("web", [a_port()], annotations=of_addresses(one))
        message = await globex.reason("web", PROVISIONED, "AddressNotAllowed")
        assert "acme" not in message
        await shows_none(globex, fleet, "web")


async def test_IPA_4_annotation_and_field_that_contradict_each_other_are_refused(acme: Tenant, fleet: Fleet) -> None:
    one, two = spares(acme.network)[:2]
    async with pool_for(fleet, acme, "some", acme.network.spare_addresses):
        await acme.create("web", [a_port()], annotations=of_addresses(one), loadBalancerIP=two)
        message = await acme.reason("web", PROVISIONED, "InvalidWish")
        assert one in message
        assert two in message
        await shows_none(acme, fleet, "web")
        await acme.patch("web", {"spec": {"loadBalancerIP": one}})
        assert await acme.address("web") == one


async def test_IPA_5_the_oldest_that_waits_gets_the_next_free_address(acme: Tenant, fleet: Fleet) -> None:
    one = spares(acme.network)[0]
    async with pool_for(fleet, acme, "one", f"{one}/32") as annotations:
        await acme.create("first", [a_port()], annotations=annotations)
        await acme.address("first")
        for name in ("second", "third"):
            await acme.create(name, [a_port()], annotations=annotations)
            assert "one" in await acme.reason(name, PROVISIONED, "PoolExhausted")
        before = (await acme.get("second"))["spec"]
        await acme.delete("first")
        assert await acme.address("second") == one
        assert (await acme.get("second"))["spec"] == before
        await shows_none(acme, fleet, "third")
        await acme.delete("second")
        assert await acme.address("third") == one


async def test_IPA_6_services_of_one_key_share_an_address_whatever_their_traffic_policies(
    acme: Tenant, fleet: Fleet
) -> None:
    web, api, names = a_port(), tcp(443, next_node_port()), udp(80, next_node_port())
    await acme.listen(web, called="web-")
    await acme.listen(api, called="api-")
    await acme.listen(names, called="names-")
    await say_pods(acme, "api", {"node-2": READY})
    await acme.create("web", [web], annotations={SHARING_KEY: "ours"})
    vip = await acme.vip("web")
    await acme.create("api", [api], annotations={SHARING_KEY: "ours"}, externalTrafficPolicy="Local")
    await acme.create("names", [names], annotations={SHARING_KEY: "ours"})
    assert {await acme.vip("api"), await acme.vip("names")} == {vip}
    await acme.until_served_by(key(vip, 80), *(f"web-{node}" for node in BOTH))
    await acme.until_served_by(key(vip, 443), "api-node-2")
    await acme.until_served_by(key(vip, 80, Protocol.UDP), *(f"names-{node}" for node in BOTH))
    claim = await fleet.claim(vip)
    assert claim is not None
    assert (claim.spec.owner.name, {share.owner.name for share in claim.spec.sharers}) == ("web", {"api", "names"})
    await acme.delete("web")
    await acme.until_gone("web")
    await acme.until_refused(key(vip, 80))
    await acme.until_served_by(key(vip, 443), "api-node-2")
    claim = await fleet.claim(vip)
    assert claim is not None
    assert {claim.spec.owner.name, *(share.owner.name for share in claim.spec.sharers)} == {"api", "names"}
    assert claim.spec.phase is ClaimPhase.BOUND


async def test_IPA_6_two_tenants_never_share(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    await acme.create("web", [a_port()], annotations={SHARING_KEY: "ours"})
    await globex.create("web", [tcp(443, next_node_port())], annotations={SHARING_KEY: "ours"})
    vip = await acme.address("web")
    assert await globex.address("web") != vip
    asking = {SHARING_KEY: "ours", **of_addresses(vip)}
    await globex.create("thief", [tcp(22, next_node_port())], annotations=asking)
    message = await globex.reason("thief", PROVISIONED, "AddressInUse")
    assert [word for word in ("acme", "web", acme.namespace, "ours") if word in message] == []
    await shows_none(globex, fleet, "thief")


async def test_IPA_6_what_collides_is_refused_by_name_and_served_once_it_is_free(acme: Tenant, fleet: Fleet) -> None:
    async with pool_for(fleet, acme, "some", acme.network.spare_addresses):
        asking = {SHARING_KEY: "ours", **of_addresses(spares(acme.network)[3])}
        await acme.create("first", [a_port()], annotations=asking)
        vip = await acme.address("first")
        await acme.create("second", [a_port()], annotations={SHARING_KEY: "ours"})
        message = await acme.reason("second", PROVISIONED, "SharingConflict")
        assert f"port 80/TCP of {vip} is {acme.namespace}/first's" in message
        await acme.until_event("second", "SyncLoadBalancerFailed")
        await acme.create("keyless", [tcp(443, next_node_port())], annotations=of_addresses(vip))
        assert "under the key 'ours'" in await acme.reason("keyless", PROVISIONED, "AddressInUse")
        for name in ("second", "keyless"):
            await shows_none(acme, fleet, name)
        await acme.create("third", [tcp(443, next_node_port())], annotations=asking)
        assert await acme.address("third") == vip
        await acme.patch("third", {"metadata": {"annotations": {SHARING_KEY: None}}})
        assert "is shared with" in await acme.reason("third", PROVISIONED, "SharingConflict")
        assert await acme.address("third") == vip
        await acme.patch("third", {"metadata": {"annotations": {SHARING_KEY: "ours"}}})
        await acme.until("third", lambda service: not _collides(service), "the end of its refusal")
        await acme.delete("first")
        assert await acme.address("second") == vip


def _collides(service: Service | None) -> bool:
    reasons = {condition.reason for condition in service.status.conditions} if service else set()
    return "SharingConflict" in reasons


async def test_IPA_7_a_pool_is_for_those_to_whom_it_is_granted_and_on_request_if_it_says_so(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    ours = spares(acme.network)
    async with pool_for(fleet, acme, "reserved", acme.network.spare_addresses) as annotations:
        await acme.create("plain", [a_port()])
        await acme.create("asking", [a_port()], annotations=annotations)
        assert await acme.address("plain") not in ours
        assert await acme.address("asking") in ours
        await globex.create("asking", [a_port()], annotations=annotations)
        assert "reserved" in await globex.reason("asking", PROVISIONED, "AddressNotAllowed")
        await shows_none(globex, fleet, "asking")
        await set_tenant(fleet, "acme", pools=["reserved"])
        await acme.create("lost", [a_port()])
        await acme.reason("lost", PROVISIONED, "AddressNotAllowed")
        await change_pool(fleet, "reserved", autoAssign=True)
        assert await acme.address("lost") in ours


async def test_IPA_7_the_pool_of_the_highest_priority_gives_first_and_a_change_of_it_moves_nobody(
    acme: Tenant, fleet: Fleet
) -> None:
    low, high, *_ = spares(acme.network)
    async with (
        pool_for(fleet, acme, "a-low", f"{low}/32", auto_assign=True, priority=1),
        pool_for(fleet, acme, "z-high", f"{high}/32", auto_assign=True, priority=2),
    ):
        port = a_port()
        await acme.listen(port)
        await acme.create("first", [port])
        assert await acme.vip("first") == high
        await acme.create("second", [a_port()])
        assert await acme.address("second") == low
        await acme.create("third", [a_port()])
        assert await acme.address("third") not in (low, high)
        await change_pool(fleet, "z-high", priority=-7)
        await acme.delete("second")
        await acme.until_gone("second")
        await acme.create("fourth", [a_port()])
        assert await acme.address("fourth") == low
        await acme.until_served_by(key(high, 80), *BOTH)
        assert await acme.address("first") == high


def selector_for(kind: str, tenant: Tenant, *, fits: bool) -> Object:
    """A selector that takes a tenant's Services in or leaves them out, by one of its parts."""
    parts = {
        "tenants": ["globex", tenant.name] if fits else ["globex"],
        "namespaces": ["elsewhere", tenant.namespace] if fits else ["elsewhere"],
        "serviceLabels": {"fleetlb.dev/tier": "gold" if fits else "globex-only"},
    }
    return dict.fromkeys(parts) | {kind: parts[kind]}


@pytest.mark.parametrize("kind", ["tenants", "namespaces", "serviceLabels"])
async def test_IPA_7_a_pool_gives_to_those_whom_its_selector_takes_in_and_takes_nothing_from_others(
    kind: str, acme: Tenant, fleet: Fleet
) -> None:
    ours = spares(acme.network)
    gold = {"labels": {"fleetlb.dev/tier": "gold"}}
    async with pool_for(fleet, acme, "chosen", acme.network.spare_addresses, auto_assign=True, priority=9) as asking:
        await change_pool(fleet, "chosen", selector=selector_for(kind, acme, fits=False))
        await acme.create("plain", [a_port()], metadata=gold)
        assert await acme.address("plain") not in ours
        for name, annotations in {"pool": asking, "address": of_addresses(ours[1])}.items():
            await acme.create(name, [a_port()], metadata=gold | {"annotations": annotations})
            assert "globex" not in await acme.reason(name, PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
            await shows_none(acme, fleet, name)
        await change_pool(fleet, "chosen", selector=selector_for(kind, acme, fits=True))
        assert await acme.address("pool") in ours
        assert await acme.address("address") == ours[1]
        port = a_port()
        await acme.listen(port)
        await acme.create("chosen", [port], metadata=gold)
        vip = await acme.vip("chosen")
        assert vip in ours
        await change_pool(fleet, "chosen", selector=selector_for(kind, acme, fits=False))
        await acme.create("late", [a_port()], metadata=gold | {"annotations": asking})
        await acme.reason("late", PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
        async with fleet.without("manager"):
            pass
        await acme.witness()
        await acme.until_served_by(key(vip, 80), *BOTH)
        assert await acme.vip("chosen") == vip
        assert await acme.address("address") == ours[1]


async def test_IPA_7_a_label_that_the_watcher_tells_opens_a_pool_and_another_does_not(
    acme: Tenant, fleet: Fleet
) -> None:
    ours, labels = spares(acme.network), {"fleetlb.dev/tier": "gold", "app": "web"}
    async with pool_for(fleet, acme, "chosen", acme.network.spare_addresses) as asking:
        await change_pool(fleet, "chosen", selector={"serviceLabels": labels})
        await acme.create("web", [a_port()], annotations=asking)
        assert "labels" in await acme.reason("web", PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
        await acme.patch("web", {"metadata": {"labels": labels}})
        await acme.refused_witness()
        await shows_none(acme, fleet, "web")
        await change_pool(fleet, "chosen", selector={"serviceLabels": {"app": None}})
        address = await acme.address("web")
        assert address in ours
        await acme.patch("web", {"metadata": {"labels": {"fleetlb.dev/tier": "silver"}}})
        await acme.witness()
        assert await acme.address("web") == address


async def test_IPA_8_a_pool_that_is_removed_costs_nobody_an_address(acme: Tenant, fleet: Fleet) -> None:
    port = a_port()
    await acme.listen(port)
    async with pool_for(fleet, acme, "passing", acme.network.spare_addresses) as annotations:
        await acme.create("web", [port], annotations=annotations)
        vip = await acme.vip("web")
        async with acme.network.conversation(key(vip, 80)) as conversation:
            before = await conversation.ask()
            await fleet.management.delete(ADDRESS_POOLS, "passing")
            async with fleet.without("manager"):
                pass
            await acme.witness()
            assert await conversation.ask() == before
            await acme.until_served_by(key(vip, 80), *BOTH)
            assert await acme.vip("web") == vip
            assert await fleet.claim(vip) is not None


async def test_IPA_8_a_pool_in_use_says_so_gives_nothing_and_goes_with_its_last_address(
    acme: Tenant, fleet: Fleet
) -> None:
    async with pool_for(fleet, acme, "passing", acme.network.spare_addresses) as annotations:
        await acme.create("web", [a_port()], annotations=annotations)
        await acme.address("web")
        await fleet.management.delete(ADDRESS_POOLS, "passing")

        async def is_told() -> bool:
            said = (await fleet.management.get(ADDRESS_POOLS, "passing")).status.conditions
            return any(c.reason == "Draining" and "in use: 1, of 1 tenants" in c.message for c in said)

        await eventually(is_told, "the pool's word on its removal", acme.patience)
        await acme.create("late", [a_port()], annotations=annotations)
        await acme.reason("late", PROVISIONED, Reason.ADDRESS_NOT_ALLOWED)
        await acme.delete("web")
        await until_pool_gone(fleet, "passing")


@pytest.mark.parametrize("how", ["taken out", "excluded"])
async def test_IPA_8_a_range_that_a_pool_loses_is_served_on_counted_and_said(
    how: str, acme: Tenant, fleet: Fleet
) -> None:
    port = a_port()
    await acme.listen(port)
    kept, lost = spares(acme.network)[:2]
    async with pool_for(fleet, acme, "shrinking", f"{kept}/32", f"{lost}/32") as annotations:
        await acme.create("web", [port], annotations=annotations | of_addresses(lost))
        assert await acme.vip("web") == lost
        edit = {"addresses": [f"{kept}/32"]} if how == "taken out" else {"exclude": [lost]}
        await change_pool(fleet, "shrinking", **edit)

        async def is_told() -> bool:
            said = (await fleet.management.get(ADDRESS_POOLS, "shrinking")).status.conditions
            named = f"{lost} of acme {acme.namespace}/web"
            return any(c.type == ADDRESSES_OUTSIDE and named in c.message for c in said)

        await eventually(is_told, "the pool's word on an address outside", acme.patience)
        assert await counted(fleet, "shrinking", 2)
        await acme.create("next", [a_port()], annotations=annotations)
        await acme.create("late", [a_port()], annotations=annotations)
        await acme.reason("late", PROVISIONED, Reason.POOL_EXHAUSTED)
        async with fleet.without("manager"):
            pass
        await acme.until_served_by(key(lost, 80), *BOTH)
        assert await acme.vip("web") == lost
        await acme.delete("web")
        await acme.until_gone("web")
        await acme.refused_witness()
        await shows_none(acme, fleet, "late")
        await eventually(lambda: counted(fleet, "shrinking", 1), "a pool without what it lost", acme.patience)


async def counted(fleet: Fleet, pool: str, total: int) -> bool:
    """Whether a pool says of itself what the claims say of it."""
    found: AddressPool = await fleet.management.get(ADDRESS_POOLS, pool)
    phases = [each.spec.phase for each in await fleet.management.list(ADDRESS_CLAIMS) if each.spec.pool == pool]
    quarantined = phases.count(ClaimPhase.QUARANTINED)
    used = len(phases) - quarantined
    wanted = PoolCounts(total=total, used=used, quarantined=quarantined, free=total - used - quarantined)
    return found.status.ipv4 == wanted


async def test_IPA_9_a_pools_counts_equal_the_truth(acme: Tenant, fleet: Fleet) -> None:
    """More Services than addresses come, go and change their type, at first one by one and then all at once."""
    total, chance = len(spares(acme.network)), random.Random(9)
    names = [f"web-{number}" for number in range(total + 2)]

    async def until_counted() -> None:
        await eventually(lambda: counted(fleet, "counted", total), "a pool's counts", acme.patience)

    async with pool_for(fleet, acme, "counted", acme.network.spare_addresses, quarantine_seconds=1) as annotations:

        async def change(name: str) -> None:
            if (service := acme.board.get(name)) is None:
                with contextlib.suppress(AlreadyExists):  # it is being deleted
                    await acme.create(name, [a_port()], annotations=annotations)
            elif service.vip and chance.random() < 0.5:
                with contextlib.suppress(NotFound):
                    await acme.patch(name, {"spec": {"type": chance.choice(["NodePort", "LoadBalancer"])}})
            else:
                with contextlib.suppress(NotFound):
                    await acme.delete(name)

        await until_counted()
        for _ in range(5):
            await change(chance.choice(names))
            await until_counted()
        for _ in range(20):
            await asyncio.gather(*(change(name) for name in chance.sample(names, 5)))
        await acme.witness()
        await until_counted()
        await acme.clean()
        await until_counted()

        async def is_free() -> bool:
            status = (await fleet.management.get(ADDRESS_POOLS, "counted")).status
            return status.ipv4 == PoolCounts(total=total, used=0, quarantined=0, free=total)

        await eventually(is_free, "a pool that is free", acme.patience)


async def test_IPA_10_overlapping_pools_are_marked_and_give_no_address_twice(acme: Tenant, fleet: Fleet) -> None:
    one, two = spares(acme.network)[:2]
    async with (
        pool_for(fleet, acme, "first", f"{one}/32") as of_first,
        pool_for(fleet, acme, "second", f"{one}-{two}") as of_second,
    ):

        async def is_marked() -> bool:
            pools = [await fleet.management.get(ADDRESS_POOLS, name) for name in ("first", "second")]
            return [
                (each.status, each.reason) for pool in pools for each in pool.status.conditions if each.type == "Ready"
            ] == [("False", "Overlap")] * 2

        await eventually(is_marked, "two pools that say so", acme.patience)
        await acme.create("a", [a_port()], annotations=of_first)
        assert await acme.address("a") == one
        await acme.create("b", [a_port()], annotations=of_second)
        assert await acme.address("b") == two
        await acme.create("c", [a_port()], annotations=of_second)
        await acme.reason("c", PROVISIONED, "PoolExhausted")


async def lost(fleet: Fleet, uid: str, *resources: Resource[Any]) -> None:
    """Delete the objects of these kinds that the hub has of a Service, as a disaster would."""
    if LOAD_BALANCERS in resources:
        await fleet.management.delete(LOAD_BALANCERS, uid, "tenant-acme")
    if ADDRESS_CLAIMS in resources:
        for claim in await claims_of(fleet, uid):
            await fleet.management.delete(ADDRESS_CLAIMS, claim.metadata.name)


async def until_as_before(acme: Tenant, fleet: Fleet, before: dict[str, str]) -> None:
    """Wait until the hub has load balancers with addresses again, and fail if those are others than before."""
    uids = {name: (await acme.get(name))["metadata"]["uid"] for name in before}

    async def is_rebuilt() -> bool:
        balancers = [await fleet.load_balancer("acme", uid) for uid in uids.values()]
        claims = [await claims_of(fleet, uid) for uid in uids.values()]
        return all(each is not None and each.spec.addresses for each in balancers) and all(claims)

    await eventually(is_rebuilt, "load balancers with addresses", acme.patience)
    for name, uid in uids.items():
        balancer = await fleet.load_balancer("acme", uid)
        assert balancer is not None
        assert balancer.spec.addresses == (before[name],)
        assert [claim.spec.address for claim in await claims_of(fleet, uid)] == [before[name]]
        assert await acme.address(name) == before[name]


async def made_in_disorder(acme: Tenant, fleet: Fleet, annotations: dict[str, str], *names: str) -> dict[str, str]:
    """Services and their addresses. The first address of the pool is free: whoever chose anew would choose that."""
    before = {}
    for name in ("gone", *names):
        await acme.create(name, [a_port()], annotations=annotations)
        before[name] = await acme.address(name)
    await acme.delete("gone")
    await acme.until_gone("gone")
    del before["gone"]
    return before


async def test_IPA_11_a_rebuild_from_what_is_left_keeps_every_address(acme: Tenant, fleet: Fleet) -> None:
    async with pool_for(fleet, acme, "some", acme.network.spare_addresses) as annotations:
        before = await made_in_disorder(acme, fleet, annotations, "no-load-balancer", "no-claim")
        uids = {name: (await acme.get(name))["metadata"]["uid"] for name in before}
        async with fleet.without("manager"):
            await lost(fleet, uids["no-load-balancer"], LOAD_BALANCERS)
            await lost(fleet, uids["no-claim"], ADDRESS_CLAIMS)
        await until_as_before(acme, fleet, before)


@pytest.mark.parametrize("away", [("manager",), ("nats", "manager")], ids=["objects", "objects and messages"])
async def test_IPA_11_a_rebuild_from_services_alone_keeps_every_address(
    away: tuple[str, ...], acme: Tenant, fleet: Fleet
) -> None:
    async with pool_for(fleet, acme, "some", acme.network.spare_addresses) as annotations:
        before = await made_in_disorder(acme, fleet, annotations, "one", "two")
        uids = {name: (await acme.get(name))["metadata"]["uid"] for name in before}
        for name, address in before.items():
            await until_told_to_show(fleet, uids[name], address)
        async with fleet.without(*away):
            for uid in uids.values():
                await lost(fleet, uid, LOAD_BALANCERS, ADDRESS_CLAIMS)
        await until_as_before(acme, fleet, before)


async def until_told_to_show(fleet: Fleet, uid: str, address: str) -> None:
    """Wait until the hub has heard that a Service shows this address."""

    async def is_told() -> bool:
        said = await observed_message(fleet, "acme", uid)
        return said is not None and codec.decode(ServiceObserved, said).shown == (address,)

    await eventually(is_told, f"a message that shows {address}", 30.0)


async def test_IPA_12_networks_ranges_and_single_addresses_are_understood_and_odd_ones_left_out(
    acme: Tenant, fleet: Fleet
) -> None:
    first, second = acme.network.spare_addresses.split(".")[:2]
    base = f"{first}.{second}.254"
    ranges = [f"{base}.0/30", f"{base}.9/32", f"{base}.20-{base}.21", f"{base}.254-{base}.255", "fd7f:f1ee:7b::77/128"]
    async with pool_for(fleet, acme, "varied", *ranges, avoid_buggy_ips=True) as annotations:

        async def is_counted() -> bool:
            status = (await fleet.management.get(ADDRESS_POOLS, "varied")).status
            return (status.ipv4.total, status.ipv6.total) == (7, 1)

        await eventually(is_counted, "a pool of seven and one", acme.patience)
        names = [f"web-{number}" for number in range(7)]
        for name in names:
            await acme.create(name, [a_port()], annotations=annotations)
        given = {await acme.address(name) for name in names}
        assert given == {f"{base}.{last}" for last in (1, 2, 3, 9, 20, 21, 254)}
        await acme.create("odd", [a_port()], annotations=annotations | of_addresses(f"{base}.255"))
        await acme.reason("odd", PROVISIONED, "AddressNotAllowed")
    for wrong in ("10.0.0.1/8", f"{base}.9-", "somewhere", f"{base}.1-fd00::1"):
        spec = AddressPoolSpec(addresses=(wrong,))
        with pytest.raises(Invalid, match="addresses"):
            await fleet.management.apply(ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name="wrong"), spec=spec))
