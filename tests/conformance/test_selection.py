"""SEL: which Services are ours. A Service that is not is the same object at the end as when it was created."""

from tests.conformance.traces import untouched
from tests.e2e.fleet import Fleet, key, next_node_port, tcp
from tests.stage.tenants import Tenant

WATCHER = "tenant-watcher/acme"


async def test_SEL_1_other_types_are_left_alone(acme: Tenant, fleet: Fleet) -> None:
    port = {"port": 8080, "protocol": "TCP"}
    created = [
        await acme.make("cluster-ip", [port], type="ClusterIP"),
        await acme.make("node-port", [tcp(8080, next_node_port())], type="NodePort"),
        await acme.make("headless", [port], type="ClusterIP", clusterIP="None"),
        await acme.make("external-name", [port], type="ExternalName", externalName="example.com"),
    ]
    await acme.witness()
    for service in created:
        await untouched(acme, fleet, service)


async def test_SEL_2_a_service_of_another_class_is_left_alone(acme: Tenant, fleet: Fleet) -> None:
    classes = ["example.com/other", "fleetlb.dev/lb"]
    created = [
        await acme.make(f"other-{number}", [tcp(8080, next_node_port())], loadBalancerClass=name)
        for number, name in enumerate(classes)
    ]
    await acme.witness()
    for service in created:
        await untouched(acme, fleet, service)


async def test_SEL_5_a_type_changed_away_is_recognised_and_cleaned_up(acme: Tenant, fleet: Fleet) -> None:
    uid = await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    await acme.patch("web", {"spec": {"type": "ClusterIP"}})
    await acme.until_let_go("web")
    assert await fleet.load_balancer("acme", uid) is None


async def test_SEL_6_a_service_from_before_the_watcher_is_served(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    async with fleet.without(WATCHER):
        await acme.create("web", [port])
    await acme.until_served_by(key(await acme.vip("web"), 8080))


async def test_SEL_7_what_ended_while_the_watcher_was_away_is_cleaned_up(acme: Tenant, fleet: Fleet) -> None:
    uids = [await acme.create(name, [tcp(8080, next_node_port())]) for name in ("deleted", "changed")]
    for name in ("deleted", "changed"):
        await acme.address(name)
    async with fleet.without(WATCHER):
        await acme.delete("deleted")
        await acme.patch("changed", {"spec": {"type": "ClusterIP"}})
    await acme.until_gone("deleted")
    await acme.until_let_go("changed")
    assert [await fleet.load_balancer("acme", uid) for uid in uids] == [None, None]
