"""The manager against a real API server: tenants beside one another, how one is let in, and how it is seen off."""

import asyncio
import base64
from functools import partial
from typing import Any

import pytest

from fleetlb.contracts import streams
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.tenants import CONFIRM_REMOVAL, WATCHER_CREDENTIALS_SECRET
from fleetlb.kube import patching
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import Unavailable
from fleetlb.kube.fleet_objects import (
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
    TENANTS,
)
from fleetlb.kube.resources import SECRETS, Resource
from fleetlb.runtime import nats_accounts
from fleetlb.testkit.fake_bus import FakeBus
from tests.integration.manager_beginning import begin
from tests.integration.manager_stage import Stage, Watcher, a_wish, edit_spec, free

pytestmark = pytest.mark.integration


async def test_a_tenant_with_wrong_networks_is_not_ready_and_others_are_served(stage: Stage) -> None:
    await stage.set_up("acme")
    node = stage.add_node()
    stage.start()
    await stage.until_status("acme")
    await asyncio.sleep(1)  # creation timestamps have whole seconds
    await stage.create_tenant("younger", "10.1.7.0/24")
    refused = await stage.until_status("younger", "False")
    assert [(c.reason, "acme" in c.message) for c in refused.status.conditions] == [("Overlap", True)]
    other = await stage.watcher("acme")
    await other.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    account = (await stage.until_status("younger", "False")).status.account
    younger = Watcher(FakeBus(stage.server).for_tenant(account), account, "cluster-2")
    await younger.say("u9", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",), "u9": ()})
    assert await stage.refusals() == {"u9": "TenantNotReady"}
    await edit_spec(stage.cluster, TENANTS, "younger", nodeCIDRs=["10.7.0.0/16"])
    await stage.until_addresses({"u1": ("192.0.2.0",), "u9": ("192.0.2.1",)})


async def test_two_tenants_with_the_same_name_and_uid_get_two_load_balancers(stage: Stage) -> None:
    await stage.set_up("acme", "globex")
    node = stage.add_node()
    stage.start()
    for tenant in ("acme", "globex"):
        watcher = await stage.watcher(tenant, "cluster-1")
        await watcher.say("u1", a_wish("web", namespace="shop"))
    await stage.until(lambda: len(node.serving) == 2)
    claims = await stage.claims()
    assert {claim.spec.owner.tenant for claim in claims.values()} == {"acme", "globex"}
    backends = {key: server.real_servers[0].address for key, server in node.serving.items()}
    for address, claim in claims.items():
        wanted = "10.1.0.1" if claim.spec.owner.tenant == "acme" else "10.2.0.1"
        assert backends[f"{address}:443/tcp"] == wanted
    assert {i.metadata.namespace for i in await stage.cluster.list(LOAD_BALANCERS)} == {"tenant-acme", "tenant-globex"}


async def test_an_account_has_namespace_credentials_and_a_pushed_jwt(stage: Stage) -> None:
    await stage.set_up("acme")
    stage.start()
    tenant = await stage.until_status("acme")
    account = tenant.status.account
    secret = await stage.cluster.get(SECRETS, WATCHER_CREDENTIALS_SECRET, "tenant-acme")
    jwt, _ = nats_accounts.parse_creds(base64.b64decode(secret["data"]["nats.creds"]).decode())
    assert nats_accounts.claims_of(jwt)["iss"] == account
    assert [nats_accounts.claims_of(jwt)["sub"] for jwt in stage.pushed] == [account]
    assert streams.observed_stream(account).name in stage.server.streams
    stage.manager.forget_pushed_accounts()
    await stage.until(lambda: len(stage.pushed) == 2)
    await stage.restart()
    await stage.until(lambda: len(stage.pushed) == 3)
    assert (await stage.cluster.get(TENANTS, "acme")).status.account == account


async def test_MUL_7_a_tenant_removed_by_force_is_followed_no_more_and_its_objects_stay(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(TENANTS, "acme")
    await free(stage.cluster, TENANTS, await stage.cluster.get(TENANTS, "acme"))
    await stage.until(lambda: "acme" not in stage.manager.memory.registrations)
    await watcher.say("u1", None)
    await stage.settled()
    assert list(await stage.load_balancers()) == ["u1"]
    assert len(node.serving) == 1


async def removal_of_tenant(stage: Stage, name: str) -> dict[str, str]:
    """What a Tenant says of its removal, by reason."""
    conditions = (await stage.cluster.get(TENANTS, name)).status.conditions
    return {c.reason: c.message for c in conditions if c.type == "Removed"}


async def left_of(stage: Stage, tenant: str) -> list[str]:
    """Whatever the API server and the bus still hold of a tenant."""
    namespace = f"tenant-{tenant}"
    kinds: tuple[Resource[Any], ...] = (LOAD_BALANCERS, TENANT_CLUSTERS, SECRETS)
    found = [item for kind in kinds for item in await stage.cluster.list(kind, namespace)]
    names = [item["metadata"]["name"] if isinstance(item, dict) else item.metadata.name for item in found]
    names += [address for address, claim in (await stage.claims()).items() if claim.spec.owner.tenant == tenant]
    secrets = await stage.cluster.list(SECRETS, "fleetlb-system")
    names += [each["metadata"]["name"] for each in secrets if each["metadata"]["name"].endswith(f"-{tenant}")]
    names += [tenant for each in await stage.cluster.list(TENANTS) if each.metadata.name == tenant]
    return names


async def confirm(stage: Stage, tenant: str, text: str) -> None:
    """Annotate a Tenant's removal with a text."""
    found = await stage.cluster.get(TENANTS, tenant)
    body = patching.annotate(found.metadata.uid, {CONFIRM_REMOVAL: text})
    await stage.cluster.patch(TENANTS, tenant, body, kind=PatchKind.MERGE)


async def test_MUL_7_a_deleted_tenant_is_served_until_somebody_confirms(stage: Stage) -> None:
    node, _ = await begin(stage)
    await stage.create_tenant("guarded", "10.9.0.0/16")
    watcher = await stage.watcher("guarded", "cluster-9")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(TENANTS, "guarded")
    await stage.until(lambda: removal_of_tenant(stage, "guarded"))
    said = (await removal_of_tenant(stage, "guarded"))["LoadBalancersLive"]
    assert "1 load balancers are live" in said
    assert "confirm-removal=guarded" in said
    await confirm(stage, "guarded", "acme")
    await watcher.say("u2", a_wish("second"))
    await stage.until(lambda: len(node.serving) == 2)
    await stage.restart()
    await stage.settled(quiet=1.3)
    assert len(node.serving) == 2
    assert list(await removal_of_tenant(stage, "guarded")) == ["LoadBalancersLive"]
    assert not stage.forgotten
    assert {claim.spec.phase for claim in (await stage.claims()).values()} == {ClaimPhase.BOUND}
    await watcher.say("u1", None)
    await watcher.say("u2", None)
    await stage.until(lambda: stage.forgotten)
    await stage.end_namespace("tenant-guarded")


async def test_MUL_7_a_confirmed_tenant_leaves_nothing_and_a_namesake_inherits_nothing(stage: Stage) -> None:
    node, other = await begin(stage, quarantine=60)
    await other.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    others, kept = dict(node.serving), await left_of(stage, "acme")
    await stage.create_tenant("passing", "10.9.0.0/16")
    watcher = await stage.watcher("passing", "cluster-9")
    for uid in ("u1", "u2"):
        await watcher.say(uid, a_wish(uid))
    await stage.until(lambda: len(node.serving) == 3)
    assert "cluster-9" in await stage.clusters()
    account = watcher.account
    node.answering = False
    await stage.cluster.delete(TENANTS, "passing")
    await confirm(stage, "passing", "passing")
    await stage.until(lambda: sum(wish.server is None for wish in node.seen) >= 2)
    await watcher.say("u3", a_wish("third"))
    await stage.settled()
    assert "InProgress" in await removal_of_tenant(stage, "passing")
    assert (len(await stage.claims()), stage.forgotten) == (3, [])
    await stage.restart()
    node.answering = True
    await node.answer_all()

    async def is_quarantined() -> bool:
        phases = [claim.spec.phase for claim in (await stage.claims()).values()]
        return phases.count(ClaimPhase.QUARANTINED) == 2

    await stage.until(is_quarantined)
    await stage.until(lambda: stage.end_namespace("tenant-passing"))
    stage.clock.ahead += 61
    await stage.restart()

    await stage.until(partial(is_gone, stage, "passing"))
    assert {who for who, _ in stage.forgotten} == {account}
    assert streams.observed_stream(account).name not in stage.server.streams
    assert node.serving == others
    assert await left_of(stage, "acme") == kept
    await stage.create_tenant("passing", "10.9.0.0/16")
    again = await stage.watcher("passing", "cluster-9")
    assert again.account != account
    await stage.settled()
    assert node.serving == others
    assert set(await stage.load_balancers()) == {"u1"}


class Dying:
    """Lets so many writes pass and no more."""

    def __init__(self, passing: int) -> None:
        self.left = passing

    def __call__(self, what: str) -> None:
        if not self.left:
            raise Unavailable(f"the manager dies before {what}")
        self.left -= 1


async def test_MUL_7_a_removal_is_finished_by_the_next_manager_wherever_the_first_one_died(stage: Stage) -> None:
    await begin(stage)
    for passing in range(6):
        name = f"brief-{passing}"
        await stage.create_tenant(name, f"10.{20 + passing}.0.0/16")
        await stage.until_status(name)
        await stage.settled()
        dying = stage.counting.before_write = Dying(passing)
        await stage.cluster.delete(TENANTS, name)
        await stage.until(partial(has_died, stage, dying, name))
        await stage.kill()
        stage.counting.before_write = lambda what: None
        stage.start()
        await stage.acting()
        await stage.until(partial(is_gone, stage, name))
        await stage.end_namespace(f"tenant-{name}")
    assert len(await left_of(stage, "acme")) == 4


def has_died(stage: Stage, dying: Dying, tenant: str) -> bool:
    """Whether a manager has come as far as it may, or to the end."""
    return not dying.left or tenant not in stage.manager.memory.tenants


async def is_gone(stage: Stage, tenant: str) -> bool:
    """Whether nothing is left of a tenant."""
    return not await left_of(stage, tenant)
