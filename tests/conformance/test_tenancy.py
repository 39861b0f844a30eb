"""MUL-1 to MUL-7: tenants beside one another, what each may have, and what none can do to another."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.streams import desired_stream, observed_stream
from fleetlb.contracts.v1 import ServiceObserved, VirtualServerDesired
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import PROVISIONED
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANT_CLUSTERS, TENANTS
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp
from tests.stage import nodes
from tests.stage.doubles import paused, second
from tests.stage.hub import GROUP, at_rest, claims_of, desired_message, observed_message
from tests.stage.networks import Network
from tests.stage.pools import granted, of_addresses, pool_for, quotas_of, set_tenant
from tests.stage.tenants import Tenant, tenant_of

BOTH = ("node-1", "node-2")
REFUSAL_SECONDS = 2.0


async def served(tenant: Tenant, name: str = "web") -> VirtualServerKey:
    """A Service that both nodes serve; what to dial."""
    port = tcp(80, next_node_port())
    await tenant.listen(port)
    await tenant.create(name, [port])
    web = key(await tenant.vip(name), 80)
    await tenant.until_served_by(web, *BOTH)
    return web


async def test_MUL_1_the_same_name_in_two_tenants_is_two_load_balancers(
    acme: Tenant, fleet: Fleet, network: Network
) -> None:
    port = tcp(80, next_node_port())
    async with tenant_of(fleet, "globex", acme.namespace, network) as globex:
        uids = {}
        for tenant in (acme, globex):
            await tenant.listen(port)
            uids[tenant.name] = await tenant.create("web", [port])
        mine, theirs = [key(await tenant.vip("web"), 80) for tenant in (acme, globex)]
        assert mine.address != theirs.address
        await acme.until_served_by(mine, *BOTH)
        await globex.until_served_by(theirs, *BOTH)
        for tenant, dialled in ((acme, mine), (globex, theirs)):
            (claim,) = await claims_of(fleet, uids[tenant.name])
            owner = claim.spec.owner
            assert claim.spec.address == dialled.address
            assert (owner.tenant, owner.service_uid) == (tenant.name, uids[tenant.name])
            assert owner.cluster_uid == await tenant.cluster.uid()
        await acme.delete("web")
        await acme.until_gone("web")
        await globex.until_served_by(theirs, *BOTH)
        assert await globex.vip("web") == theirs.address


Heard = list[Msg]


@asynccontextmanager
async def attacker(fleet: Fleet, tenant: str) -> AsyncIterator[tuple[Client, Heard]]:
    """A connection with a tenant's credentials that asks for whatever it likes, and all that it hears."""
    heard: Heard = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    async def shrug(_: Exception) -> None:
        return None

    creds = fleet.environment.tenants[tenant].creds
    client = await nats.connect(fleet.environment.nats.url, user_credentials=creds, error_cb=shrug)
    try:
        for subject in WIDE:
            await client.subscribe(subject, cb=hear)
        await client.flush()
        yield client, heard
    finally:
        await client.close()


WIDE = (
    ">",
    "*.>",
    "fleetlb.>",
    "fleetlb.v1.*.*.>",
    "observed.>",
    "reported.>",
    "resync.>",
    "released.>",
    "desired.>",
    "realized.>",
    "events.>",
    "$JS.>",
    "$SYS.>",
    "$KV.>",
    "_INBOX.>",
)
TREES = ("observed", "reported", "resync", "snapshot", "released", "desired", "realized", "events", "parked")
JETSTREAM = (
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.{s}",
    "STREAM.PURGE.{s}",
    "STREAM.DELETE.{s}",
    "STREAM.CREATE.MINE",
    "STREAM.UPDATE.{s}",
    "STREAM.MSG.GET.{s}",
    "STREAM.MSG.DELETE.{s}",
    "DIRECT.GET.{s}",
    "CONSUMER.CREATE.{s}",
    "CONSUMER.DURABLE.CREATE.{s}.d",
    "CONSUMER.NAMES.{s}",
    "CONSUMER.MSG.NEXT.{s}.d",
    "STREAM.SNAPSHOT.{s}",
    "STREAM.RESTORE.{s}",
)


async def test_MUL_2_a_tenant_hears_nothing_of_another(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    async with attacker(fleet, "acme") as (_, heard):
        theirs = await served(globex)
        uid = (await globex.get("web"))["metadata"]["uid"]
        await globex.patch("web", {"spec": {"ports": [tcp(81, next_node_port())]}})
        await globex.delete("web")
        await globex.until_gone("web")
        mine = await acme.create("web", [tcp(80, next_node_port())])
        await acme.address("web")

        async def hears_of_itself() -> bool:
            return any(mine in message.subject for message in heard)

        await eventually(hears_of_itself, "word of its own Service", acme.patience)
        account = (await fleet.management.get(TENANTS, "globex")).status.account
        for message in heard:
            told = message.subject.encode() + message.data
            for secret in (uid, theirs.address, account, await globex.cluster.uid()):
                assert secret.encode() not in told


async def test_MUL_2_a_tenant_writes_nothing_of_another(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    theirs, uid = await served(globex), (await globex.get("web"))["metadata"]["uid"]
    account = (await fleet.management.get(TENANTS, "globex")).status.account
    cluster, stream = await globex.cluster.uid(), observed_stream(account).name
    before = await observed_message(fleet, "globex", uid), await desired_message(fleet, theirs)
    asked = []
    async with attacker(fleet, "acme") as (client, _):
        for tree in TREES:
            for subject in (
                f"fleetlb.v1.{tree}.{account}.{cluster}.service.{uid}",
                f"{tree}.{account}.{cluster}.service.{uid}",
                f"fleetlb.v1.{tree}.{GROUP}.{subjects.key_token(theirs)}",
            ):
                await client.publish(subject, b'{"type":"dev.fleetlb.v1.service_observed","digest":"evil"}')
        for name in (stream, desired_stream(GROUP).name):
            asked += [_asked(client, "$JS.API." + operation.format(s=name)) for operation in JETSTREAM]
        answers = [answer for answer in await asyncio.gather(*asked) if answer is not None]
        await client.flush()
    assert all(b'"error"' in answer for answer in answers), answers
    await globex.witness()
    assert (await observed_message(fleet, "globex", uid), await desired_message(fleet, theirs)) == before
    await globex.until_served_by(theirs, *BOTH)


async def _asked(client: Client, subject: str) -> bytes | None:
    with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError):
        return bytes((await client.request(subject, b"{}", timeout=1.0)).data)
    return None


async def test_MUL_3_a_tenant_can_forge_neither_status_nor_allocation_nor_ownership(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    """It speaks of another tenant's cluster and Service in its own account, where nobody keeps it from doing so."""
    theirs, uid = await served(globex), (await globex.get("web"))["metadata"]["uid"]
    await at_rest(fleet, "globex", uid)
    cluster, before = await globex.cluster.uid(), await globex.get("web")
    balancer, claims = await fleet.load_balancer("globex", uid), await claims_of(fleet, uid)
    wish = TenantService(
        namespace=globex.namespace,
        name="web",
        ports=(ServicePort(port=80, node_port=next_node_port()),),
        addresses=(theirs.address,),
    )
    async with fleet.tenant_bus("acme") as bus:
        stolen = ServiceObserved(digest="stolen", wish="stolen", service=wish)
        subject = subjects.local_observed_service(cluster, uid)
        await bus.publish(subject, codec.encode(stolen), message_id="stolen")

        async def is_refused() -> bool:
            forged = await fleet.load_balancer("acme", uid)
            return forged is not None and forged.spec.refusal is not None

        await eventually(is_refused, "a refusal of the stolen address", acme.patience)
        forged = await fleet.load_balancer("acme", uid)
        assert forged is not None
        assert forged.spec.refusal is not None
        assert (forged.spec.refusal.reason, forged.spec.addresses) == ("AddressInUse", ())
        await bus.publish(subject, codec.encode(ServiceObserved(digest="gone")), message_id="gone")

        async def is_forgotten() -> bool:
            return await fleet.load_balancer("acme", uid) is None

        await eventually(is_forgotten, "the end of the forged load balancer", acme.patience)
    await globex.witness()
    assert await fleet.load_balancer("globex", uid) == balancer
    assert await claims_of(fleet, uid) == claims
    assert await globex.get("web") == before
    await globex.until_served_by(theirs, *BOTH)


async def test_MUL_4_backends_outside_of_the_tenants_networks_are_refused(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    web, theirs = await served(acme), await served(globex)
    family, own = Family.IPV4, list((await fleet.management.get(TENANTS, "acme")).spec.node_cidrs)
    wrong = [
        globex.machines["node-1"].addresses[family],
        globex.machines["node-1"].addresses[Family.IPV6],
        acme.network.client(0, family)[1],
        web.address,
        theirs.address,
        *("127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "100.100.100.200", "224.0.0.1", "fe80::1", "192.0.2.1"),
    ]
    # A careless grant: what no network makes a backend stays none.
    await set_tenant(fleet, "acme", nodeCIDRs=[*own, "169.254.0.0/16", "100.64.0.0/10", "224.0.0.0/4", "fe80::/10"])
    try:
        for number, address in enumerate(wrong):
            await nodes.join(acme, f"wrong-{number}", ("InternalIP", address))

        async def are_told() -> bool:
            item = await fleet.management.get(TENANT_CLUSTERS, await acme.cluster.uid(), "tenant-acme")
            return {address for node in item.spec.nodes for address in node.addresses} >= {*wrong}

        await eventually(are_told, "every wrong node in the hub", acme.patience)
        await acme.witness()
        assert await backends(fleet, web) == {acme.machines[node].addresses[family] for node in BOTH}
        await acme.until_served_by(web, *BOTH)
        await acme.remove_node("node-2")
        await acme.until_served_by(web, "node-1")
        assert await backends(fleet, web) == {acme.machines["node-1"].addresses[family]}
    finally:
        await set_tenant(fleet, "acme", nodeCIDRs=own)
        await nodes.forget_all(acme)


async def backends(fleet: Fleet, dialled: VirtualServerKey) -> set[str]:
    """Where balancer nodes are asked to send connections."""
    body = await desired_message(fleet, dialled)
    assert body is not None
    server = codec.decode(VirtualServerDesired, body).server
    assert server is not None
    return {real.address for real in server.real_servers}


@pytest.mark.parametrize(
    ("quota", "bound", "words"),
    [("load_balancers", 1, "loadBalancers"), ("addresses", 1, "addresses"), ("ports", 1, "ports")],
    ids=["load balancers", "addresses", "ports"],
)
async def test_MUL_5_a_quota_refuses_and_raising_it_serves_who_waits(
    quota: str, bound: int, words: str, acme: Tenant, fleet: Fleet
) -> None:
    async with quotas_of(fleet, acme, **{quota: bound}):
        first = await served(acme, "first")
        port = tcp(80, next_node_port())
        await acme.listen(port)
        began = time.monotonic()
        uid = await acme.create("second", [port])
        message = await acme.reason("second", PROVISIONED, "QuotaExceeded")
        # In the lab, where processes share few slow cores, no time says anything.
        assert time.monotonic() - began < REFUSAL_SECONDS or acme.network.engine is EngineName.IPVS
        assert f"{words}: {bound} of {bound} used" in message
        assert await claims_of(fleet, uid) == []
        await set_tenant(fleet, "acme", quotas={words: bound + 1})
        second = key(await acme.vip("second"), 80)
        await acme.until_served_by(second, *BOTH)
        await set_tenant(fleet, "acme", quotas={words: 0})
        await acme.create("third", [tcp(80, next_node_port())])
        assert f"{words}: 2 of 0 used" in await acme.reason("third", PROVISIONED, "QuotaExceeded")
        for service in (first, second):
            await acme.until_served_by(service, *BOTH)
            (claim,) = [claim for claim in [await fleet.claim(service.address)] if claim]
            assert claim.spec.phase is ClaimPhase.BOUND


async def test_MUL_6_annotations_are_allowed_denied_and_defaulted_by_tenant(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    async with pool_for(fleet, acme, "silver", acme.network.spare_addresses):
        rules = {"allow": ["scheduler", "addresses"], "deny": ["addresses"], "default": {"pool": "silver"}}
        async with granted(fleet, acme, annotations=rules):
            await acme.create("allowed", [tcp(80, next_node_port())], annotations={"fleetlb.dev/scheduler": "rr"})
            address = await acme.address("allowed")
            claim = await fleet.claim(address)
            assert claim is not None
            assert claim.spec.pool == "silver"
            await acme.create("denied", [tcp(80, next_node_port())], annotations=of_addresses(address))
            message = await acme.reason("denied", PROVISIONED, "AnnotationNotAllowed")
            assert "fleetlb.dev/addresses" in message
            await acme.create("other", [tcp(80, next_node_port())], annotations={"fleetlb.dev/pool": "default"})
            assert "fleetlb.dev/pool" in await acme.reason("other", PROVISIONED, "AnnotationNotAllowed")
            unknown = {"fleetlb.dev/no-such": "x"}
            await acme.create("unknown", [tcp(80, next_node_port())], annotations=unknown)
            assert "fleetlb.dev/no-such" in await acme.reason("unknown", PROVISIONED, "Unsupported")
            await globex.create("free", [tcp(80, next_node_port())], annotations={"fleetlb.dev/pool": "default"})
            await globex.address("free")
            await acme.clean()


async def test_MUL_6_a_tenants_rules_go_before_those_of_the_fleet(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    async with second(fleet, "manager", IDENTITY="manager-strict", ANNOTATIONS_DENY="scheduler"):
        with paused(fleet, "manager"):
            for tenant in (acme, globex):
                await tenant.create("web", [tcp(80, next_node_port())], annotations={"fleetlb.dev/scheduler": "rr"})
                assert "fleetlb.dev/scheduler" in await tenant.reason("web", PROVISIONED, "AnnotationNotAllowed")
            async with granted(fleet, acme, annotations={"allow": ["scheduler"]}):
                await acme.address("web")
                await globex.reason("web", PROVISIONED, "AnnotationNotAllowed")


NOISE = {EngineName.ENVOY: 600, EngineName.IPVS: 120}
"""Services of the noisy tenant: seconds of work for the manager, far more than a quiet tenant's one may wait for; fewer
in the lab, where an API server is so slow that more would keep it from answering at all."""


async def test_MUL_12_a_noisy_tenant_does_not_keep_another_waiting(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    """Told by order and not by time: the quiet tenant comes last, and is served while noise still waits."""
    node_port = next_node_port()
    await acme.listen(tcp(80, node_port))
    cluster, uids = await globex.cluster.uid(), [str(uuid.uuid4()) for _ in range(NOISE[acme.network.engine])]
    places = {uid: subjects.local_observed_service(cluster, uid) for uid in uids}

    async def answered() -> int:
        found = await fleet.management.list(LOAD_BALANCERS, "tenant-globex")
        return len({item.metadata.name for item in found}.intersection(uids))

    async def is_quiet() -> bool:
        return await answered() == 0

    async with fleet.tenant_bus("globex") as bus:
        await asyncio.gather(
            *(bus.publish(place, _noise(globex, uid), message_id=uid) for uid, place in places.items())
        )
        await acme.create("web", [tcp(80, node_port)])
        await acme.address("web")
        assert await answered() < len(uids), "in the order of their arrival all of the noise would come first"
        await acme.until_served_by(key(await acme.vip("web"), 80), *BOTH)
        gone = codec.encode(ServiceObserved(digest="gone"))
        await asyncio.gather(*(bus.publish(place, gone, message_id=f"{uid}-gone") for uid, place in places.items()))
    await eventually(is_quiet, "the end of the noise", 60.0)


def _noise(tenant: Tenant, uid: str) -> bytes:
    """A wish that costs the manager a write, and no address."""
    port = ServicePort(port=80, node_port=30000)
    wish = TenantService(namespace=tenant.namespace, name=uid, ports=(port,), pool="no-such-pool")
    return codec.encode(ServiceObserved(digest=uid[:32], wish=uid[:32], service=wish))
