"""SRC and AFF: who is let in, and who stays with which backend. Each client has an address of its own."""

import asyncio
from collections.abc import Iterable

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.errors import Invalid
from fleetlb.kube.fleet_objects import BALANCER_GROUPS
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.stage.backends import answering, until_answering
from tests.stage.hub import claims_of
from tests.stage.networks import Network
from tests.stage.pools import pool_for
from tests.stage.tenants import DUAL, Tenant

RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
BOTH = ("node-1", "node-2")
CLIENTS = range(4)


def only(network: Network, *clients: int) -> list[str]:
    """Networks of these clients alone."""
    return [
        f"{network.client(number, family)[1]}/{32 if family is Family.IPV4 else 128}"
        for number in clients
        for family in network.families
    ]


async def let_in(tenant: Tenant, keys: Iterable[VirtualServerKey], client: int) -> None:
    """Wait until a client is served under all of these."""
    for each in keys:
        await until_answering(tenant, each, client)


async def kept_out(tenant: Tenant, keys: Iterable[VirtualServerKey], client: int) -> None:
    """Wait until a client is not served any more, and fail if it is once more."""

    async def is_out() -> bool:
        answers = await asyncio.gather(*(tenant.network.ask(each, client, seconds=1.0) for each in keys))
        return not any(answer.ok for answer in answers)

    await eventually(is_out, f"client {client} kept out", tenant.patience)
    assert await is_out()


async def guarded(tenant: Tenant, *clients: int, protocols: str = "TCP") -> list[VirtualServerKey]:
    """A Service of every family, for these clients alone; what to dial, once it serves."""
    ports = [make(443, next_node_port()) for make in (tcp, udp) if make.__name__.upper() in protocols]
    await tenant.listen(*ports)
    await tenant.create("guarded", ports, loadBalancerSourceRanges=only(tenant.network, *clients), **DUAL)
    vips = await tenant.vips("guarded")
    return [key(vip, 443, Protocol(port["protocol"])) for vip in vips.values() for port in ports]


async def set_ranges(tenant: Tenant, *ranges: str) -> None:
    """Networks that are let in; without any, everybody."""
    await tenant.patch("guarded", {"spec": {"loadBalancerSourceRanges": list(ranges) or None}})


async def test_SRC_1_only_clients_in_the_listed_networks_get_through(acme: Tenant) -> None:
    keys = await guarded(acme, 0, 2, protocols="TCP UDP")
    for client in CLIENTS:
        await (let_in if client in (0, 2) else kept_out)(acme, keys, client)


async def test_SRC_2_changed_ranges_are_in_force_and_allowed_connections_go_on(acme: Tenant) -> None:
    keys = await guarded(acme, 0)
    async with acme.network.conversation(keys[0], 0) as conversation:
        before = await conversation.ask()
        await kept_out(acme, keys, 1)
        await set_ranges(acme, *only(acme.network, 0, 1))
        await let_in(acme, keys, 1)
        await kept_out(acme, keys, 2)
        await set_ranges(acme, *only(acme.network, 0))
        await kept_out(acme, keys, 1)
        assert await conversation.ask() == before
        await set_ranges(acme)
        for client in CLIENTS:
            await let_in(acme, keys, client)
        await set_ranges(acme, *only(acme.network, 0))
        await kept_out(acme, keys, 3)
        assert await conversation.ask() == before
    assert {each.address for each in keys} == {*(await acme.vips("guarded")).values()}


async def test_SRC_3_the_field_wins_over_its_annotation(acme: Tenant) -> None:
    keys = await guarded(acme, 0)
    listed = " ,  ".join(only(acme.network, 1))
    await acme.patch("guarded", {"metadata": {"annotations": {RANGES: f"  {listed} "}}})
    await acme.witness()
    await let_in(acme, keys, 0)
    await kept_out(acme, keys, 1)
    await set_ranges(acme)
    await let_in(acme, keys, 1)
    await kept_out(acme, keys, 0)
    await acme.patch("guarded", {"metadata": {"annotations": {RANGES: None}}})
    for client in CLIENTS:
        await let_in(acme, keys, client)


@pytest.mark.parametrize("wrong", ["10.0.0.0/99", "10.0.0/8", "everybody"])
async def test_SRC_4_the_api_server_refuses_an_invalid_network(wrong: str, acme: Tenant) -> None:
    await acme.create("guarded", [tcp(443, next_node_port())])
    with pytest.raises(Invalid, match=wrong):
        await set_ranges(acme, wrong)
    with pytest.raises(Invalid, match=wrong):
        await acme.patch("guarded", {"metadata": {"annotations": {RANGES: wrong}}})


async def test_SRC_4_ranges_that_are_refused_leave_the_rule_of_before(acme: Tenant) -> None:
    keys = await guarded(acme, 0)
    await kept_out(acme, keys, 1)
    await set_ranges(acme, *(f"192.0.2.{number}/32" for number in range(256)), *only(acme.network, 1))
    assert "loadBalancerSourceRanges" in await acme.reason("guarded", PROVISIONED, "Unsupported")
    event = await acme.until_event("guarded", "SyncLoadBalancerFailed")
    assert event["type"] == "Warning"
    await acme.witness()
    await let_in(acme, keys, 0)
    await kept_out(acme, keys, 1)


async def test_SRC_5_a_data_plane_that_cannot_filter_refuses(acme: Tenant, fleet: Fleet) -> None:
    """A balancer node of another group says that it cannot."""
    engine = acme.network.engine
    spec = BalancerGroupSpec(engine=engine, nodes=("plain-1",))
    await fleet.management.apply(BALANCER_GROUPS, BalancerGroup(metadata=ObjectMeta(name="plain"), spec=spec))
    said = NodeRealized(node="plain-1", group="plain", engine=engine, capabilities=("tcp", "udp"), ready=True)
    async with fleet.hub_bus() as bus:

        async def is_said() -> bool:
            try:
                await bus.publish(subjects.realized_node("plain", "plain-1"), codec.encode(said), message_id="plain-1")
            except Transient:  # the group's stream is not there yet
                return False
            return "plain-1" in {
                node.name for node in (await fleet.management.get(BALANCER_GROUPS, "plain")).status.nodes if node.ready
            }

        await eventually(is_said, "a node that cannot filter", acme.patience)
    async with pool_for(fleet, acme, "plain", acme.network.spare_addresses, group="plain") as annotations:
        port, ranges = tcp(443, next_node_port()), only(acme.network, 0)
        uid = await acme.create("guarded", [port], annotations=annotations, loadBalancerSourceRanges=ranges)
        assert "loadBalancerSourceRanges" in await acme.reason("guarded", PROVISIONED, "Unsupported")
        assert await claims_of(fleet, uid) == []
    await fleet.management.delete(BALANCER_GROUPS, "plain")


async def test_SRC_6_the_filter_sees_the_clients_own_address(acme: Tenant) -> None:
    """Backends see the balancer's address; the filter must not."""
    keys = await guarded(acme, 0)
    await let_in(acme, keys, 0)
    answers = [await acme.network.ask(each) for each in keys for _ in range(6)]
    seen = {answer.text.rpartition(" ")[2] for answer in answers}
    assert seen.isdisjoint(acme.network.client(0, family)[1] for family in acme.network.families)
    await set_ranges(acme, *(f"{address}/{128 if ':' in address else 32}" for address in sorted(seen)))
    await kept_out(acme, keys, 0)
    await set_ranges(acme, *only(acme.network, 0))
    await let_in(acme, keys, 0)


async def sticky(tenant: Tenant, **spec: object) -> VirtualServerKey:
    """A Service with affinity, or with what else is given; what to dial, once it serves."""
    port = tcp(80, next_node_port())
    await tenant.listen(port)
    await tenant.create("sticky", [port], **({"sessionAffinity": "ClientIP"} | spec))
    return key(await tenant.vip("sticky"), 80)


async def homes(tenant: Tenant, service: VirtualServerKey) -> list[str]:
    """The node of each client, which must be one."""
    found = [await answering(tenant, service, client, times=6) for client in CLIENTS]
    assert all(len(nodes) == 1 and nodes < {*BOTH} for nodes in found), found
    return [node for (node,) in found]


async def until_sticky(tenant: Tenant, service: VirtualServerKey, client: int = 0) -> None:
    """Wait until one node alone answers a client."""

    async def is_sticky() -> bool:
        return len(await answering(tenant, service, client)) == 1

    await eventually(is_sticky, f"client {client} always on one node", tenant.patience)


async def test_AFF_1_a_client_keeps_its_backend(acme: Tenant, fleet: Fleet) -> None:
    service = await sticky(acme)
    before = await homes(acme, service)
    await acme.witness()
    assert await homes(acme, service) == before
    uid = (await acme.get("sticky"))["metadata"]["uid"]
    item = await fleet.load_balancer("acme", uid)
    assert item is not None
    assert item.spec.service.affinity_seconds == 10800


async def test_AFF_1_timeouts_reach_from_a_second_to_a_day(acme: Tenant, fleet: Fleet) -> None:
    for seconds in (1, 86400):
        port, config = tcp(80, next_node_port()), {"clientIP": {"timeoutSeconds": seconds}}
        await acme.listen(port)
        uid = await acme.create(f"s{seconds}", [port], sessionAffinity="ClientIP", sessionAffinityConfig=config)
        await until_answering(acme, key(await acme.vip(f"s{seconds}"), 80))
        item = await fleet.load_balancer("acme", uid)
        assert item is not None
        assert item.spec.service.affinity_seconds == seconds
    for seconds in (0, 86401):
        with pytest.raises(Invalid, match="timeoutSeconds"):
            await sticky(acme, sessionAffinityConfig={"clientIP": {"timeoutSeconds": seconds}})


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
async def test_AFF_2_affinity_is_switched_on_and_off_live(policy: str, acme: Tenant) -> None:
    await acme.endpoints("sticky", dict.fromkeys(BOTH, True))
    service = await sticky(acme, sessionAffinity="None", externalTrafficPolicy=policy)
    await acme.until_served_by(service, *BOTH)
    await acme.patch("sticky", {"spec": {"sessionAffinity": "ClientIP"}})
    await until_sticky(acme, service)
    await homes(acme, service)
    await acme.patch("sticky", {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}})
    await acme.until_served_by(service, *BOTH)
    assert await acme.vip("sticky") == service.address


async def test_AFF_3_when_a_backend_goes_its_clients_move_and_nobody_else(acme: Tenant) -> None:
    service = await sticky(acme)
    before = await homes(acme, service)
    gone = before[0]
    left = next(node for node in BOTH if node != gone)
    await acme.remove_node(gone)
    await acme.until_served_by(service, left)
    assert await homes(acme, service) == [left] * len(CLIENTS)
    await acme.add_node(gone)
    await acme.witness()
    for client, home in enumerate(before):
        if home == left:
            assert await answering(acme, service, client) == {left}
