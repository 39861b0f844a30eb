"""A fleet does everything that its services do, once: by the audit logs of its API servers, no right is left over.

That none is missing is what every fleet of the tests shows: the services have these rights and no others.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import yaml

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, TENANT_CLUSTERS
from fleetlb.kube.resources import NODES, Object, Resource
from fleetlb_cli.local.admitting import Account, admit
from fleetlb_cli.local.kubernetes import ApiServer
from fleetlb_cli.local.layout import Layout
from fleetlb_cli.local.seeding import SYSTEM_NAMESPACE
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage.rights_used import Record, Right, rights_of_services, unused
from tests.stage.starting import running_fleet
from tests.stage.tenant_commands import NETWORK, done, offered

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420, func_only=True)]

BESIDE_WATCHES = "asked where a server knows no WatchList"
RACES = "what is there is read when a write met something that no watch has told of yet"
ELSEWHERE = "tests/e2e/test_joining.py: a watcher that was joined keeps renewed credentials in its Secret"
NOT_DRIVEN: dict[tuple[str, str], dict[str, str]] = {
    ("fleetlb-manager", "get"): dict.fromkeys(("addressclaims", "loadbalancers", "tenantclusters"), RACES),
    ("fleetlb-tenant-watcher", "patch"): {"secrets": ELSEWHERE},
}
"""By account and verb: rights that this fleet may leave unused, and why they are there."""
POOLS: Resource[Object] = Resource("fleetlb.dev", "v1alpha1", "addresspools", Object, False, kind_name="AddressPool")


@pytest.fixture
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fleet of a test's own, whose logs tell of nothing else and whose tenants may leave."""
    with running_fleet(tmp_path_factory.mktemp("rights")) as state:
        yield state


@pytest.fixture
async def hub(own_state: Path) -> AsyncIterator[Fleet]:
    """Its hub."""
    fleet = await Fleet.open(own_state)
    yield fleet
    await fleet.close()


async def test_every_right_is_used(hub: Fleet) -> None:
    async with hub.tenant("acme", "rights") as acme:
        await _a_service_lives(hub, acme)
    await _servers_begin_anew(hub)
    await _credentials_are_rotated(hub)
    await _a_pool_comes_and_goes(hub)
    await _a_tenant_leaves(hub)
    record = Record().read(hub.state)
    assert not [str(right) for right in unused(rights_of_services(), record.uses) if not _is_not_driven(right)]


async def test_people_need_no_more_than_their_roles(hub: Fleet, tmp_path: Path) -> None:
    """What the commands of an operator and of a viewer need, with the roles that the chart has for them."""
    operator, viewer = [await _person(hub, name) for name in ("operator", "viewer")]
    where = ["--nats-url", hub.environment.nats.url, "--nats-creds", hub.environment.nats.hub_creds]
    for kubeconfig in (operator, viewer):
        for command in (["status"], ["audit", "--settle", "1"], ["top", "tenants", "--once"], ["restore", "show"]):
            assert "403" not in await _told(kubeconfig, *command, *where)
    await _may(operator, "tenant", "create", "initech", "--node-cidr", NETWORK)
    for command in (["list"], ["show", "initech"], ["suspend", "initech"], ["resume", "initech"]):
        await _may(operator, "tenant", *command)
    await _may(operator, "tenant", "rotate", "initech", "--notice", "60")
    await _may(
        operator, "tenant", "join", "initech", "--nats-url", "nats://hub:4222", "-o", str(tmp_path / "join.yaml")
    )
    await _may(viewer, "tenant", "list")
    joining = ["join", "initech", "--nats-url", "nats://hub:4222", "-o", "-"]
    for command in (joining, ["show", "initech"], ["remove", "initech"]):  # the first two look into a Secret
        assert "have this right granted" in await _told(viewer, "tenant", *command)
    await _may(operator, "tenant", "remove", "initech")


async def _person(hub: Fleet, name: str) -> Path:
    """A kubeconfig with the rights of a role for people."""
    place = Layout(hub.state).cluster("management")
    port = yaml.safe_load((place / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2]
    server = ApiServer(name="management", folder=place, port=int(port), token="")
    who = Account(name=name, namespace=SYSTEM_NAMESPACE, roles={f"fleetlb-{name}": name})
    await admit(server, [who])
    return server.kubeconfig_of(name)


async def _told(kubeconfig: Path, *command: str) -> str:
    """What a command says, well or not."""
    answer = await _run(kubeconfig, *command)
    return answer.stdout + answer.stderr


async def _may(kubeconfig: Path, *command: str) -> None:
    answer = await _run(kubeconfig, *command)
    assert answer.returncode == 0, f"{command}: {answer.stderr}"


async def _run(kubeconfig: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    typed = [FLEETLB, *command, "--kubeconfig", str(kubeconfig)]
    return await asyncio.to_thread(subprocess.run, typed, capture_output=True, text=True, timeout=90, check=False)


def _is_not_driven(right: Right) -> bool:
    if right.verb == "list" and _is_watched(right):
        return True
    return right.resource in NOT_DRIVEN.get((right.account, right.verb), {})


def _is_watched(right: Right) -> bool:
    """BESIDE_WATCHES."""
    return any(
        (each.account, each.group, each.resource, each.verb) == (right.account, right.group, right.resource, "watch")
        for each in rights_of_services()
    )


async def _a_service_lives(hub: Fleet, acme: TenantCluster) -> None:
    """It is made, looked at, changed twice, and deleted; a node comes and goes."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    await eventually(partial(_has_its_verdict, hub, uid), "the verdict in its object")
    await _the_page_is_looked_at(hub, uid)
    for number in (8081, 8082):
        await acme.patch("web", {"spec": {"ports": [tcp(number, port)]}})
        await acme.until("web", lambda service: service is not None and service.is_serving, "Serving=True")
        await eventually(partial(_has_port, hub, uid, number), "the changed port")
        await eventually(partial(_is_told, acme, number - 8080), "an Event of the change")
    label = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": "true"}}}
    await acme.cluster.patch(NODES, "node-2", label, kind=PatchKind.MERGE)
    await eventually(lambda: _has_excluded(hub), "a node that is not used any more")
    await acme.delete("web")
    await acme.until("web", lambda service: service is None, "the end of the Service")

    async def is_free() -> bool:
        return await hub.claim(address) is None

    claim = await hub.claim(address)
    assert claim is None or claim.spec.phase is not ClaimPhase.BOUND
    await eventually(is_free, "the end of the claim")


async def _has_its_verdict(hub: Fleet, uid: str) -> bool:
    """It is written a little later than its tenant is told, and not at all if the Service changes or goes first."""
    item = await hub.load_balancer("acme", uid)
    return item is not None and any(c.status == "True" and c.type.endswith("Serving") for c in item.status.conditions)


async def _has_port(hub: Fleet, uid: str, number: int) -> bool:
    item = await hub.load_balancer("acme", uid)
    return item is not None and [port.port for port in item.spec.service.ports] == [number]


async def _is_told(acme: TenantCluster, times: int) -> bool:
    events = [event for event in await acme.events("web") if event["reason"] == "UpdatedLoadBalancer"]
    return sum(int(event["count"]) for event in events) >= times


async def _has_excluded(hub: Fleet) -> bool:
    (cluster,) = await hub.management.list(TENANT_CLUSTERS, "tenant-acme")
    return any(not node.eligible for node in cluster.spec.nodes) or len(cluster.spec.nodes) < 2


async def _the_page_is_looked_at(hub: Fleet, uid: str) -> None:
    """The page's own picture follows the verdict on the Service by up to some seconds."""
    ui = str(hub.environment.processes["status"].ui).removesuffix("/")
    async with aiohttp.ClientSession() as session:
        for path in ("fleet", f"services/acme/{uid}"):
            await eventually(partial(_is_shown, session, f"{ui}/v1/{path}"), f"the page of {path}")


async def _is_shown(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as answer:
        return answer.status == 200


async def _servers_begin_anew(hub: Fleet) -> None:
    """Whoever watched them asks how far their stores are before it watches again."""
    for name in ("management", "acme"):
        await hub.verb("kill", f"kube-apiserver/{name}")
        await hub.verb("restart", f"kube-apiserver/{name}")


async def _credentials_are_rotated(hub: Fleet) -> None:
    before = (await offered(hub, "acme")).issued_at
    await done(hub, "rotate", "acme", "--notice", "60")

    async def is_new() -> bool:
        return (await offered(hub, "acme")).issued_at > before

    await eventually(is_new, "other credentials to join with")


async def _a_pool_comes_and_goes(hub: Fleet) -> None:
    spec = {"addresses": ["127.240.0.0/28"], "group": "default", "autoAssign": False}
    await hub.management.create(POOLS, {"metadata": {"name": "spare"}, "spec": spec})

    async def is_kept() -> bool:
        return bool((await hub.management.get(ADDRESS_POOLS, "spare")).metadata.finalizers)

    await eventually(is_kept, "a pool that is kept until it is empty")
    await hub.management.delete(POOLS, "spare")

    async def is_gone() -> bool:
        try:
            await hub.management.get(ADDRESS_POOLS, "spare")
        except NotFound:
            return True
        return False

    await eventually(is_gone, "the end of an empty pool")


async def _a_tenant_leaves(hub: Fleet) -> None:
    """One that has a cluster."""
    assert await hub.management.list(TENANT_CLUSTERS, "tenant-globex")
    await asyncio.wait_for(done(hub, "remove", "globex", "--confirm", "globex"), 60)
