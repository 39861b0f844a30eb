"""Takes a tenant out of the hub, in steps that can be interrupted anywhere and are then begun again:

    deleted → confirmed, or nothing live → every Service released → account and stream → TenantClusters → credentials
      → namespace → account seed → finalizer

The Tenant is the memory of the removal: it goes last. Until nothing is claimed and no LoadBalancer is left, nothing
that the release needs is touched; what is removed is found by this tenant's account and namespace, so nobody else's is.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from fleetlb.contracts.objects import TENANT_LABEL
from fleetlb.contracts.tenants import TENANT_FINALIZER, WATCHER_CREDENTIALS_SECRET, Tenant, TenantCluster
from fleetlb.domain.conditions import all_say_the_same, transition
from fleetlb.domain.errors import Transient
from fleetlb.domain.tenancy import Usage
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb.runtime import nats_accounts
from fleetlb_manager import minting, timestamps
from fleetlb_manager.identities import namespace_of
from fleetlb_manager.minting import Object, Operator
from fleetlb_manager.standing import Standing, leaving_conditions
from fleetlb_manager.workbench import Workbench

LOOK_SECONDS = 5.0
"""A deleted Tenant is looked at this often beside every event: a grant that came to nothing tells nobody."""
_NOTHING = Usage()

log = structlog.get_logger(__name__)


class RemovalStore(Protocol):
    """What was made for a tenant, in the API server. Deletions of what is not there succeed."""

    async def read_namespace(self, name: str) -> Object:
        """A namespace. Raises NotFound."""

    async def read_secret(self, name: str, namespace: str) -> Object:
        """A Secret. Raises NotFound."""

    async def delete_cluster(self, item: TenantCluster) -> None:
        """Remove this very TenantCluster. Raises Conflict for another one of its name."""

    async def delete_secret(self, name: str, namespace: str) -> None:
        """Remove a Secret."""

    async def delete_namespace(self, item: Object) -> None:
        """Begin the end of this very namespace. Raises Conflict for another one of its name."""

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        """Say how a Tenant is. Raises Conflict, NotFound."""

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        """Replace the finalizers of this version. Raises Conflict, NotFound."""


class Disconnecting(Protocol):
    """What ends a tenant's messages."""

    async def __call__(self, name: str, account: str, deletion_jwt: str) -> None:
        """Return when the account is unknown to the servers, not followed, and has no stream. Raises Transient."""


class Removing:
    """Decides about the accounts of tenants that are deleted; those of others are kept."""

    def __init__(
        self,
        bench: Workbench,
        store: RemovalStore,
        operator: Operator,
        *,
        keep: Callable[[str], Awaitable[float | None]],
        disconnect: Disconnecting,
        system_namespace: str,
    ) -> None:
        """`keep` is the worker of tenants that stay."""
        self._memory = bench.memory
        self._folding = bench.folding
        self._marks = bench.marks
        self._authority = bench.authority
        self._clock = bench.clock
        self._store = store
        self._operator = operator
        self._keep = keep
        self._disconnect = disconnect
        self._system_namespace = system_namespace
        self._begun: set[str] = set()
        """UIDs of Tenants whose Services were all marked in this run."""

    async def reconcile(self, name: str) -> float | None:
        """Do what is left to do for one tenant; the seconds until it must be looked at again. Raises Transient."""
        tenant = self._memory.tenants.get(name)
        if tenant is None or not self._authority.acting:
            return None
        if self._memory.standing_of(name) is not Standing.LEAVING:
            later = await self._keep(name)
            return LOOK_SECONDS if tenant.metadata.deletion_timestamp is not None else later
        if TENANT_FINALIZER not in tenant.metadata.finalizers:
            return None
        self._mark_services(tenant)
        tenant = await self._report(tenant)
        if self._memory.load_balancers.of_tenant(name) or self._memory.usage.of(name) != _NOTHING:
            return LOOK_SECONDS
        await self._clean(tenant)
        return None

    def _mark_services(self, tenant: Tenant) -> None:
        """Once in a run: from then on every event about a Service finds its tenant leaving."""
        if tenant.metadata.uid in self._begun:
            return
        self._begun.add(tenant.metadata.uid)
        name = tenant.metadata.name
        log.info("a tenant is being removed", tenant=name, live=self._memory.live_in(name))
        keys = {*self._memory.observations.services_of(name), *self._memory.load_balancers.of_tenant(name)}
        keys.update(key for key in self._memory.claims.owners() if key.tenant == name)
        for key in sorted(keys):
            self._marks.service(key)

    async def _report(self, tenant: Tenant) -> Tenant:
        """Say what is going on; returns the Tenant as it is now. Nothing waits for it."""
        name, known = tenant.metadata.name, tenant.status.conditions
        wanted = leaving_conditions(tenant, self._memory.live_in(name))
        if all_say_the_same(known, wanted):
            return tenant
        now = timestamps.to_text(self._clock.wall())
        status = {"conditions": [transition(known, condition, now) for condition in wanted]}
        try:
            told = await self._store.set_tenant_status(tenant, status)
        except (NotFound, Conflict):
            return tenant
        self._folding.tenant_set(told)
        return told

    async def _clean(self, tenant: Tenant) -> None:
        name = tenant.metadata.name
        namespace, seed_name = namespace_of(name), minting.account_secret_name(name)
        for account in await self._accounts_of(tenant, seed_name):
            if not self._authority.acting:  # by now the seed may be that of a namesake
                raise Transient(f"tenant {name}: the right to remove it is gone")
            deletion = nats_accounts.deletion_jwt((account,), self._operator.seed, issued_at=int(self._clock.wall()))
            await self._disconnect(name, account, deletion)
        for item in self._memory.clusters.of_tenant(name):
            await self._delete_cluster(item)
        await self._store.delete_secret(WATCHER_CREDENTIALS_SECRET, namespace)
        await self._delete_namespace(name, namespace)
        await self._store.delete_secret(seed_name, self._system_namespace)
        await self._let_go(tenant)

    async def _accounts_of(self, tenant: Tenant, seed_name: str) -> list[str]:
        """The account that the Tenant names, and the one whose seed was made before it could be named."""
        accounts = [tenant.status.account] if tenant.status.account else []
        try:
            seed = minting.account_seed_of(await self._store.read_secret(seed_name, self._system_namespace))
        except NotFound:
            return accounts
        account = nats_accounts.public_key(seed) if seed else ""
        return accounts if account in ("", *accounts) else [*accounts, account]

    async def _delete_cluster(self, item: TenantCluster) -> None:
        try:
            await self._store.delete_cluster(item)
        except Conflict as problem:
            raise Transient(f"cluster {item.metadata.name} is another one now") from problem
        self._folding.cluster_gone(item)

    async def _delete_namespace(self, tenant: str, name: str) -> None:
        """Only one that was made for this tenant; its end is the API server's own affair."""
        try:
            found = await self._store.read_namespace(name)
        except NotFound:
            return
        meta = found.get("metadata", {})
        if meta.get("labels", {}).get(TENANT_LABEL) != tenant:
            log.warning("a namespace was not made by us, so it stays", tenant=tenant, namespace=name)
        elif not meta.get("deletionTimestamp"):
            try:
                await self._store.delete_namespace(found)
            except Conflict as problem:
                raise Transient(f"namespace {name} is another one now") from problem

    async def _let_go(self, tenant: Tenant) -> None:
        """The answer is not folded: the watch tells that the Tenant is gone, or that others keep it."""
        known = self._memory.tenants.get(tenant.metadata.name)
        if known is not None and known.metadata.uid == tenant.metadata.uid:
            tenant = known  # its status was written meanwhile
        rest = [finalizer for finalizer in tenant.metadata.finalizers if finalizer != TENANT_FINALIZER]
        try:
            await self._store.set_tenant_finalizers(tenant, rest)
        except NotFound:
            self._folding.tenant_gone(tenant)
            return
        except Conflict as problem:
            raise Transient(f"tenant {tenant.metadata.name} changed meanwhile") from problem
        log.info("a tenant was removed", tenant=tenant.metadata.name)
