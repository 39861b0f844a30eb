"""FIN: the finalizer stands before anything is taken, and goes when everything is given back."""

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.domain.conditions import PROVISIONED
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, LOAD_BALANCERS
from fleetlb.kube.resources import NAMESPACES, SERVICES
from tests.conformance.traces import STANDARD, finalizers
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp
from tests.stage.chronicles import chronicle_of
from tests.stage.hub import (
    PROGRAMMER,
    at_rest,
    claims_of,
    counters,
    desired_message,
    hear_everything_again,
    observed_message,
    report,
    reports_on,
)
from tests.stage.networks import Network
from tests.stage.policies import refusing
from tests.stage.tenants import Tenant

WATCHER = "tenant-watcher/acme"


async def test_FIN_1_without_the_finalizer_the_hub_hears_nothing(acme: Tenant, fleet: Fleet) -> None:
    has_finalizer = "object.metadata.name == 'web' && has(object.metadata.finalizers)"
    async with refusing(acme.cluster, acme.namespace, has_finalizer):
        uid = await acme.create("web", [tcp(8080, next_node_port())])
        await acme.witness()
        assert await observed_message(fleet, "acme", uid) is None
        assert await fleet.load_balancer("acme", uid) is None
        assert await claims_of(fleet, uid) == []
    await acme.address("web")


async def test_FIN_1_the_finalizer_is_there_in_every_version_with_an_address(acme: Tenant) -> None:
    async with chronicle_of(acme.cluster, acme.namespace) as chronicle:
        await acme.create("web", [tcp(8080, next_node_port())])
        await acme.address("web")
        versions = await chronicle.versions("web")
    assert versions[0].metadata.finalizers == ()
    assert all(
        STANDARD in version.metadata.finalizers for version in versions if version.status != {"loadBalancer": {}}
    )


async def test_FIN_2_the_standard_finalizer_is_used(acme: Tenant) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    assert await finalizers(acme, "web") == [STANDARD]


async def test_FIN_3_the_finalizer_stays_until_the_data_plane_has_let_go(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    uid = await acme.create("web", [port])
    vip = await acme.vip("web")
    async with fleet.without(PROGRAMMER):
        await acme.delete("web")

        async def is_releasing() -> bool:
            return [claim.spec.phase for claim in await claims_of(fleet, uid)] == [ClaimPhase.RELEASING]

        await eventually(is_releasing, "a hub that waits for the data plane", acme.patience)
        after = await acme.create("after", [tcp(8081, next_node_port())])
        await eventually(lambda: _has_load_balancer(fleet, after), "work on another Service", acme.patience)
        assert await finalizers(acme, "web") == [STANDARD]
        assert (await acme.network.ask(key(vip, 8080))).ok
    await acme.until_gone("web")
    assert not (await acme.network.ask(key(vip, 8080), seconds=2.0)).ok
    assert [claim.spec.phase for claim in await claims_of(fleet, uid)] in ([], [ClaimPhase.QUARANTINED])


async def test_FIN_4_the_finalizer_goes_with_the_type_and_comes_back_with_it(acme: Tenant) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    for _ in range(5):  # back at once: what changed last must not be missed over what was done last
        await acme.address("web")
        assert await finalizers(acme, "web") == [STANDARD]
        await acme.patch("web", {"spec": {"type": "ClusterIP"}})
        await acme.until_let_go("web")
        await acme.patch("web", {"spec": {"type": "LoadBalancer"}})
    await acme.address("web")


async def test_FIN_5_finalizers_of_others_keep_their_place(acme: Tenant) -> None:
    others = ["example.com/z", "example.com/a"]
    await acme.create("web", [tcp(8080, next_node_port())], metadata={"finalizers": others})
    await acme.address("web")
    assert sorted(await finalizers(acme, "web")) == sorted([*others, STANDARD])
    await acme.patch("web", {"metadata": {"finalizers": [others[0], STANDARD, others[1]]}})
    await acme.patch("web", {"spec": {"type": "ClusterIP"}})
    await acme.until_let_go("web")
    assert await finalizers(acme, "web") == others
    await acme.patch("web", {"spec": {"type": "LoadBalancer"}})
    await acme.address("web")
    await acme.delete("web")

    async def only_theirs() -> bool:
        return await finalizers(acme, "web") == others

    await eventually(only_theirs, "a deleted Service that waits for others alone", acme.patience)
    await acme.patch("web", {"metadata": {"finalizers": None}})


async def test_FIN_6_a_teardown_without_the_hub_warns_and_ends_by_itself(acme: Tenant, fleet: Fleet) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    async with fleet.without("nats"):
        await acme.delete("web")
        await acme.until_event("web", "DeleteLoadBalancerFailed")
        assert await finalizers(acme, "web") == [STANDARD]
    await acme.until_gone("web")


async def test_FIN_6_a_teardown_without_the_data_plane_warns_and_ends_by_itself(acme: Tenant, fleet: Fleet) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    async with fleet.without(PROGRAMMER):
        await acme.delete("web")
        await acme.until_event("web", "DeleteLoadBalancerFailed", seconds=20.0)
        assert await finalizers(acme, "web") == [STANDARD]
    await acme.until_gone("web")


async def test_FIN_7_what_is_gone_already_is_torn_down(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    uid = await acme.create("web", [port])
    vip = await acme.vip("web")
    async with fleet.without("manager"):
        await acme.delete("web")
        await fleet.management.delete(LOAD_BALANCERS, uid, "tenant-acme")
        await fleet.management.delete(ADDRESS_CLAIMS, vip)
    await acme.until_gone("web")
    await acme.until_silent(key(vip, 8080))


async def test_FIN_8_a_namesake_is_another_load_balancer(acme: Tenant, fleet: Fleet) -> None:
    old_port, new_port = tcp(8080, next_node_port()), tcp(8081, next_node_port())
    await acme.listen(old_port, new_port)
    old = await acme.create("web", [old_port])
    vip = await acme.vip("web")
    async with reports_on(fleet, "acme", old) as reports:
        await acme.patch("web", {"spec": {"ports": [old_port | {"nodePort": next_node_port()}]}})
        await acme.until_heard(reports)
    async with fleet.without(WATCHER):
        await acme.delete("web")
        await acme.patch("web", {"metadata": {"finalizers": None}})
        new = await acme.create("web", [new_port])
    assert new != old
    await acme.until_served_by(key(await acme.vip("web"), 8081))

    async def is_forgotten() -> bool:
        return await fleet.load_balancer("acme", old) is None

    await eventually(is_forgotten, "the end of the old load balancer", acme.patience)
    await acme.until_silent(key(vip, 8080))
    before = await acme.get("web")
    for late in reports:
        await report(fleet, "acme", old, late)
    await acme.witness()
    assert await acme.get("web") == before


async def test_FIN_9_deleted_while_being_provisioned_nothing_is_left(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    async with fleet.without(PROGRAMMER):
        uid = await acme.create("web", [port])
        await eventually(lambda: _has_load_balancer(fleet, uid), "a load balancer on its way", acme.patience)
        (claim,) = await claims_of(fleet, uid)
        await acme.delete("web")
    await acme.until_gone("web")
    dialled = key(claim.spec.address, 8080)

    async def is_free() -> bool:
        return await claims_of(fleet, uid) == []

    async def is_forgotten() -> bool:
        return await observed_message(fleet, "acme", uid) is None

    await eventually(is_free, "the end of the claim", acme.patience)
    assert await fleet.load_balancer("acme", uid) is None
    assert await desired_message(fleet, dialled) is None
    await eventually(is_forgotten, "the end of the message", acme.patience)
    assert not (await acme.network.ask(dialled, seconds=2.0)).ok


async def test_FIN_10_a_deleted_namespace_ends(acme: Tenant) -> None:
    for number in range(3):
        await acme.create(f"web-{number}", [tcp(8080, next_node_port())])
    await acme.address("web-0")
    await acme.cluster.delete(NAMESPACES, acme.namespace)

    async def is_gone() -> bool:
        try:
            await acme.cluster.get(NAMESPACES, acme.namespace)
        except NotFound:
            return True
        return False

    await eventually(is_gone, "the end of the namespace", acme.patience)


async def test_FIN_11_without_the_hub_a_deletion_says_why_and_can_be_ended_by_hand(acme: Tenant, fleet: Fleet) -> None:
    uid = await acme.create("web", [tcp(8080, next_node_port())])
    address = await acme.address("web")
    async with fleet.without("nats"):
        await acme.delete("web")
        assert STANDARD in await acme.reason("web", PROVISIONED, "HubUnreachable")
        await acme.patch("web", {"metadata": {"finalizers": None}})
        await acme.until_gone("web")

    async def is_free() -> bool:
        return await claims_of(fleet, uid) == []

    await eventually(is_free, f"the release of {address} by the hub itself", acme.patience)
    assert await fleet.load_balancer("acme", uid) is None


async def test_FIN_12_the_same_wish_again_changes_nothing(acme: Tenant, fleet: Fleet, network: Network) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    uid = await acme.create("web", [port])
    vip = await acme.vip("web")
    await at_rest(fleet, "acme", uid)
    before = await _outside(acme, fleet, network, uid, vip)
    for number in range(10):
        labels = {"metadata": {"labels": {"number": str(number)}}}
        patched = await acme.cluster.patch(SERVICES, "web", labels, kind=PatchKind.MERGE, namespace=acme.namespace)
    for _ in range(3):
        await hear_everything_again(fleet, "acme")
    await acme.refused_witness()
    assert await _outside(acme, fleet, network, uid, vip) == before
    assert await acme.get("web") == patched


async def _outside(tenant: Tenant, fleet: Fleet, network: Network, uid: str, vip: str) -> tuple[object, ...]:
    """All that a Service has outside of its own cluster."""
    return (
        await fleet.load_balancer(tenant.name, uid),
        await fleet.claim(vip),
        await desired_message(fleet, key(vip, 8080)),
        await counters(fleet, PROGRAMMER, *network.write_counters),
    )


async def _has_load_balancer(fleet: Fleet, uid: str) -> bool:
    found = await fleet.load_balancer("acme", uid)
    return found is not None and bool(found.spec.addresses)
