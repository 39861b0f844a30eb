"""NPT, FAM, PRO and EXT: node ports, address families, protocols, and fields that are not ours."""

import asyncio
from collections.abc import Callable

import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import PROVISIONED
from fleetlb.kube.resources import Object
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.stage.backends import answering, until_answering
from tests.stage.hub import claims_of
from tests.stage.pools import pool_for
from tests.stage.tenants import DUAL, Tenant

BOTH = ("node-1", "node-2")
V4, V6 = Family.IPV4, Family.IPV6


async def test_NPT_1_without_node_ports_a_service_is_refused_with_a_reason(acme: Tenant, fleet: Fleet) -> None:
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}]
    uid = await acme.create("web", ports, allocateLoadBalancerNodePorts=False)
    message = await acme.reason("web", PROVISIONED, "Unsupported")
    assert "port 80 has no nodePort" in message
    assert "allocateLoadBalancerNodePorts" in message
    assert await claims_of(fleet, uid) == []
    number = next_node_port()
    await acme.listen(tcp(80, number))
    await acme.patch("web", {"spec": {"ports": [tcp(80, number)]}})
    await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)


async def test_NPT_2_node_ports_given_by_hand_are_used(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port], allocateLoadBalancerNodePorts=False)
    await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)


async def test_NPT_3_switching_allocation_off_keeps_node_ports_and_traffic(acme: Tenant) -> None:
    created = await acme.make("web", [{"name": "web", "port": 80, "protocol": "TCP"}])
    (allocated,) = created["spec"]["ports"]
    await acme.listen(allocated)
    web = key(await acme.vip("web"), 80)
    async with acme.network.conversation(web) as conversation:
        before = await conversation.ask()
        await acme.patch("web", {"spec": {"allocateLoadBalancerNodePorts": False}})
        await acme.witness()
        await acme.until_served_by(web, *BOTH)
        assert await conversation.ask() == before
    assert (await acme.get("web"))["spec"]["ports"] == [allocated]


@pytest.mark.parametrize("families", [(V4,), (V6,), (V4, V6), (V6, V4)], ids="-".join)
async def test_FAM_1_addresses_follow_ip_families(families: tuple[Family, ...], acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    policy = "SingleStack" if len(families) == 1 else "RequireDualStack"
    await acme.create("web", [port], ipFamilyPolicy=policy, ipFamilies=list(families))
    vips = await acme.vips("web")
    assert tuple(vips) == families
    for vip in vips.values():
        await acme.until_served_by(key(vip, 80), *BOTH)


async def test_FAM_2_prefer_dual_stack_takes_what_there_is_and_says_so(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    async with pool_for(fleet, acme, "four", acme.network.spare_addresses) as annotations:
        await acme.create("web", [port], annotations=annotations, ipFamilyPolicy="PreferDualStack")
        assert "IPv6" in await acme.reason("web", PROVISIONED, "Complete")
        await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)
    await acme.create("both", [port | {"nodePort": next_node_port()}], ipFamilyPolicy="PreferDualStack")
    await acme.until("both", lambda s: s is not None and len(s.status.load_balancer.ingress) == 2, "two addresses")


async def test_FAM_2_require_dual_stack_takes_both_or_none(acme: Tenant, fleet: Fleet) -> None:
    async with pool_for(fleet, acme, "four", acme.network.spare_addresses) as annotations:
        uid = await acme.create("web", [tcp(80, next_node_port())], annotations=annotations, **DUAL)
        assert "IPv6" in await acme.reason("web", PROVISIONED, "Unsupported")
        assert await claims_of(fleet, uid) == []
        service = acme.board.get("web")
        assert service is not None
        assert service.vip == ""


async def test_FAM_3_the_second_family_comes_and_goes_and_the_primary_address_stays(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    uid = await acme.create("web", [port], ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    primary = await acme.vip("web")

    async def shown(*families: Family) -> dict[Family, str]:
        def is_as_wanted(service: object) -> bool:
            found = acme.board.get("web")
            ingress = found.status.load_balancer.ingress if found else ()
            return [":" in each.ip for each in ingress] == [family is V6 for family in families]

        await acme.until("web", is_as_wanted, f"addresses of {families}")
        return await acme.vips("web")

    async with acme.network.conversation(key(primary, 80)) as conversation:
        before = await conversation.ask()
        await acme.patch("web", {"spec": DUAL})
        vips = await shown(V4, V6)
        assert vips[V4] == primary
        await acme.until_served_by(key(vips[V6], 80), *BOTH)
        assert await conversation.ask() == before
        await acme.patch("web", {"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}})
        assert await shown(V4) == {V4: primary}
        await acme.until_silent(key(vips[V6], 80))
        assert await conversation.ask() == before

    async def is_given_back() -> bool:
        return [claim.spec.address for claim in await claims_of(fleet, uid) if claim.spec.phase == "Bound"] == [primary]

    await eventually(is_given_back, "the end of the claim on the second address", acme.patience)


async def test_PRO_1_tcp_and_udp_on_one_port_number_of_one_address(acme: Tenant) -> None:
    number, other = next_node_port(), next_node_port()
    ports = [tcp(53, number), udp(53, number), tcp(80, other)]
    await acme.listen(*ports)
    await acme.create("dns", ports, **DUAL)
    for vip in (await acme.vips("dns")).values():
        for each in (key(vip, 53), key(vip, 53, Protocol.UDP), key(vip, 80)):
            await acme.until_served_by(each, *BOTH)


async def test_PRO_2_sctp_is_served_or_refused(acme: Tenant, refused: Callable[[str], None]) -> None:
    port = {"name": "s", "protocol": "SCTP", "port": 80, "nodePort": next_node_port()}
    if acme.network.engine is EngineName.ENVOY:
        await acme.create("web", [port])
        assert "SCTP" in await acme.reason("web", PROVISIONED, "Unsupported")
        await acme.until_event("web", "SyncLoadBalancerFailed")
        refused("Envoy carries no SCTP")
        return
    await acme.listen(port)
    await acme.create("web", [port])
    await acme.until_served_by(key(await acme.vip("web"), 80, Protocol.SCTP), *BOTH)


async def test_PRO_3_app_protocol_breaks_no_port(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port | {"appProtocol": "kubernetes.io/h2c"}])
    web = key(await acme.vip("web"), 80)
    async with acme.network.conversation(web) as conversation:
        before = await conversation.ask()
        for hint in ("https", "example.com/own", None):
            await acme.patch("web", {"spec": {"ports": [port | {"appProtocol": hint}]}})
            await acme.witness()
            await acme.until_served_by(web, *BOTH)
        assert await conversation.ask() == before


async def test_PRO_4_the_first_and_the_last_port(acme: Tenant) -> None:
    ports = [tcp(1, next_node_port()), tcp(65535, next_node_port()), udp(65535, next_node_port())]
    await acme.listen(*ports)
    await acme.create("web", ports)
    vip = await acme.vip("web")
    for each in (key(vip, 1), key(vip, 65535), key(vip, 65535, Protocol.UDP)):
        await acme.until_served_by(each, *BOTH)


async def test_PRO_4_a_hundred_ports_of_one_service(acme: Tenant) -> None:
    ports = [tcp(8000 + number, next_node_port()) for number in range(100)]
    await acme.listen(*ports)
    await acme.create("web", ports)
    vip = await acme.vip("web")
    await asyncio.gather(*(until_answering(acme, key(vip, port["port"])) for port in ports))
    await acme.patch("web", {"spec": {"ports": ports[:1]}})
    await acme.until_silent(key(vip, ports[-1]["port"]))
    assert await acme.vip("web") == vip
    assert await answering(acme, key(vip, ports[0]["port"])) == {*BOTH}


async def test_EXT_1_fields_that_are_not_ours_are_left_alone(acme: Tenant) -> None:
    port = tcp(80, next_node_port())
    fields: Object = {
        "externalIPs": ["192.0.2.77"],
        "trafficDistribution": "PreferSameZone",
        "internalTrafficPolicy": "Local",
    }
    await acme.listen(port)
    created = await acme.make("web", [port], **fields)
    await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)
    assert (await acme.get("web"))["spec"] == created["spec"]
    assert {name: created["spec"][name] for name in fields} == fields
    changed = {"externalIPs": None, "trafficDistribution": "PreferSameNode", "internalTrafficPolicy": "Cluster"}
    await acme.patch("web", {"spec": changed})
    wanted = (await acme.get("web"))["spec"]
    await acme.witness()
    await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)
    assert (await acme.get("web"))["spec"] == wanted
    assert [event for event in await acme.events("web") if event["type"] != "Normal"] == []
