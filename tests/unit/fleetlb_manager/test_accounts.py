import base64
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts.streams import StreamSpec
from fleetlb.contracts.tenants import TENANT_FINALIZER, CredentialRules, Revocation, Tenant, TenantStatus
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.errors import Transient
from fleetlb.kube.errors import AlreadyExists, Conflict, NotFound
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb_manager import minting, timestamps
from fleetlb_manager.accounts import LOOK_SECONDS, Accounts, Telling
from fleetlb_manager.credential_terms import Validity
from fleetlb_manager.minting import Object, Operator
from fleetlb_manager.registering import Registration
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_tenant, a_world

LIFE = 86400
OPERATOR = Operator(
    nats_accounts.new_seed(KeyKind.OPERATOR), nats_accounts.public_key(nats_accounts.new_seed(KeyKind.ACCOUNT))
)


class Minted:
    """An API server's namespaces and Secrets, and what was pushed and made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.namespaces: dict[str, Object] = {}
        self.secrets: dict[tuple[str, str], Object] = {}
        self.statuses: list[dict[str, Any]] = []
        self.order: list[str] = []
        self.pushed: list[str] = []
        self.conflict = False
        self.cut_off = False
        self.accounts = Accounts(
            world.bench,
            self,
            OPERATOR,
            telling=Telling(self.push, self.want_stream, self.notify),
            on_tenant=world.folding.tenant_set,
            system_namespace="fleetlb-system",
            life_seconds=LIFE,
        )

    async def push(self, jwt: str) -> None:
        self.order.append("push")
        self.pushed.append(jwt)

    async def notify(self, subject: str, body: bytes, *, trace: str = "") -> None:
        self.order.append(f"notify {subject.split('.')[2]}")
        if self.cut_off:
            raise Transient("not connected")

    async def want_stream(self, spec: StreamSpec) -> None:
        self.order.append(f"stream {spec.name}")

    async def read_namespace(self, name: str) -> Object:
        if name not in self.namespaces:
            raise NotFound(name)
        return self.namespaces[name]

    async def create_namespace(self, item: Object) -> None:
        self.order.append("namespace")
        self.namespaces[item["metadata"]["name"]] = item

    async def read_secret(self, name: str, namespace: str) -> Object:
        if (namespace, name) not in self.secrets:
            raise NotFound(name)
        return self.secrets[namespace, name]

    async def create_secret(self, item: Object) -> Object:
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        if key in self.secrets:
            raise AlreadyExists(str(key))
        self.order.append(f"secret {key[1]}")
        self.secrets[key] = item
        return item

    async def replace_secret_data(self, name: str, namespace: str, item: Object) -> None:
        self.order.append(f"replace {name}")
        self.secrets[namespace, name] = item

    async def set_tenant_finalizers(self, tenant: Tenant, finalizers: Sequence[str]) -> Tenant:
        if self.conflict:
            raise Conflict("changed")
        self.order.append("finalizers")
        return self.world.kept.stamp(replace(tenant, metadata=replace(tenant.metadata, finalizers=tuple(finalizers))))

    async def set_tenant_status(self, tenant: Tenant, status: dict[str, Any]) -> Tenant:
        if self.conflict:
            raise Conflict("changed")
        if "voidBefore" in status:
            self.order.append("void")
            made = replace(tenant.status, void_before=status["voidBefore"])
        else:
            self.order.append("status")
            self.statuses.append(status)
            made = replace(
                tenant.status,
                account=status["account"],
                namespace=status["namespace"],
                conditions=tuple(status["conditions"]),
            )
        return self.world.kept.stamp(replace(tenant, status=made))

    def edit(self, **changes: Any) -> None:
        """Somebody changes the Tenant's spec."""
        tenant = self.world.memory.tenants["acme"]
        self.world.folding.tenant_set(self.world.kept.stamp(replace(tenant, spec=replace(tenant.spec, **changes))))

    def watcher_claims(self) -> dict[str, Any]:
        """Of the credentials in the tenant's Secret."""
        data = self.secrets["tenant-acme", "fleetlb-watcher-creds"]["data"]["nats.creds"]
        return nats_accounts.claims_of(nats_accounts.parse_creds(base64.b64decode(data).decode())[0])

    def issued_at(self) -> int:
        """When those were issued."""
        return int(self.watcher_claims()["iat"])

    def revocations(self) -> dict[str, int]:
        """What the servers were told last."""
        return dict(nats_accounts.claims_of(self.pushed[-1])["nats"].get("revocations", {}))


def fresh() -> Minted:
    """A tenant without anything yet."""
    minted = Minted(a_world())
    tenant = minted.world.kept.stamp(replace(a_tenant(), status=TenantStatus()))
    minted.world.folding.tenant_set(tenant)
    return minted


async def test_everything_is_there_before_the_status_names_the_account() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    assert minted.order == [
        "finalizers",
        "namespace",
        "secret fleetlb-account-acme",
        "push",
        f"stream FLEETLB_OBSERVED_{account}",
        "secret fleetlb-watcher-creds",
        "status",
    ]
    seed = minting.account_seed_of(minted.secrets["fleetlb-system", "fleetlb-account-acme"])
    assert seed is not None
    assert nats_accounts.public_key(seed) == account
    assert minted.statuses[0]["conditions"][0].reason == "Complete"


async def test_the_second_time_nothing_is_left_to_do() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    done = len(minted.order)
    await minted.accounts.reconcile("acme")
    assert len(minted.order) == done
    minted.accounts.forget_pushed()
    await minted.accounts.reconcile("acme")
    assert minted.order[done:] == ["push", f"stream FLEETLB_OBSERVED_{minted.world.memory.account_of('acme')}"]
    assert {nats_accounts.claims_of(jwt)["sub"] for jwt in minted.pushed} == {minted.world.memory.account_of("acme")}


async def test_a_tenant_that_is_not_served_is_told_why_and_can_connect() -> None:
    minted = fresh()
    refusal = Refusal(Reason.OVERLAP, "spec.nodeCIDRs: overlaps")
    minted.world.memory.registrations["acme"] = Registration(refusal=refusal)
    await minted.accounts.reconcile("acme")
    (condition,) = minted.statuses[0]["conditions"]
    assert (condition.status, condition.reason, condition.message) == ("False", "Overlap", "spec.nodeCIDRs: overlaps")
    assert minted.pushed


async def test_credentials_of_another_account_are_replaced() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    del minted.secrets["fleetlb-system", "fleetlb-account-acme"]
    minted.accounts.forget("acme")
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    assert "replace fleetlb-watcher-creds" in minted.order
    assert minting.validity_of(minted.secrets["tenant-acme", "fleetlb-watcher-creds"], account) is not None


async def test_a_spoilt_seed_is_not_replaced_by_a_new_identity() -> None:
    minted = fresh()
    minted.secrets["fleetlb-system", "fleetlb-account-acme"] = {"data": {}}
    with pytest.raises(Transient, match="fleetlb-account-acme"):
        await minted.accounts.reconcile("acme")


async def test_a_tenant_that_changed_meanwhile_is_written_next_time() -> None:
    minted = fresh()
    minted.conflict = True
    with pytest.raises(Transient):
        await minted.accounts.reconcile("acme")
    assert minted.order == []
    guarded = minted.world.memory.tenants["acme"]
    guarded = replace(guarded, metadata=replace(guarded.metadata, finalizers=(TENANT_FINALIZER,)))
    minted.world.folding.tenant_set(minted.world.kept.stamp(guarded))
    await minted.accounts.reconcile("acme")
    assert minted.statuses == []
    minted.conflict = False
    await minted.accounts.reconcile("acme")
    assert len(minted.statuses) == 1


async def test_a_tenant_that_is_known_for_long_is_guarded_beside_other_finalizers() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    tenant = minted.world.memory.tenants["acme"]
    assert tenant.metadata.finalizers == (TENANT_FINALIZER,)
    bare = replace(tenant, metadata=replace(tenant.metadata, finalizers=("other/one",)))
    minted.world.folding.tenant_set(minted.world.kept.stamp(bare))
    await minted.accounts.reconcile("acme")
    assert minted.world.memory.tenants["acme"].metadata.finalizers == ("other/one", TENANT_FINALIZER)


async def test_a_deleted_tenant_whose_load_balancers_are_live_says_how_to_confirm() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    tenant = minted.world.memory.tenants["acme"]
    deleted = replace(
        tenant, metadata=replace(tenant.metadata, deletion_timestamp="2026-11-25T13:00:00Z", finalizers=())
    )
    minted.world.folding.tenant_set(minted.world.kept.stamp(deleted))
    minted.world.folding.claim_set(a_claim())
    done = len(minted.order)
    await minted.accounts.reconcile("acme")
    await minted.accounts.reconcile("acme")
    assert minted.order[done:] == ["status"]
    assert [c.reason for c in minted.statuses[-1]["conditions"]] == ["Complete", "LoadBalancersLive"]
    assert "confirm-removal=acme" in minted.statuses[-1]["conditions"][1].message


async def test_nothing_is_said_of_a_tenant_that_went_meanwhile() -> None:
    minted = fresh()

    async def push(jwt: str) -> None:
        minted.world.folding.tenant_gone(minted.world.memory.tenants["acme"])

    minted.accounts._telling = minted.accounts._telling._replace(push=push)
    await minted.accounts.reconcile("acme")
    assert minted.statuses == []


async def test_only_who_acts_mints_and_only_for_known_tenants() -> None:
    minted = fresh()
    minted.world.authority.acting = False
    await minted.accounts.reconcile("acme")
    minted.world.authority.acting = True
    await minted.accounts.reconcile("nobody")
    minted.world.memory.registrations.clear()
    await minted.accounts.reconcile("acme")
    assert minted.order == []


async def test_nothing_is_told_again_and_the_secret_is_looked_at_now_and_then() -> None:
    minted = fresh()
    assert await minted.accounts.reconcile("acme") == LOOK_SECONDS
    del minted.secrets["tenant-acme", "fleetlb-watcher-creds"]
    done = len(minted.order)
    minted.world.clock.now += LOOK_SECONDS - 1
    await minted.accounts.reconcile("acme")
    assert len(minted.order) == done
    minted.world.clock.now += 1
    await minted.accounts.reconcile("acme")
    assert minted.order[done:] == ["secret fleetlb-watcher-creds"]


async def test_credentials_expire_and_are_renewed_at_half_of_their_life() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    began = minted.issued_at()
    assert minted.watcher_claims()["exp"] == began + LIFE
    minted.world.clock.now += LIFE / 2 - LOOK_SECONDS / 2
    assert await minted.accounts.reconcile("acme") == LOOK_SECONDS / 2
    assert minted.issued_at() == began
    minted.world.clock.now += LOOK_SECONDS / 2
    minted.cut_off = True
    await minted.accounts.reconcile("acme")
    assert minted.issued_at() == began + LIFE / 2
    assert len(minted.pushed) == 1


async def test_what_is_revoked_at_once_is_told_before_anything_else_and_nothing_is_issued_meanwhile() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    now = int(minted.world.clock.now)
    issued_before = now + 2
    assert minted.accounts.issuer(account) is not None
    minted.edit(credentials=CredentialRules(revoked=Revocation(issued_before=timestamps.to_text(issued_before))))
    assert minted.accounts.issuer(account) is None
    minted.world.clock.now += 3
    assert minted.accounts.issuer(account) is None, "the servers do not know yet: a thief is still connected"
    done = len(minted.order)
    await minted.accounts.reconcile("acme")
    assert minted.order[done] == "push"
    assert minted.order.index("void") < minted.order.index("replace fleetlb-watcher-creds")
    assert minted.revocations() == {"*": issued_before - 1}
    assert minted.issued_at() >= issued_before
    assert minted.accounts.issuer(account) is not None


async def test_the_new_secret_is_good_even_if_it_is_minted_before_the_old_ones_are_void() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    issued_before = int(minted.world.clock.now) + 2
    minted.edit(credentials=CredentialRules(revoked=Revocation(issued_before=timestamps.to_text(issued_before))))
    await minted.accounts.reconcile("acme")
    assert minted.issued_at() == issued_before


async def test_a_rotation_gives_notice_and_everybody_can_renew_meanwhile() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    before = int(minted.world.clock.now)
    minted.world.clock.now += 10
    now = int(minted.world.clock.now)
    revoked = Revocation(issued_before=timestamps.to_text(now), at=timestamps.to_text(now + 300))
    minted.edit(credentials=CredentialRules(revoked=revoked))
    assert await minted.accounts.reconcile("acme") == 300
    assert minted.issued_at() == now
    assert minted.order[-1] == "notify renewal", "watchers need not wait until they ask by themselves"
    assert len(minted.pushed) == 1
    issuer = minted.accounts.issuer(account)
    assert issuer is not None
    assert issuer.terms.is_due(Validity(before), now)
    assert not issuer.terms.is_due(Validity(now), now)
    minted.world.clock.now += 300
    assert minted.accounts.issuer(account) is None
    await minted.accounts.reconcile("acme")
    assert minted.revocations() == {"*": now - 1}
    assert minted.accounts.issuer(account) is not None


async def test_what_was_void_once_stays_void_whatever_the_spec_says_later() -> None:
    """Neither a rotation with a notice nor an entry that is taken away makes stolen credentials good again."""
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    cut = int(minted.world.clock.now) + 2
    minted.edit(credentials=CredentialRules(revoked=Revocation(issued_before=timestamps.to_text(cut))))
    await minted.accounts.reconcile("acme")
    minted.world.clock.now += 60
    now = int(minted.world.clock.now)
    notice = Revocation(issued_before=timestamps.to_text(now), at=timestamps.to_text(now + 300))
    for rules in (CredentialRules(revoked=notice), CredentialRules()):
        minted.edit(credentials=rules)
        await minted.accounts.reconcile("acme")
        minted.accounts.forget("acme")
        await minted.accounts.reconcile("acme")
        assert minted.revocations() == {"*": cut - 1}
        issuer = minted.accounts.issuer(account)
        assert issuer is not None
        assert issuer.terms.is_due(Validity(cut - 1), now)


async def test_a_suspended_tenant_is_cut_and_comes_back_with_what_it_has() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account, began = minted.world.memory.account_of("acme"), minted.issued_at()
    minted.edit(suspended=True)
    await minted.accounts.reconcile("acme")
    assert minted.revocations()["*"] > minted.world.clock.now + LIFE
    assert minted.accounts.issuer(account) is None
    (condition,) = minted.statuses[-1]["conditions"]
    assert (condition.status, condition.reason) == ("False", "Suspended")
    minted.edit(suspended=False)
    await minted.accounts.reconcile("acme")
    assert minted.revocations() == {}
    assert minted.issued_at() == began
    assert minted.accounts.issuer(account) is not None


async def test_who_does_not_act_issues_nothing() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    account = minted.world.memory.account_of("acme")
    assert minted.accounts.issuer("A" * 56) is None
    minted.world.authority.acting = False
    assert minted.accounts.issuer(account) is None
    minted.world.authority.acting = True
    minted.accounts.forget("acme")
    assert minted.accounts.issuer(account) is None


async def test_a_time_that_cannot_be_read_changes_nothing_and_is_named() -> None:
    minted = fresh()
    await minted.accounts.reconcile("acme")
    minted.edit(credentials=CredentialRules(revoked=Revocation(issued_before="yesterday")))
    done = len(minted.order)
    with pytest.raises(Transient, match=r"spec\.credentials\.revoked\.issuedBefore: 'yesterday'"):
        await minted.accounts.reconcile("acme")
    assert minted.order[done:] == []
