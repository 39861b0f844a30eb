"""Any process of the fleet may die at any time: the kernel goes on, and what was wished for meanwhile is done later."""

import os
import signal

import pytest

from fleetlb.domain.addresses import Family, Protocol
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.e2e_ipvs.tables import Tables
from tests.stage.hub import PROGRAMMER, counters
from tests.stage.site import Site
from tests.stage.tenants import DUAL, Tenant


@pytest.mark.parametrize("process", [PROGRAMMER, "manager", "status", "tenant-watcher/acme", "nats"])
async def test_killed(process: str, acme: Tenant, site: Site, fleet: Fleet) -> None:
    standing, fresh = next_node_port(), next_node_port()
    ports = [tcp(80, standing), udp(80, standing)]
    await acme.listen(*ports, tcp(80, fresh))
    await acme.create("standing", ports)
    vip = await acme.vip("standing")
    async with site.conversation(key(vip, 80)) as connection:
        before = await connection.ask()
        pid = fleet.environment.processes[process].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await acme.create("fresh", [tcp(80, fresh)])
        assert await connection.ask() == before
        assert (await site.ask(key(vip, 80))).ok, "a new connection while the process is away"
        assert (await site.ask(key(vip, 80, Protocol.UDP))).ok, "a datagram while the process is away"
        await acme.until_answered(key(await acme.vip("fresh"), 80), acme.answers(Family.IPV4))
        assert await connection.ask() == before
    assert await acme.vip("standing") == vip
    assert fleet.environment.processes[process].pid not in (None, pid)


async def test_a_restarted_programmer_writes_nothing(acme: Tenant, site: Site, fleet: Fleet, tables: Tables) -> None:
    node_port = next_node_port()
    ports = [tcp(80, node_port), udp(80, node_port)]
    await acme.listen(*ports)
    await acme.create("web", ports, loadBalancerSourceRanges=["10.10.0.0/24", "fd10::/64"], **DUAL)
    vips = await acme.vips("web")
    before = tables.everything()
    async with site.conversation(key(vips[Family.IPV6], 80)) as connection:
        answer = await connection.ask()
        await fleet.verb("restart", PROGRAMMER)
        assert await connection.ask() == answer
    assert tables.changes_since(before) == []
    written = await counters(fleet, PROGRAMMER, "fleetlb_ipvs_writes_total", "fleetlb_filter_writes_total")
    assert set(written.values()) == {0.0}, written


async def test_a_change_while_the_programmer_is_down_is_done_when_it_is_back(
    acme: Tenant, site: Site, fleet: Fleet, tables: Tables
) -> None:
    one, two = next_node_port(), next_node_port()
    await acme.listen(tcp(80, one), tcp(80, two))
    await acme.create("old", [tcp(80, one)])
    old = await acme.vip("old")
    await fleet.verb("stop", PROGRAMMER)
    try:
        await acme.delete("old")
        await acme.create("new", [tcp(80, two)])
        new = await _claimed(acme, "new", fleet, other=old)
        assert (await site.ask(key(old, 80))).ok, "nothing is undone while the programmer is away"
        assert not tables.holds(new)
    finally:
        await fleet.verb("start", PROGRAMMER)
    await acme.until_answered(key(await acme.vip("new"), 80), acme.answers(Family.IPV4))
    await acme.until("old", lambda service: service is None, "the end of the deleted Service")
    assert not tables.holds(old)


async def test_P7_with_the_hub_gone_the_kernel_stands_still_and_serves(
    acme: Tenant, globex: Tenant, site: Site, fleet: Fleet, tables: Tables
) -> None:
    node_port = next_node_port()
    ports = [tcp(80, node_port), udp(80, node_port)]
    keys = []
    for tenant in (acme, globex):
        await tenant.listen(*ports)
        await tenant.create("web", ports, **DUAL)
        vips = await tenant.vips("web")
        keys += [key(vip, 80, protocol) for vip in vips.values() for protocol in (Protocol.TCP, Protocol.UDP)]
    before = tables.everything()
    hub = ("nats", "manager", "status")
    for process in hub:
        await fleet.verb("stop", process)
    try:
        async with site.conversation(keys[0]) as connection:
            answer = await connection.ask()
            await acme.remove_node("node-1")  # nobody is there to hear of it
            await fleet.verb("restart", PROGRAMMER)
            for each in keys:
                assert (await site.ask(each)).ok, each
            assert tables.changes_since(before) == []
            assert await connection.ask() == answer
    finally:
        await acme.add_node("node-1")
        for process in hub:  # which are ready only with those before them
            await fleet.verb("start", process)
    fresh = next_node_port()
    await acme.listen(tcp(81, fresh))
    await acme.create("fresh", [tcp(81, fresh)])
    await acme.until_answered(key(await acme.vip("fresh"), 81), acme.answers(Family.IPV4))


async def _claimed(tenant: Tenant, name: str, fleet: Fleet, other: str) -> str:
    """The address that the manager has chosen for a Service, before its user is told."""
    uid = (await tenant.get(name))["metadata"]["uid"]
    found: list[str] = []

    async def has_address() -> bool:
        balancer = await fleet.load_balancer(tenant.name, uid)
        found.extend(balancer.spec.addresses if balancer else ())
        return bool(found)

    await eventually(has_address, f"an address chosen for {name}", tenant.patience)
    assert found[0] != other
    return found[0]
