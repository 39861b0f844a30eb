"""Makes a tenant able to connect: namespace, account, credentials, stream; and says so in the Tenant's status.

Everything exists before the status names the account, because that is when its stream is followed. Idempotent, and
repeated for every tenant whenever the system connection stands anew: the servers may have lost what they were told.
What is revoked is told to the servers before anything else is done, and before anybody is issued anything.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.streams import StreamSpec
from fleetlb.contracts.tenants import TENANT_FINALIZER, WATCHER_CREDENTIALS_SECRET, Tenant
from fleetlb.contracts.v1 import RenewalRequested
from fleetlb.domain.conditions import all_say_the_same, transition
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb_manager import minting, timestamps
from fleetlb_manager.credential_terms import CredentialTerms, Validity, terms_of
from fleetlb_manager.identities import namespace_of
from fleetlb_manager.minting import Object, Operator
from fleetlb_manager.registering import Registration
from fleetlb_manager.standing import staying_conditions
from fleetlb_manager.workbench import Workbench

LOOK_SECONDS = 600.0
"""How often it is looked whether a tenant's Secret is still there: nobody tells of its end."""

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


class Telling(NamedTuple):
    """What is told over the bus. Everything raises Transient."""

    push: Pusher
    want_stream: Callable[[StreamSpec], Awaitable[None]]
    """Makes a stream exist."""
    notify: Callable[[str, bytes], Awaitable[None]]
    """Says something on a subject to whoever listens now."""


class _Kept(msgspec.Struct, frozen=True):
    """A tenant's account, the credentials in its Secret, and when those were looked at (monotonic)."""

    account: str
    seed: str
    validity: Validity
    looked_at: float

    def __repr__(self) -> str:
        return f"_Kept({self.account})"


class Issuer(msgspec.Struct, frozen=True):
    """What is needed to issue credentials to a tenant's watchers."""

    tenant: str
    seed: str
    terms: CredentialTerms

    def __repr__(self) -> str:
        return f"Issuer({self.tenant})"


class Accounts:
    """Keeps what each tenant needs to connect."""

    def __init__(
        self,
        bench: Workbench,
        store: AccountStore,
        operator: Operator,
        *,
        telling: Telling,
        on_tenant: Callable[[Tenant], None],
        system_namespace: str,
        life_seconds: int,
    ) -> None:
        """`on_tenant` hears of every Tenant whose status was written; `life_seconds`: of watchers' credentials."""
        self._memory = bench.memory
        self._authority = bench.authority
        self._clock = bench.clock
        self._store = store
        self._operator = operator
        self._telling = telling
        self._on_tenant = on_tenant
        self._system_namespace = system_namespace
        self._life_seconds = life_seconds
        self._kept: dict[str, _Kept] = {}
        self._pushed: dict[str, tuple[str, int | None]] = {}
        """By tenant: the account, and up to when what was issued is void."""
        self._tenants: dict[str, str] = {}

    def forget_pushed(self) -> None:
        """The servers may have lost every account."""
        self._pushed.clear()

    def forget(self, name: str) -> None:
        """A term begins: somebody else may have written anything about a tenant meanwhile."""
        self._pushed.pop(name, None)
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._tenants.pop(kept.account, None)

    def tenant_of(self, account: str) -> str:
        """Whose account it is; empty for one that this process does not look after."""
        return self._tenants.get(account, "")

    def issuer(self, account: str) -> Issuer | None:
        """Who may be issued credentials of an account; None: nobody, or not before the servers know what is void."""
        name = self._tenants.get(account, "")
        tenant, kept = self._memory.tenants.get(name), self._kept.get(name)
        if tenant is None or kept is None or kept.account != account or not self._authority.acting:
            return None
        now = self._clock.wall()
        terms = self._terms_of(tenant)
        is_told = self._pushed.get(name) == (account, terms.void_until(now))
        return Issuer(name, kept.seed, terms) if is_told and terms.is_open(now) else None

    async def reconcile(self, name: str) -> float | None:
        """Do what is left to do for one tenant; the seconds until there may be more. Raises Transient."""
        tenant = self._memory.tenants.get(name)
        registration = self._memory.registrations.get(name)
        if tenant is None or registration is None or not self._authority.acting:
            return None
        await self._guard(tenant)
        terms = self._terms_of(tenant)
        known = self._kept.get(name)
        if known is not None and known.account == tenant.status.account:
            await self._tell_servers(name, known.account, terms)
        else:
            await self._ensure_namespace(name, namespace_of(name))
        await self._remember_void(name, terms)
        kept = self._kept[name] = await self._keep(name, terms, known)
        self._tenants[kept.account] = name
        await self._report(name, kept.account, registration)
        return min(terms.seconds_left(kept.validity, self._clock.wall()), LOOK_SECONDS)

    def _terms_of(self, tenant: Tenant) -> CredentialTerms:
        try:
            return terms_of(tenant, self._life_seconds)
        except ValueError as problem:
            raise Transient(f"tenant {tenant.metadata.name}: {problem}") from problem

    async def _tell_servers(self, name: str, account: str, terms: CredentialTerms) -> None:
        """The account, with what is void of it. Writes nothing that the servers were told before."""
        now = self._clock.wall()
        void_until = terms.void_until(now)
        if self._pushed.get(name) == (account, void_until):
            return
        revocations = {} if void_until is None else {minting.EVERYBODY: void_until}
        await self._telling.push(
            minting.account_jwt(name, account, self._operator, issued_at=int(now), revoked=revocations)
        )
        await self._telling.want_stream(streams.observed_stream(account))
        self._pushed[name] = (account, void_until)

    async def _remember_void(self, name: str, terms: CredentialTerms) -> None:
        """What is void now stays so, whatever the spec says later."""
        cut, tenant = terms.cut(self._clock.wall()), self._memory.tenants.get(name)
        if tenant is None or cut <= terms.void_before:
            return
        try:
            self._on_tenant(await self._store.set_tenant_status(tenant, {"voidBefore": timestamps.to_text(cut)}))
        except (NotFound, Conflict) as problem:
            raise Transient(f"tenant {name} changed meanwhile") from problem

    async def _keep(self, name: str, terms: CredentialTerms, known: _Kept | None) -> _Kept:
        """The account and its credentials, made or renewed where that is due."""
        wall, looked_at = self._clock.wall(), self._clock.monotonic()
        account = self._memory.account_of(name)
        is_fresh = known is not None and known.account == account and looked_at - known.looked_at < LOOK_SECONDS
        if known is not None and is_fresh and not terms.is_due(known.validity, wall):
            return known
        seed = await self._ensure_account(name)
        account = nats_accounts.public_key(seed)
        await self._tell_servers(name, account, terms)
        validity = await self._ensure_credentials(name, seed, account, terms)
        return _Kept(account, seed, validity, looked_at)

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

    async def _ensure_credentials(self, tenant: str, seed: str, account: str, terms: CredentialTerms) -> Validity:
        """Credentials that somebody can join with, in the tenant's Secret."""
        namespace, now = namespace_of(tenant), self._clock.wall()
        validity = terms.issue(now)
        wanted = minting.watcher_secret(tenant, namespace, seed, nats_accounts.new_seed(KeyKind.USER), validity)
        try:
            secret = await self._store.read_secret(WATCHER_CREDENTIALS_SECRET, namespace)
        except NotFound:
            try:
                await self._store.create_secret(wanted)
            except (AlreadyExists, Forbidden) as problem:
                raise Transient(f"credentials of tenant {tenant}: {problem}") from problem
            return validity
        found = minting.validity_of(secret, account)
        if found is not None and not terms.is_due(found, now):
            return found
        await self._store.replace_secret_data(WATCHER_CREDENTIALS_SECRET, namespace, wanted)
        log.info("credentials renewed", tenant=tenant)
        with contextlib.suppress(Transient):  # watchers ask by themselves too, only later
            await self._telling.notify(subjects.renewal(account), codec.encode(RenewalRequested()))
        return validity

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
        conditions = staying_conditions(tenant, registration.refusal, self._memory.live_in(name))
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
