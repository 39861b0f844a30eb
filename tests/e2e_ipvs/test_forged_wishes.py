"""A wish that no manager asked for, published with credentials of the hub, and what a balancer node's kernel holds."""

import msgspec

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.domain.addresses import Family
from fleetlb.domain.conditions import PROVISIONED, Reason
from fleetlb.domain.virtual_servers import RealServer, VirtualServerKey
from tests.e2e.fleet import Fleet, key, next_node_port, tcp
from tests.e2e_ipvs.tables import Tables
from tests.stage.hub import GROUP, desired_message
from tests.stage.tenants import Tenant


async def forge(fleet: Fleet, dialled: VirtualServerKey, *backends: RealServer) -> None:
    """The next revision of a virtual server, with these real servers instead of its own."""
    body = await desired_message(fleet, dialled)
    assert body is not None
    wish = codec.decode(VirtualServerDesired, body)
    assert wish.server is not None
    forged = msgspec.structs.replace(
        wish,
        revision=wish.revision + 1,
        server=msgspec.structs.replace(wish.server, real_servers=backends),
    )
    async with fleet.hub_bus() as bus:
        await bus.publish(subjects.desired(GROUP, dialled), codec.encode(forged), message_id="")


async def test_T2_a_forged_wish_leads_no_client_of_one_tenant_to_a_node_of_another(
    acme: Tenant, globex: Tenant, fleet: Fleet, tables: Tables
) -> None:
    ports = [tcp(80, next_node_port())]
    for tenant in (acme, globex):
        await tenant.listen(*ports)
        await tenant.create("web", ports)
    mine, theirs = [key(await tenant.vip("web"), 80) for tenant in (acme, globex)]
    for tenant, dialled in ((acme, mine), (globex, theirs)):
        await tenant.until_answered(dialled, tenant.answers(Family.IPV4))
    before = tables.ipvs()
    victim = globex.machines["node-1"].addresses[Family.IPV4]
    await forge(fleet, mine, RealServer(victim, ports[0]["nodePort"]))
    await acme.reason("web", PROVISIONED, Reason.DATAPLANE_REJECTED)
    assert tables.ipvs() == before
    (said,) = [each for each in (await acme.get("web"))["status"]["conditions"] if each["type"] == PROVISIONED]
    assert f"{victim} port" in said["message"]
    assert "spec.nodeCIDRs" in said["message"]
    assert "globex" not in said["message"]
    for tenant, dialled in ((acme, mine), (globex, theirs)):
        await tenant.until_answered(dialled, tenant.answers(Family.IPV4))

    await acme.patch("web", {"spec": {"sessionAffinity": "ClientIP"}})  # the manager speaks of it again
    await acme.serving("web")
