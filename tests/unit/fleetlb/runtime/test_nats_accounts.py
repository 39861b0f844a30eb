import base64
from typing import Any

import nkeys
import pytest

from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_permissions import Permissions

NOW = 1_700_000_000
OPERATOR = nats_accounts.new_seed(KeyKind.OPERATOR)
HUB = nats_accounts.public_key(nats_accounts.new_seed(KeyKind.ACCOUNT))
TENANT_SEED = nats_accounts.new_seed(KeyKind.ACCOUNT)
TENANT = nats_accounts.public_key(TENANT_SEED)


def verified(jwt: str, signer_seed: str) -> dict[str, Any]:
    """The claims, after checking the signature as a server does."""
    head, _, signature = jwt.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert nkeys.from_seed(bytearray(signer_seed.encode())).verify(head.encode(), raw)
    assert "=" not in jwt
    return nats_accounts.claims_of(jwt)


@pytest.mark.parametrize(
    ("kind", "seed", "public"), [(KeyKind.OPERATOR, "SO", "O"), (KeyKind.ACCOUNT, "SA", "A"), (KeyKind.USER, "SU", "U")]
)
def test_keys_show_their_kind(kind: KeyKind, seed: str, public: str) -> None:
    made = nats_accounts.new_seed(kind)
    assert made.startswith(seed)
    assert nats_accounts.public_key(made).startswith(public)
    assert len(nats_accounts.public_key(made)) == 56
    assert nats_accounts.new_seed(kind) != made


def test_the_operator_signs_itself() -> None:
    claims = verified(nats_accounts.operator_jwt("ours", OPERATOR, system_account=HUB, issued_at=NOW), OPERATOR)
    assert claims["iss"] == claims["sub"] == nats_accounts.public_key(OPERATOR)
    assert claims["nats"] == {"type": "operator", "version": 2, "system_account": HUB}


def test_a_tenants_account_has_no_jetstream_and_imports_only_its_own_subjects() -> None:
    wish = nats_accounts.tenant_account_claims("acme", TENANT, HUB)
    nats = verified(nats_accounts.account_jwt(wish, TENANT, OPERATOR, issued_at=NOW), OPERATOR)["nats"]
    limits = nats["limits"]
    assert [limits[name] for name in ("mem_storage", "disk_storage", "streams", "consumer")] == [0, 0, 0, 0]
    assert (limits["payload"], limits["conn"], limits["subs"], limits["exports"]) == (262144, 16, 64, 0)
    assert {(i["local_subject"], i["subject"], i["type"]) for i in nats["imports"]} == {
        ("observed.>", f"fleetlb.v1.observed.{TENANT}.>", "service"),
        ("reported.>", f"fleetlb.v1.reported.{TENANT}.>", "stream"),
        ("resync.>", f"fleetlb.v1.resync.{TENANT}.>", "stream"),
        ("renewal.>", f"fleetlb.v1.renewal.{TENANT}.>", "stream"),
        ("snapshot", f"fleetlb.v1.snapshot.{TENANT}", "service"),
        ("credentials", f"fleetlb.v1.credentials.{TENANT}", "service"),
    }
    assert {i["account"] for i in nats["imports"]} == {HUB}


def test_the_hub_exports_each_tree_once_by_the_importers_token() -> None:
    nats = verified(
        nats_accounts.account_jwt(nats_accounts.hub_account_claims(), HUB, OPERATOR, issued_at=NOW), OPERATOR
    )["nats"]
    assert {(e["subject"], e["type"], e["account_token_position"]) for e in nats["exports"]} == {
        ("fleetlb.v1.observed.*.>", "service", 4),
        ("fleetlb.v1.reported.*.>", "stream", 4),
        ("fleetlb.v1.resync.*.>", "stream", 4),
        ("fleetlb.v1.renewal.*.>", "stream", 4),
        ("fleetlb.v1.snapshot.*", "service", 4),
        ("fleetlb.v1.credentials.*", "service", 4),
    }
    assert nats["limits"]["streams"] == -1


def test_every_limit_is_written_out() -> None:
    limits = nats_accounts.claims_of(
        nats_accounts.account_jwt(nats_accounts.system_account_claims(), HUB, OPERATOR, issued_at=NOW)
    )["nats"]["limits"]
    assert set(limits) >= {"subs", "data", "payload", "imports", "exports", "conn", "leaf", "streams"}


def test_a_user_is_signed_by_its_account_and_may_expire() -> None:
    user = nats_accounts.public_key(nats_accounts.new_seed(KeyKind.USER))
    jwt = nats_accounts.user_jwt("watcher", user, TENANT_SEED, issued_at=NOW, expires_at=NOW + 60)
    claims = verified(jwt, TENANT_SEED)
    assert (claims["iss"], claims["sub"], claims["exp"]) == (TENANT, user, NOW + 60)
    assert claims["nats"]["pub"] == {}
    assert "exp" not in nats_accounts.claims_of(nats_accounts.user_jwt("w", user, TENANT_SEED, issued_at=NOW))


def test_a_user_can_be_kept_to_subjects() -> None:
    allowed = Permissions(publish=("observed.>",), subscribe=("reported.>", "_INBOX.>"))
    jwt = nats_accounts.user_jwt("w", "U", TENANT_SEED, issued_at=NOW, permissions=allowed)
    nats = nats_accounts.claims_of(jwt)["nats"]
    assert nats["pub"] == {"allow": ["observed.>"]}
    assert nats["sub"] == {"allow": ["reported.>", "_INBOX.>"]}


def test_revocations_and_deletions_are_carried() -> None:
    wish = nats_accounts.tenant_account_claims("acme", TENANT, HUB, revocations={"UABC": NOW})
    nats = nats_accounts.claims_of(nats_accounts.account_jwt(wish, TENANT, OPERATOR, issued_at=NOW))["nats"]
    assert nats["revocations"] == {"UABC": NOW}
    gone = verified(nats_accounts.deletion_jwt((TENANT,), OPERATOR, issued_at=NOW), OPERATOR)
    assert gone["nats"]["accounts"] == [TENANT]


def test_the_same_wish_at_the_same_time_is_the_same_jwt() -> None:
    def mint(now: int) -> str:
        wish = nats_accounts.tenant_account_claims("acme", TENANT, HUB)
        return nats_accounts.account_jwt(wish, TENANT, OPERATOR, issued_at=now)

    assert mint(NOW) == mint(NOW)
    assert mint(NOW) != mint(NOW + 1)


def test_a_credentials_file_is_read_back() -> None:
    seed = nats_accounts.new_seed(KeyKind.USER)
    jwt = nats_accounts.user_jwt("w", nats_accounts.public_key(seed), TENANT_SEED, issued_at=NOW)
    assert nats_accounts.parse_creds(nats_accounts.creds_file(jwt, seed)) == (jwt, seed)


@pytest.mark.parametrize("text", ["", "nothing", "-----BEGIN NATS USER JWT-----", nats_accounts.creds_file("a", "b")])
def test_a_broken_credentials_file_is_named_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="credentials"):
        nats_accounts.parse_creds(text)


def test_a_nonce_is_signed_as_the_server_expects() -> None:
    seed = nats_accounts.new_seed(KeyKind.USER)
    signature = base64.b64decode(nats_accounts.sign_nonce(seed, "nonce"))
    assert nkeys.from_seed(bytearray(seed.encode())).verify(b"nonce", signature)


@pytest.mark.parametrize("text", ["", "a", "a.!!.c", "a.bm90IGpzb24.c"])
def test_what_is_no_jwt_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a JWT"):
        nats_accounts.claims_of(text)
