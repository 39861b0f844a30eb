"""UPD: every change of a Service that matters is carried out, and nothing else is touched."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.domain.services import TenantService
from fleetlb.kube.resources import SERVICES, Object
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp
from tests.stage.hub import PROGRAMMER, at_rest, counters, desired_message, forget_observed
from tests.stage.networks import Network
from tests.stage.policies import refusing
from tests.stage.tenants import DUAL, Tenant

WATCHER = "tenant-watcher/acme"
STATUS_OF_WEB = "object.metadata.name == 'web' && request.subResource == 'status'"

MOVED, ADDED = next_node_port(), next_node_port()
Wanted = Callable[[TenantService], bool]
CHANGES: dict[str, tuple[Callable[[Object], Object], Wanted]] = {
    "port": (
        lambda port: {"ports": [port | {"port": 9090}]},
        lambda wish: [each.port for each in wish.ports] == [9090],
    ),
    "node port": (
        lambda port: {"ports": [port | {"nodePort": MOVED}]},
        lambda wish: wish.ports[0].node_port == MOVED,
    ),
    "protocol": (
        lambda port: {"ports": [port | {"protocol": "UDP"}]},
        lambda wish: wish.ports[0].protocol is Protocol.UDP,
    ),
    "name of a port": (
        lambda port: {"ports": [port | {"name": "other"}]},
        lambda wish: wish.ports[0].name == "other",
    ),
    "number of ports": (
        lambda port: {"ports": [port, tcp(8081, ADDED)]},
        lambda wish: len(wish.ports) == 2,
    ),
    "affinity": (
        lambda port: {"sessionAffinity": "ClientIP"},
        lambda wish: wish.affinity_seconds == 10800,
    ),
    "timeout of affinity": (
        lambda port: {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 77}}},
        lambda wish: wish.affinity_seconds == 77,
    ),
    "traffic policy": (
        lambda port: {"externalTrafficPolicy": "Local", "healthCheckNodePort": next_node_port()},
        lambda wish: wish.external_traffic_policy == "Local",
    ),
}
"""What is done to a Service, given its port; and what the hub then knows."""


@pytest.fixture
def one() -> Object:
    """A port with a node port of the test's own."""
    return tcp(8080, next_node_port())


@pytest.fixture
def two() -> Object:
    """Another."""
    return tcp(8081, next_node_port())


@pytest.mark.parametrize("change", CHANGES)
async def test_UPD_1_a_change_is_carried_out(change: str, acme: Tenant, fleet: Fleet, one: Object) -> None:
    changed, is_wanted = CHANGES[change]
    uid = await acme.create("web", [one])
    await acme.settled("web")
    await acme.patch("web", {"spec": changed(one)})
    await _until_wished(acme, fleet, uid, is_wanted)


async def test_UPD_1_the_number_of_families(acme: Tenant, fleet: Fleet, network: Network, one: Object) -> None:
    uid = await acme.create("web", [one])
    await acme.address("web")
    await acme.patch("web", {"spec": DUAL})
    if len(network.families) == 2:
        await _until_wished(acme, fleet, uid, lambda wish: wish.ip_families == (Family.IPV4, Family.IPV6))
    else:
        await acme.reason("web", PROVISIONED, "Unsupported")


async def test_UPD_1_addresses_asked_for_and_annotations(acme: Tenant, fleet: Fleet, one: Object) -> None:
    uid = await acme.create("web", [one])
    vip = await acme.address("web")
    await acme.patch("web", {"spec": {"loadBalancerIP": vip}})
    await _until_wished(acme, fleet, uid, lambda wish: wish.addresses == (vip,))
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/scheduler": "rr"}}})
    await _until_wished(acme, fleet, uid, lambda wish: wish.scheduler == "rr")
    assert await acme.address("web") == vip


async def test_UPD_1_source_ranges(acme: Tenant, fleet: Fleet, network: Network, one: Object) -> None:
    uid = await acme.create("web", [one])
    await acme.address("web")
    await acme.patch("web", {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}})

    async def is_answered() -> bool:
        item = await fleet.load_balancer("acme", uid)
        assert item is not None
        refused = item.spec.refusal is not None and "loadBalancerSourceRanges" in item.spec.refusal.message
        return item.spec.service.source_ranges == ("192.0.2.0/24",) or refused

    await eventually(is_answered, "an answer to source ranges", acme.patience)


async def test_UPD_1_what_has_no_meaning_to_a_balancer_leaves_it_provisioned(
    acme: Tenant, fleet: Fleet, one: Object
) -> None:
    await acme.listen(one)
    uid = await acme.create("web", [one])
    vip = await acme.vip("web")
    port = one | {"targetPort": 9999, "appProtocol": "kubernetes.io/h2c"}
    await acme.patch("web", {"spec": {"ports": [port], "externalIPs": ["192.0.2.77"]}})
    await acme.witness()
    await at_rest(fleet, "acme", uid)
    assert await acme.vip("web") == vip
    await acme.until_served_by(key(vip, 8080))


async def _until_wished(tenant: Tenant, fleet: Fleet, uid: str, is_wanted: Wanted) -> None:
    async def is_wished() -> bool:
        item = await fleet.load_balancer(tenant.name, uid)
        return item is not None and item.spec.refusal is None and is_wanted(item.spec.service)

    await eventually(is_wished, "the change in the hub", tenant.patience)
    await tenant.until("web", lambda service: service is not None and bool(service.vip), "an address")
    await tenant.reason("web", PROVISIONED, "Complete")
    await at_rest(fleet, tenant.name, uid)


async def test_UPD_2_what_does_not_matter_does_not_touch_the_data_plane(
    acme: Tenant, fleet: Fleet, network: Network, one: Object
) -> None:
    await acme.listen(one)
    await acme.endpoints("web", {"node-1": True, "node-2": True})
    uid = await acme.create("web", [one], selector={"app": "nobody"})
    vip = await acme.vip("web")
    await at_rest(fleet, "acme", uid)

    async def outside() -> tuple[object, ...]:
        written = await counters(fleet, PROGRAMMER, *network.write_counters)
        return await desired_message(fleet, key(vip, 8080)), await fleet.load_balancer("acme", uid), written

    before = await outside()
    theirs = {"type": "example.com/Other", "status": "True", "reason": "Theirs", "message": ""}
    theirs |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    kept = (await acme.get("web"))["status"]["conditions"]
    await acme.patch("web", {"metadata": {"labels": {"app": "web"}, "annotations": {"example.com/note": "x"}}})
    await acme.patch("web", {"spec": {"selector": {"app": "nobody-either"}}})
    await acme.patch("web", {"status": {"conditions": [*kept, theirs]}}, "status")
    await acme.cluster.apply(
        SERVICES,
        {"metadata": {"name": "web", "namespace": acme.namespace, "labels": {"applied": "yes"}}},
        field_manager="somebody",
    )
    await acme.refused_witness()
    assert await outside() == before


async def test_UPD_3_a_port_comes_and_goes_and_others_do_not_notice(
    acme: Tenant, network: Network, one: Object, two: Object
) -> None:
    await acme.listen(one, two)
    await acme.create("web", [one])
    vip = await acme.vip("web")
    async with network.conversation(key(vip, 8080)) as conversation:
        before = await conversation.ask()
        await acme.patch("web", {"spec": {"ports": [one, two]}})
        await acme.until_served_by(key(vip, 8081))
        assert await conversation.ask() == before
        await acme.patch("web", {"spec": {"ports": [one]}})
        await acme.until_refused(key(vip, 8081))
        assert await conversation.ask() == before


async def test_UPD_4_another_node_port_keeps_the_address(acme: Tenant, one: Object) -> None:
    other = next_node_port()
    await acme.listen(one)
    await acme.listen(one | {"nodePort": other}, called="moved ")
    await acme.create("web", [one])
    vip = await acme.vip("web")
    await acme.until_served_by(key(vip, 8080))
    await acme.patch("web", {"spec": {"ports": [one | {"nodePort": other}]}})
    await acme.until_served_by(key(vip, 8080), "moved node-1", "moved node-2")
    assert await acme.vip("web") == vip


async def test_UPD_5_another_port_keeps_the_address(acme: Tenant, one: Object) -> None:
    await acme.listen(one)
    await acme.create("web", [one])
    vip = await acme.vip("web")
    await acme.until_served_by(key(vip, 8080))
    await acme.patch("web", {"spec": {"ports": [one | {"port": 9090}]}})
    await acme.until_served_by(key(vip, 9090))
    await acme.until_refused(key(vip, 8080))
    assert await acme.vip("web") == vip


async def test_UPD_6_back_to_cluster_ip_nobody_answers(acme: Tenant, fleet: Fleet, one: Object) -> None:
    await acme.listen(one)
    uid = await acme.create("web", [one])
    vip = await acme.vip("web")
    await acme.until_served_by(key(vip, 8080))
    await acme.patch("web", {"spec": {"type": "ClusterIP"}})
    await acme.until_let_go("web")
    assert not (await acme.network.ask(key(vip, 8080), seconds=2.0)).ok
    assert await fleet.load_balancer("acme", uid) is None


async def test_UPD_7_a_failure_is_tried_again_ever_later_and_success_starts_anew(
    acme: Tenant, fleet: Fleet, one: Object
) -> None:
    await acme.listen(one)
    await acme.create("web", [one])
    await acme.serving("web")
    pauses = []
    for is_ready, reason in ((False, "NoReadyBackend"), (True, "ProbeAnswered")):
        async with refusing(acme.cluster, acme.namespace, STATUS_OF_WEB):
            await acme.endpoints("web", {"node-1": is_ready})
            pauses.append(await _pauses(fleet, attempts=7))
        await acme.reason("web", SERVING, reason)
    assert all(sum(some[-2:]) > 2 * sum(some[:2]) for some in pauses), pauses
    assert pauses[1][0] < pauses[0][-1], pauses


async def _pauses(fleet: Fleet, attempts: int) -> list[float]:
    """Seconds between failures of the watcher."""
    times: list[float] = []
    known = await _failures(fleet)

    async def enough() -> bool:
        if await _failures(fleet) >= known + len(times) + 1:
            times.append(time.monotonic())
        return len(times) >= attempts

    await eventually(enough, f"{attempts} failures", 60.0)
    return [later - earlier for earlier, later in pairwise(times)]


async def _failures(fleet: Fleet) -> float:
    name = "workqueue_retries_total"
    return (await counters(fleet, WATCHER, name))[name]


async def test_UPD_8_one_that_fails_delays_nobody(acme: Tenant, one: Object) -> None:
    ports = [tcp(8080, next_node_port()) for _ in range(5)]
    await acme.listen(*ports)
    async with refusing(acme.cluster, acme.namespace, STATUS_OF_WEB):
        await acme.create("web", [one])
        for number, port in enumerate(ports):
            await acme.create(f"other-{number}", [port])
        for number in range(len(ports)):
            await acme.until_served_by(key(await acme.vip(f"other-{number}"), 8080))
        assert (await acme.get("web"))["status"] == {"loadBalancer": {}}
    await acme.address("web")


async def test_UPD_9_a_lost_message_is_made_up_for(acme: Tenant, fleet: Fleet, one: Object) -> None:
    await acme.listen(one)
    async with fleet.without("manager"):
        uid = await acme.create("web", [one])
        await acme.reason("web", PROVISIONED, "InProgress")
        await forget_observed(fleet, "acme", uid)
    await acme.until_served_by(key(await acme.vip("web"), 8080))


async def test_UPD_10_many_quick_edits_end_in_the_last(acme: Tenant, one: Object) -> None:
    await acme.listen(one)
    await acme.create("web", [one])
    vip = await acme.vip("web")
    for number in range(1, 21):
        await acme.patch("web", {"spec": {"ports": [one | {"port": 9000 + number}]}})
    await acme.until_served_by(key(vip, 9020))
    await acme.until_refused(key(vip, 9019))
    await acme.until_refused(key(vip, 8080))
    assert await acme.vip("web") == vip
