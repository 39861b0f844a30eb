"""A Service's whole way on the kernel: made, changed, taken away, with packets from a client at every step."""

import asyncio

import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING
from tests.e2e.fleet import Fleet, key, next_node_port, tcp, udp
from tests.e2e_ipvs.tables import Tables
from tests.stage.site import POOL, Site
from tests.stage.tenants import DUAL, Tenant


async def test_two_tenants_with_both_families_and_both_protocols_on_one_port(
    acme: Tenant, globex: Tenant, fleet: Fleet, tables: Tables
) -> None:
    assert fleet.environment.groups["default"].engine == "ipvs"
    assert fleet.environment.pools["default"].cidr6 == POOL[Family.IPV6]
    node_port = next_node_port()  # the same for both tenants: only addresses keep them apart
    ports = [tcp(80, node_port), udp(80, node_port)]
    for tenant in (acme, globex):
        await tenant.listen(*ports)
        await tenant.create("web", ports, **DUAL)
    for tenant in (acme, globex):
        vips = await tenant.vips("web")
        assert vips.keys() == {Family.IPV4, Family.IPV6}
        for family, vip in vips.items():
            for protocol in (Protocol.TCP, Protocol.UDP):
                await tenant.until_answered(key(vip, 80, protocol), tenant.answers(family))
                assert tables.schedules(key(vip, 80, protocol))
        status = (await tenant.get("web"))["status"]
        assert {entry["ipMode"] for entry in status["loadBalancer"]["ingress"]} == {"VIP"}
        assert {each["type"]: each["status"] for each in status["conditions"]} == {PROVISIONED: "True", SERVING: "True"}


@pytest.mark.parametrize("family", Family)
async def test_changed_and_taken_away(family: Family, acme: Tenant, site: Site, tables: Tables, fleet: Fleet) -> None:
    first, second = next_node_port(), next_node_port()
    ports = [tcp(8080, first), tcp(8081, second), udp(8081, second)]
    await acme.listen(*ports)
    await acme.create("web", ports[:1], ipFamilyPolicy="SingleStack", ipFamilies=[family])
    vip = await acme.vip("web")
    old, new, datagrams = key(vip, 8080), key(vip, 8081), key(vip, 8081, Protocol.UDP)
    await acme.until_answered(old, acme.answers(family))
    assert (await site.ask(new)).failure == "Connection refused"

    await acme.patch("web", {"spec": {"ports": ports[1:]}})
    await acme.until_answered(new, acme.answers(family))
    await acme.until_answered(datagrams, acme.answers(family))
    await acme.until_refused(old)
    assert await acme.vip("web") == vip

    await acme.remove_node("node-1")
    await acme.until_answered(new, acme.answers(family, ["node-2"]))
    await acme.until_answered(datagrams, acme.answers(family, ["node-2"]))
    await acme.add_node("node-1")
    await acme.until_answered(new, acme.answers(family))

    await acme.delete("web")
    await acme.until("web", lambda service: service is None, "the end of the Service, finalizer and all")
    assert not tables.holds(vip)
    for gone in (new, datagrams):
        assert not (await site.ask(gone, seconds=1.0)).ok
    claim = await fleet.claim(vip)
    assert claim is None or claim.spec.phase != "Bound"


async def test_P1_the_kernel_holds_what_is_claimed_and_what_is_foreign_and_nothing_else(
    acme: Tenant, globex: Tenant, tables: Tables, foreign: tuple[str, ...]
) -> None:
    node_port, another = next_node_port(), next_node_port()
    await acme.listen(tcp(80, node_port))
    await acme.create("one", [tcp(80, node_port)])
    await globex.create("two", [tcp(80, node_port), udp(53, another)])
    wanted = {(await acme.address("one"), "-t", 80)}
    wanted |= {(await globex.address("two"), "-t", 80), (await globex.address("two"), "-u", 53)}
    await acme.serving("one")
    others = [line for line in tables.ipvs() if line not in foreign]
    services = {tuple(line.split()[1:3]) for line in others if line.startswith("-A ")}
    assert services == {(option, f"{vip}:{port}") for vip, option, port in wanted}
    for tenant, service in ((acme, "one"), (globex, "two")):
        await tenant.delete(service)
        await tenant.until(service, lambda found: found is None, "its end")
    assert set(tables.ipvs()) <= set(foreign)


async def test_source_ranges_let_in_whom_they_name(acme: Tenant, site: Site) -> None:
    node_port = next_node_port()
    ports = [tcp(443, node_port), udp(443, node_port)]
    await acme.listen(*ports)
    ranges = ["10.10.0.2/32", "fd10::2/128"]
    await acme.create("guarded", ports, loadBalancerSourceRanges=ranges, **DUAL)
    vips = await acme.vips("guarded")
    keys = [
        (family, key(vip, 443, protocol)) for family, vip in vips.items() for protocol in Protocol if protocol != "SCTP"
    ]
    for family, guarded in keys:
        await acme.until_answered(guarded, acme.answers(family), client=0)
    strangers = await asyncio.gather(*(site.ask(guarded, client=1, seconds=2.0) for _, guarded in keys))
    assert not any(answer.ok for answer in strangers)

    await acme.patch("guarded", {"spec": {"loadBalancerSourceRanges": ["10.10.0.3/32", "fd10::3/128"]}})
    for family, guarded in keys:
        await acme.until_answered(guarded, acme.answers(family), client=1)
    strangers = await asyncio.gather(*(site.ask(guarded, client=0, seconds=2.0) for _, guarded in keys))
    assert not any(answer.ok for answer in strangers)

    await acme.patch("guarded", {"spec": {"loadBalancerSourceRanges": None}})
    for family, guarded in keys:
        await acme.until_answered(guarded, acme.answers(family), client=0)


async def test_session_affinity_keeps_a_client_with_its_node(acme: Tenant, site: Site, tables: Tables) -> None:
    node_port = next_node_port()
    await acme.listen(tcp(80, node_port))
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}
    await acme.create("sticky", [tcp(80, node_port)], **affinity, **DUAL)
    for family, vip in (await acme.vips("sticky")).items():
        sticky = key(vip, 80)
        assert "-p 600" in tables.schedules(sticky)
        for client in range(4):
            answers = {(await site.ask(sticky, client)).text for _ in range(6)}
            assert len(answers) == 1, f"client {client} was answered by {answers}"
            assert answers < acme.answers(family)
    await acme.patch("sticky", {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}})
    await acme.until_answered(sticky, acme.answers(family))


async def test_an_open_connection_survives_the_change_of_another_service(acme: Tenant, site: Site) -> None:
    one, other = next_node_port(), next_node_port()
    await acme.listen(tcp(80, one), tcp(80, other))
    await acme.create("calm", [tcp(80, one)])
    async with site.conversation(key(await acme.vip("calm"), 80)) as calm:
        before = await calm.ask()
        await acme.create("busy", [tcp(80, other)])
        await acme.serving("busy")
        await acme.delete("busy")
        await acme.until("busy", lambda service: service is None, "its end")
        assert await calm.ask() == before
