"""The whole path: a Service gets an address, carries bytes, changes, and leaves nothing behind."""

import asyncio

import pytest

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.resources import NODES
from fleetlb.testkit.echo import ask_tcp
from fleetlb_cli.demo.dialling import dial, dial_until_answered, dial_until_refused
from tests.e2e.fleet import Fleet, TenantCluster, eventually, key, next_node_port, tcp, udp

pytestmark = pytest.mark.e2e


async def test_same_name_in_two_tenants_two_addresses_each_its_own_bytes(
    acme: TenantCluster, globex: TenantCluster
) -> None:
    t, u = next_node_port(), next_node_port()
    for tenant in (acme, globex):
        await tenant.serve(tcp=(t,), udp=(u,))
        await tenant.create("web", [tcp(8080, t), udp(8080, u)])
    addresses = {}
    for tenant in (acme, globex):
        addresses[tenant.name] = await tenant.serving("web")
        for protocol in (Protocol.TCP, Protocol.UDP):
            answer = await dial(key(addresses[tenant.name], 8080, protocol))
            assert answer.text.startswith(f"{tenant.name} "), answer
    assert addresses["acme"] != addresses["globex"]


async def test_both_conditions_and_events_tell_the_truth(acme: TenantCluster) -> None:
    port = next_node_port()
    backends = await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    status = (await acme.get("web"))["status"]
    by_type = {condition["type"]: condition for condition in status["conditions"]}
    assert by_type[PROVISIONED]["status"] == by_type[SERVING]["status"] == "True"
    assert status["loadBalancer"]["ingress"] == [{"ip": address, "ipMode": "Proxy"}]

    async def ensured() -> bool:
        return any(event["reason"] == "EnsuredLoadBalancer" for event in await acme.events("web"))

    await eventually(ensured, "the Event EnsuredLoadBalancer")
    await backends.close()
    assert await acme.reason("web", SERVING, "ProbeUnanswered")
    assert await acme.address("web") == address, "a dead backend must not cost the address"


async def test_a_port_is_added_and_removed_and_the_address_stays(acme: TenantCluster) -> None:
    one, two = next_node_port(), next_node_port()
    await acme.serve(tcp=(one, two))
    await acme.create("web", [tcp(8080, one)])
    address = await acme.serving("web")
    await acme.patch("web", {"spec": {"ports": [tcp(8080, one), tcp(8443, two)]}})
    assert (await dial_until_answered(key(address, 8443), 10)).ok
    await acme.patch("web", {"spec": {"ports": [tcp(8443, two)]}})
    assert (await dial_until_refused(key(address, 8080), 10)).failure == "Connection refused"
    assert (await dial(key(address, 8443))).ok
    assert await acme.serving("web") == address


async def test_SRC_1_SRC_2_source_ranges_let_in_whom_they_name_and_a_live_change_counts(acme: TenantCluster) -> None:
    """The node is in none of them, and still finds out that the backend answers."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)], loadBalancerSourceRanges=["127.9.0.0/16"])
    address = await acme.serving("web")
    inside, outside = "127.9.0.1", "127.0.0.1"

    async def lets_in(*admitted: str) -> bool:
        answers = {client: await ask_tcp(address, 8080, source=client) for client in (inside, outside)}
        return {client for client, answer in answers.items() if answer.startswith("acme ")} == {*admitted}

    assert await lets_in(inside)
    await acme.patch("web", {"spec": {"loadBalancerSourceRanges": [f"{outside}/32"]}})
    await eventually(lambda: lets_in(outside), "the other range")
    await acme.patch("web", {"spec": {"loadBalancerSourceRanges": None}})
    await eventually(lambda: lets_in(inside, outside), "everybody to get in")


async def test_deletion_closes_the_port_frees_the_address_and_only_then_lets_the_service_go(
    acme: TenantCluster, fleet: Fleet
) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    claim = await fleet.claim(address)
    assert claim is not None
    assert claim.spec.owner.service_uid == uid
    await acme.delete("web")
    await acme.until("web", lambda service: service is None, "the Service's end")
    assert (await dial(key(address, 8080))).failure == "Connection refused", "the finalizer went before the port"
    assert await fleet.load_balancer("acme", uid) is None, "the finalizer went before the hub's object"
    claim = await fleet.claim(address)
    assert claim is None or claim.spec.phase == "Quarantined"

    async def freed() -> bool:
        return await fleet.claim(address) is None

    await eventually(freed, "the end of the claim after quarantine")


async def test_type_changed_away_is_the_same_and_back_again_serves(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    await acme.patch("web", {"spec": {"type": "NodePort"}})
    assert (await dial_until_refused(key(address, 8080), 10)).failure == "Connection refused"

    async def let_go() -> bool:
        service = await acme.get("web")
        left = [c for c in service["status"].get("conditions", []) if c["type"].startswith("fleetlb.dev/")]
        return not service["metadata"].get("finalizers") and not left

    await eventually(let_go, "finalizer and conditions gone")
    assert await fleet.load_balancer("acme", uid) is None
    await acme.patch("web", {"spec": {"type": "LoadBalancer"}})
    assert (await dial_until_answered(key(await acme.serving("web"), 8080), 10)).ok


async def test_other_types_and_classes_are_left_alone(acme: TenantCluster, fleet: Fleet) -> None:
    port = next_node_port()
    await acme.create("plain", [tcp(8080, port)], type="NodePort")
    await acme.create("foreign", [tcp(8081, next_node_port())], loadBalancerClass="example.com/other")
    witness = next_node_port()
    await acme.serve(tcp=(witness,))
    await acme.create("ours", [tcp(8082, witness)])
    await acme.serving("ours")
    for name in ("plain", "foreign"):
        service = await acme.get(name)
        assert not service["metadata"].get("finalizers")
        assert service["status"] == {"loadBalancer": {}}
        assert await acme.events(name) == []


async def test_endpoints_decide_and_an_address_without_backend_stands(acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.endpoints("web", {"node-1": False})
    await acme.create("web", [tcp(8080, port)])
    address = await acme.address("web")
    assert await acme.reason("web", SERVING, "NoReadyBackend")
    await acme.endpoints("web", {"node-1": True})
    assert await acme.serving("web") == address
    assert (await dial_until_answered(key(address, 8080), 10)).ok


async def test_policy_local_uses_only_nodes_with_a_ready_endpoint(acme: TenantCluster) -> None:
    port, health = next_node_port(), next_node_port()
    await acme.serve(tcp=(port,), health=(health,))
    await acme.endpoints("web", {"node-2": True})
    await acme.create("web", [tcp(8080, port)], externalTrafficPolicy="Local", healthCheckNodePort=health)
    address = await acme.serving("web")
    answers = {(await dial(key(address, 8080))).text for _ in range(20)}
    assert answers == {"acme node-2"}


async def test_ETP_4_a_node_that_says_no_at_its_health_check_port_gets_no_new_connections(acme: TenantCluster) -> None:
    port, health = next_node_port(), next_node_port()
    nodes = await acme.serve(tcp=(port,), health=(health,))
    await acme.endpoints("web", {"node-1": True, "node-2": True})
    await acme.create("web", [tcp(8080, port)], externalTrafficPolicy="Local", healthCheckNodePort=health)
    address = await acme.serving("web")

    async def answered_by(*names: str) -> bool:
        return {(await dial(key(address, 8080))).text for _ in range(20)} == {f"acme {name}" for name in names}

    await eventually(lambda: answered_by("node-1", "node-2"), "both nodes")
    nodes.unwell.add("acme node-1")
    await eventually(lambda: answered_by("node-2"), "the other node alone")
    nodes.unwell.clear()
    await eventually(lambda: answered_by("node-1", "node-2"), "both nodes again")


async def test_a_live_connection_does_not_notice_another_services_changes(acme: TenantCluster) -> None:
    one = next_node_port()
    busy = [next_node_port() for _ in range(3)]
    await acme.serve(tcp=(one, *busy))
    await acme.create("calm", [tcp(8080, one)])
    reader, writer = await asyncio.open_connection(await acme.serving("calm"), 8080)
    for round_, port in enumerate(busy):
        await acme.create("busy", [tcp(8081, port)])
        await acme.serving("busy")
        await acme.delete("busy")
        await acme.until("busy", lambda service: service is None, "its end")
        writer.write(b"still there?\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"acme "), f"round {round_}"
    writer.close()


async def test_a_label_keeps_a_node_out(acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    label = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}
    await acme.cluster.patch(NODES, "node-1", label, kind=PatchKind.MERGE)

    async def only_the_other() -> bool:
        return {(await dial(key(address, 8080))).text for _ in range(10)} == {"acme node-2"}

    await eventually(only_the_other, "traffic to node-2 alone")
    back: dict[str, object] = {
        "metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": None}}
    }
    await acme.cluster.patch(NODES, "node-1", back, kind=PatchKind.MERGE)
