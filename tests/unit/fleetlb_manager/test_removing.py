"""The removal of a tenant beside the other workers, interrupted after every effect."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import TENANT_LABEL, ClaimPhase
from fleetlb.contracts.tenants import (
    CONFIRM_REMOVAL,
    TENANT_FINALIZER,
    WATCHER_CREDENTIALS_SECRET,
    Tenant,
    TenantCluster,
)
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb_manager import minting
from fleetlb_manager.inventories import Absences
from fleetlb_manager.minting import Operator
from fleetlb_manager.removing import LOOK_SECONDS, Removing
from fleetlb_manager.standing import Standing
from tests.unit.fleetlb_manager.manager_world import (
    EXHAUSTED,
    Crash,
    Kept,
    World,
    _take,
    a_claim,
    a_key,
    a_load_balancer,
    a_tenant,
    a_wish,
    a_world,
)

OPERATOR = Operator(
    nats_accounts.new_seed(KeyKind.OPERATOR), nats_accounts.public_key(nats_accounts.new_seed(KeyKind.ACCOUNT))
)
SYSTEM = "fleetlb-system"
ENDINGS = 60
"""More than a removal has effects."""


class MadeInMemory:
    """The API server's Tenants, and what was made for them."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def read_namespace(self, name: str) -> dict[str, Any]:
        return self._read(self.kept.namespaces, name)  # type: ignore[no-any-return]

    async def read_secret(self, name: str, namespace: str) -> dict[str, Any]:
        return self._read(self.kept.secrets, (namespace, name))  # type: ignore[no-any-return]

    async def delete_secret(self, name: str, namespace: str) -> None:
        if self.kept.secrets.pop((namespace, name), None):
            self.kept.effect(f"delete secret {name}")

    async def delete_namespace(self, item: dict[str, Any]) -> None:
        del self.kept.namespaces[item["metadata"]["name"]]
        self.kept.effect(f"delete namespace {item['metadata']['name']}")

    async def delete_cluster(self, item: TenantCluster) -> None:
        name = (item.metadata.namespace, item.metadata.name)
        found = self.kept.clusters.get(name)
        if found is not None and found.metadata.uid != item.metadata.uid:
            raise Conflict(item.metadata.name)
        if self.kept.clusters.pop(name, None):
            self.kept.effect(f"delete cluster {name}")

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        found = self._read(self.kept.tenants, tenant.metadata.name)
        changed = replace(found, status=replace(found.status, conditions=tuple(status["conditions"])))
        changed = self.kept.tenants[tenant.metadata.name] = self.kept.stamp(changed)
        self.kept.effect("status")
        return changed  # type: ignore[no-any-return]

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        name = tenant.metadata.name
        found = self._read(self.kept.tenants, name)
        if found.metadata != tenant.metadata:
            raise Conflict(name)
        changed = self.kept.stamp(replace(found, metadata=replace(found.metadata, finalizers=tuple(finalizers))))
        if finalizers:
            self.kept.tenants[name] = changed
        else:
            del self.kept.tenants[name]
        self.kept.effect(f"finalizers of tenant {name}")
        return changed  # type: ignore[no-any-return]

    def _read(self, objects: dict[Any, Any], name: Any) -> Any:
        if name not in objects:
            raise NotFound(str(name))
        return objects[name]


class Hub(World):
    """A world whose tenants can leave."""

    account_names: dict[str, str]

    def rebuild(self) -> None:
        super().rebuild()
        self.kept_on: list[str] = []
        self.removing = Removing(
            self.bench,
            MadeInMemory(self.kept),
            OPERATOR,
            keep=self._keep,
            disconnect=self._disconnect,
            system_namespace=SYSTEM,
        )

    async def _keep(self, name: str) -> None:
        self.kept_on.append(name)

    async def _disconnect(self, name: str, account: str, deletion_jwt: str) -> None:
        assert nats_accounts.claims_of(deletion_jwt)["nats"]["accounts"] == [account]
        self.memory.observations.forget_tenant(name)
        for subject in [subject for subject in self.kept.streams if f".observed.{account}." in subject]:
            del self.kept.streams[subject]
        if account in self.kept.accounts:
            self.kept.accounts.remove(account)
            self.kept.effect(f"forget account {account}")

    async def _step(self) -> bool:
        return await super()._step() or await _take(self.marks.accounts, self.removing.reconcile)

    def delete_tenant(self, name: str = "acme", confirmed: str | None = None) -> None:
        """An operator deletes a Tenant, and may confirm it."""
        tenant = self.kept.tenants[name]
        annotations = {} if confirmed is None else {CONFIRM_REMOVAL: confirmed}
        meta = replace(tenant.metadata, deletion_timestamp="2026-11-25T13:00:00Z", annotations=annotations)
        self.kept.tenants[name] = self.kept.stamp(replace(tenant, metadata=meta))
        self.folding.tenant_set(self.kept.tenants[name])


def a_hub() -> Hub:
    """Two tenants with all that is made for one."""
    kept = a_world("acme", "globex", pool=("192.0.2.8-192.0.2.10",)).kept
    for name, tenant in kept.tenants.items():
        seed = nats_accounts.new_seed(KeyKind.ACCOUNT)
        account = nats_accounts.public_key(seed)
        kept.tenants[name] = replace(
            tenant,
            metadata=replace(tenant.metadata, finalizers=(TENANT_FINALIZER,)),
            status=replace(tenant.status, account=account),
        )
        kept.accounts.add(account)
        space = minting.tenant_namespace(name, f"tenant-{name}")
        kept.namespaces[f"tenant-{name}"] = {"metadata": {**space["metadata"], "uid": f"ns-{name}"}}
        kept.secrets[SYSTEM, minting.account_secret_name(name)] = minting.account_secret(name, SYSTEM, seed)
        kept.secrets[f"tenant-{name}", WATCHER_CREDENTIALS_SECRET] = {"data": {}}
    hub = Hub(kept)
    hub.account_names = {name: tenant.status.account for name, tenant in kept.tenants.items()}
    return hub


async def served() -> Hub:
    """Two Services of the one tenant, one of the other, and one that waits for an address."""
    hub = a_hub()
    for key, wish in {
        a_key("u1"): a_wish(ports=(80, 443)),
        a_key("u2"): a_wish("second"),
        a_key("g1", "globex"): a_wish(),
        a_key("u3"): a_wish("third"),
    }.items():
        hub.say(key, wish)
        await hub.work()
    assert len(hub.kept.serving) == 4
    assert hub.addresses()["u3"] == ()
    hub.kept.effects.clear()
    return hub


def traces(hub: Hub, tenant: str = "acme") -> list[str]:
    """Whatever speaks of a tenant."""
    kept, space, account = hub.kept, f"tenant-{tenant}", hub.account_names[tenant]
    found = [name for name, claim in kept.claims.items() if claim.spec.owner.tenant == tenant]
    found += [name for namespace, name in (*kept.load_balancers, *kept.clusters) if namespace == space]
    found += [name for namespace, name in kept.secrets if namespace == space or name.endswith(f"-{tenant}")]
    found += [name for name in kept.namespaces if name == space]
    found += [key for key, wish in kept.serving.items() if wish.owner.tenant == tenant]
    found += [subject for subject in kept.streams if f".{account}." in subject]
    return [*found, *(name for name in kept.tenants if name == tenant)]


async def test_an_unconfirmed_removal_takes_nothing_away_and_new_services_are_served() -> None:
    hub = await served()
    before = traces(hub)
    hub.delete_tenant(confirmed="globex")
    await hub.work()
    assert traces(hub) == before
    assert "acme" in hub.kept_on
    assert await hub.removing.reconcile("acme") == LOOK_SECONDS
    hub.say(a_key("u2"), None)
    await hub.work()
    assert hub.addresses()["u3"] == ("192.0.2.9",)


async def test_a_confirmed_removal_leaves_nothing_of_the_tenant_and_everything_of_the_others() -> None:
    hub = await served()
    others = traces(hub, "globex")
    hub.delete_tenant(confirmed="acme")
    await hub.work()
    assert traces(hub) == []
    assert traces(hub, "globex") == others
    assert hub.kept.accounts == {hub.memory.account_of("globex")}
    told = hub.kept.effects.index("status")
    assert hub.kept.effects[-5:] == [
        "delete cluster ('tenant-acme', 'cluster-1')",
        f"delete secret {WATCHER_CREDENTIALS_SECRET}",
        "delete namespace tenant-acme",
        "delete secret fleetlb-account-acme",
        "finalizers of tenant acme",
    ]
    assert told < len(hub.kept.effects) - 6


async def test_it_waits_for_every_node_and_cleans_nothing_before() -> None:
    hub = await served()
    hub.kept.answering = False
    hub.delete_tenant(confirmed="acme")
    await hub.work()
    assert set(hub.phases().values()) == {"Releasing", "Bound"}
    assert hub.kept.tenants["acme"].status.conditions[1].message == (
        "its load balancers are being released, node by node"
    )
    assert "tenant-acme" in hub.kept.namespaces
    assert hub.memory.account_of("acme") in hub.kept.accounts
    hub.kept.answering = True
    await hub.work()
    assert traces(hub) == []


@pytest.mark.parametrize("left", ["claim", "object"])
async def test_one_claim_or_one_object_that_is_left_is_waited_for(left: str) -> None:
    hub = a_hub()
    if left == "claim":
        hub.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING))
    else:
        hub.folding.load_balancer_set(a_load_balancer(a_key(), refusal=EXHAUSTED))
    hub.folding.claim_set(a_claim("192.0.2.7", a_key("g1", "globex")))
    hub.delete_tenant(confirmed="acme")
    hub.marks.clear()
    assert await hub.removing.reconcile("acme") == LOOK_SECONDS
    assert hub.kept.effects == ["status"]
    assert list(hub.marks.services) == [a_key()]


async def test_a_status_that_is_written_meanwhile_does_not_begin_it_anew() -> None:
    hub = a_hub()
    hub.delete_tenant()
    disconnect = hub.removing._disconnect

    async def while_somebody_writes(name: str, account: str, deletion_jwt: str) -> None:
        await disconnect(name, account, deletion_jwt)
        hub.kept.tenants[name] = hub.kept.stamp(hub.kept.tenants[name])
        hub.folding.tenant_set(hub.kept.tenants[name])

    hub.removing._disconnect = while_somebody_writes
    await hub.removing.reconcile("acme")
    assert "acme" not in hub.kept.tenants


async def test_without_a_live_load_balancer_no_word_is_needed_and_waiting_services_do_not_count() -> None:
    hub = await served()
    for uid in ("u1", "u2", "u3"):
        hub.say(a_key(uid), None)
    hub.say(a_key("g2", "globex"), a_wish("two"))
    hub.say(a_key("g3", "globex"), a_wish("three"))
    await hub.work()
    hub.say(a_key("u4"), a_wish("fourth"))
    await hub.work()
    assert hub.addresses()["u4"] == ()
    hub.delete_tenant()
    await hub.work()
    assert traces(hub) == []


async def test_new_services_of_a_tenant_that_leaves_are_not_served() -> None:
    hub = await served()
    hub.kept.answering = False
    hub.delete_tenant(confirmed="acme")
    await hub.work()
    hub.say(a_key("u9"), a_wish("new"))
    await hub.work()
    assert "u9" not in hub.addresses()
    assert not hub.memory.claims.of(a_key("u9"))


async def test_a_removal_interrupted_after_every_effect_is_finished_and_touches_nobody_else() -> None:
    crashes = 0
    for point in range(1, ENDINGS):
        hub = await served()
        others = traces(hub, "globex")
        hub.delete_tenant(confirmed="acme")
        hub.kept.crash_after = point
        try:
            await hub.work()
        except Crash:
            crashes += 1
            hub.authority.generation += 1
            hub.fresh.clear()
            hub.rebuild()
            await hub.work()
        hub.kept.crash_after = None
        assert traces(hub) == []
        assert traces(hub, "globex") == others
    assert crashes >= 20


async def test_a_namesake_inherits_nothing_of_a_tenant_that_was_removed() -> None:
    hub = await served()
    hub.memory.absences[a_key().cluster_key] = Absences()
    hub.delete_tenant(confirmed="acme")
    await hub.work()
    hub.kept.tenants["acme"] = hub.kept.stamp(a_tenant("acme"), new=True)
    hub.folding.tenant_set(hub.kept.tenants["acme"])
    await hub.work()
    assert not hub.memory.absences
    assert hub.memory.standing_of("acme") is Standing.STAYS
    assert list(hub.memory.observations.services_of("acme")) == []
    assert traces(hub) == ["acme"]
    hub.say(a_key("u1"), a_wish())
    await hub.work()
    assert len(hub.addresses()["u1"]) == 1


async def test_quarantine_is_waited_for_by_nobody_and_ends_without_the_tenant() -> None:
    hub = await served()
    pool = hub.kept.pools["default"]
    hub.kept.pools["default"] = hub.kept.stamp(replace(pool, spec=replace(pool.spec, quarantine_seconds=60)))
    hub.folding.pool_set(hub.kept.pools["default"])
    hub.delete_tenant(confirmed="acme")
    await hub.work()
    assert "acme" not in hub.kept.tenants
    assert sorted(hub.phases().values()) == ["Bound", "Quarantined", "Quarantined"]
    assert "acme" not in hub.memory.tenants
    hub.clock.now += 61
    for address in list(hub.memory.claims.passing()):
        hub.marks.claim(address)
    await hub.work()
    assert list(hub.phases().values()) == ["Bound"]


async def test_a_namespace_that_was_not_made_for_the_tenant_stays() -> None:
    hub = a_hub()
    hub.kept.namespaces["tenant-acme"]["metadata"]["labels"] = {TENANT_LABEL: "globex"}
    hub.delete_tenant()
    await hub.work()
    assert traces(hub) == ["tenant-acme"]
    assert ("tenant-acme", WATCHER_CREDENTIALS_SECRET) not in hub.kept.secrets


async def test_a_namespace_that_ends_already_and_an_account_that_was_never_named_are_no_hindrance() -> None:
    hub = a_hub()
    hub.kept.namespaces["tenant-acme"]["metadata"]["deletionTimestamp"] = "2026-11-25T13:00:00Z"
    tenant = hub.kept.tenants["acme"]
    account = tenant.status.account
    hub.kept.tenants["acme"] = hub.kept.stamp(replace(tenant, status=replace(tenant.status, account="")))
    hub.rebuild()
    hub.delete_tenant()
    await hub.work()
    assert "delete namespace tenant-acme" not in hub.kept.effects
    assert account not in hub.kept.accounts
    assert "acme" not in hub.kept.tenants


async def test_what_is_another_one_by_now_is_tried_again() -> None:
    hub = a_hub()
    hub.delete_tenant()
    cluster = hub.kept.clusters["tenant-acme", "cluster-1"]
    hub.kept.clusters["tenant-acme", "cluster-1"] = hub.kept.stamp(cluster, new=True)
    with pytest.raises(Transient):
        await hub.removing.reconcile("acme")
    hub.folding.cluster_set(hub.kept.clusters["tenant-acme", "cluster-1"])
    hub.kept.tenants["acme"] = hub.kept.stamp(hub.kept.tenants["acme"])
    with pytest.raises(Transient):
        await hub.removing.reconcile("acme")
    del hub.kept.tenants["acme"]
    await hub.removing.reconcile("acme")
    assert "acme" not in hub.memory.tenants


async def test_only_who_acts_removes_and_only_what_we_keep() -> None:
    hub = a_hub()
    hub.authority.acting = False
    hub.delete_tenant()
    await hub.removing.reconcile("acme")
    hub.authority.acting = True
    await hub.removing.reconcile("nobody")
    tenant = hub.kept.tenants["acme"]
    hub.folding.tenant_set(
        hub.kept.stamp(replace(tenant, metadata=replace(tenant.metadata, finalizers=("other/one",))))
    )
    assert await hub.removing.reconcile("acme") is None
    assert hub.kept.effects == []
    assert await hub.removing.reconcile("globex") is None
    assert hub.kept_on == ["globex"]


async def test_whoever_was_paused_forgets_no_account_that_a_namesake_may_have_by_now() -> None:
    hub = await served()
    hub.delete_tenant(confirmed="acme")
    accounts, read = set(hub.kept.accounts), hub.removing._store.read_secret

    async def read_late(name: str, namespace: str) -> dict[str, Any]:
        hub.authority.acting = False
        return await read(name, namespace)

    hub.removing._store.read_secret = read_late  # type: ignore[method-assign]
    await hub.work()
    assert not hub.authority.acting, "it came as far as that"
    assert hub.kept.accounts == accounts
