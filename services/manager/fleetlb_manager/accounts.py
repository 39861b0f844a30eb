"""Makes a tenant able to connect: namespace, account, credentials, stream; and says so in the Tenant's status.

Everything exists before the status names the account, because that is when its stream is followed. Idempotent, and
repeated for every tenant whenever the system connection stands anew: the servers may have lost what they were told.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from fleetlb.contracts import streams
from fleetlb.contracts.objects import TENANT_FINALIZER, WATCHER_CREDENTIALS_SECRET, Tenant
from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.conditions import READY, Condition, Reason, Status, all_say_the_same, transition
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb_manager import minting, timestamps
from fleetlb_manager.identities import namespace_of
from fleetlb_manager.minting import Object, Operator
from fleetlb_manager.registering import Registration
from fleetlb_manager.standing import removal_condition
from fleetlb_manager.workbench import Workbench

log = structlog.get_logger(__name__)


class AccountStore(Protocol):
    """Namespaces, Secrets and Tenants in the API server."""

    async def read_namespace(self, name: str) -> Object:
        """A namespace. Raises NotFound."""

    async def create_namespace(self, item: Object) -> None:
        """Make a namespace. Raises AlreadyExists."""

    async def read_secret(self, name: str, namespace: str) -> Object:
        """A Secret. Raises NotFound."""

    async def create_secret(self, item: Object) -> Object:
        """Make a Secret. Raises AlreadyExists."""

    async def replace_secret_data(self, name: str, namespace: str, item: Object) -> None:
        """Put other data into a Secret."""

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        """Replace the finalizers of this version. Raises Conflict, NotFound, or Invalid for one that is deleted."""

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        """Say how a Tenant is. Raises Conflict, NotFound."""


class Pusher(Protocol):
    """Tells the NATS servers of an account."""

    async def __call__(self, jwt: str) -> None: ...


class StreamMaker(Protocol):
    """Makes a stream exist."""

    async def __call__(self, spec: StreamSpec) -> None: ...


class Accounts:
    """Keeps what each tenant needs to connect."""

    def __init__(
        self,
        bench: Workbench,
        store: AccountStore,
        operator: Operator,
        *,
        push: Pusher,
        want_stream: StreamMaker,
        on_tenant: Callable[[Tenant], None],
        system_namespace: str,
    ) -> None:
        """`on_tenant` hears of every Tenant whose status was written."""
        self._memory = bench.memory
        self._authority = bench.authority
        self._clock = bench.clock
        self._store = store
        self._operator = operator
        self._push = push
        self._want_stream = want_stream
        self._on_tenant = on_tenant
        self._system_namespace = system_namespace
        self._pushed: dict[str, str] = {}

    def forget_pushed(self) -> None:
        """The servers may have lost every account."""
        self._pushed.clear()

    async def reconcile(self, name: str) -> None:
        """Do what is left to do for one tenant. Raises Transient."""
        tenant = self._memory.tenants.get(name)
        registration = self._memory.registrations.get(name)
        if tenant is None or registration is None or not self._authority.acting:
            return
        await self._guard(tenant)
        if tenant.status.account and self._pushed.get(name) == tenant.status.account:
            await self._report(name, tenant.status.account, registration)
            return
        namespace = namespace_of(name)
        await self._ensure_namespace(name, namespace)
        seed = await self._ensure_account(name)
        account = nats_accounts.public_key(seed)
        await self._ensure_credentials(name, namespace, seed, account)
        now = int(self._clock.wall())
        await self._push(minting.account_jwt(name, account, self._operator, issued_at=now))
        await self._want_stream(streams.observed_stream(account))
        self._pushed[name] = account
        await self._report(name, account, registration)

    async def _ensure_namespace(self, tenant: str, namespace: str) -> None:
        try:
            await self._store.read_namespace(namespace)
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await self._store.create_namespace(minting.tenant_namespace(tenant, namespace))
            log.info("namespace made", tenant=tenant, namespace=namespace)

    async def _ensure_account(self, tenant: str) -> str:
        """The account's seed; a new account only if there never was one."""
        name = minting.account_secret_name(tenant)
        try:
            secret = await self._store.read_secret(name, self._system_namespace)
        except NotFound:
            fresh = nats_accounts.new_seed(KeyKind.ACCOUNT)
            try:
                secret = await self._store.create_secret(minting.account_secret(tenant, self._system_namespace, fresh))
            except AlreadyExists as problem:
                raise Transient(f"Secret {name} appeared meanwhile") from problem
            log.info("account made", tenant=tenant)
        seed = minting.account_seed_of(secret)
        if seed is None:
            raise Transient(f"Secret {self._system_namespace}/{name} holds no account seed: delete or restore it")
        return seed

    async def _ensure_credentials(self, tenant: str, namespace: str, seed: str, account: str) -> None:
        user = nats_accounts.new_seed(KeyKind.USER)
        wanted = minting.watcher_secret(tenant, namespace, seed, user, issued_at=int(self._clock.wall()))
        try:
            secret = await self._store.read_secret(WATCHER_CREDENTIALS_SECRET, namespace)
        except NotFound:
            try:
                await self._store.create_secret(wanted)
            except (AlreadyExists, Forbidden) as problem:
                raise Transient(f"credentials of tenant {tenant}: {problem}") from problem
            return
        if not minting.belongs_to(secret, account):
            await self._store.replace_secret_data(WATCHER_CREDENTIALS_SECRET, namespace, wanted)
            log.info("credentials renewed", tenant=tenant)

    async def _guard(self, tenant: Tenant) -> None:
        """From now on the Tenant cannot go without us."""
        meta = tenant.metadata
        if TENANT_FINALIZER in meta.finalizers or meta.deletion_timestamp is not None:
            return
        try:
            guarded = await self._store.set_tenant_finalizers(tenant, (*meta.finalizers, TENANT_FINALIZER))
        except (NotFound, Conflict, Invalid) as problem:
            raise Transient(f"tenant {meta.name} changed meanwhile") from problem
        self._on_tenant(guarded)

    async def _report(self, name: str, account: str, registration: Registration) -> None:
        tenant = self._memory.tenants.get(name)
        if tenant is None:
            return
        conditions = conditions_of(tenant, registration, self._memory.live_in(name))
        known, namespace = tenant.status, namespace_of(name)
        if (known.account, known.namespace) == (account, namespace) and all_say_the_same(known.conditions, conditions):
            return
        now = timestamps.to_text(self._clock.wall())
        status = {
            "account": account,
            "namespace": namespace,
            "conditions": [transition(known.conditions, condition, now) for condition in conditions],
        }
        try:
            self._on_tenant(await self._store.set_tenant_status(tenant, status))
        except (NotFound, Conflict):
            log.debug("a tenant changed while its status was written", tenant=name)


def conditions_of(tenant: Tenant, registration: Registration, live: int) -> tuple[Condition, ...]:
    """Whether a tenant is served and, if it is deleted, what it waits for. `live`: as for `removal_condition`."""
    ready = condition_of(registration, tenant.metadata.generation)
    removal = removal_condition(tenant, live)
    return (ready,) if removal is None else (ready, removal)


def condition_of(registration: Registration, generation: int) -> Condition:
    """Whether a tenant is served."""
    if registration.refusal is not None:
        refusal = registration.refusal
        return Condition(
            type=READY,
            status=Status.FALSE,
            reason=refusal.reason,
            message=refusal.message,
            observed_generation=generation,
        )
    return Condition(
        type=READY,
        status=Status.TRUE,
        reason=Reason.COMPLETE,
        message="account, namespace and credentials are there",
        observed_generation=generation,
    )
