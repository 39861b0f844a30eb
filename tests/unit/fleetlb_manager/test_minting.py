import base64

import pytest

from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb_manager import minting
from fleetlb_manager.credential_terms import Validity
from fleetlb_manager.minting import Operator

SEED = nats_accounts.new_seed(KeyKind.ACCOUNT)
ACCOUNT = nats_accounts.public_key(SEED)
USER = nats_accounts.new_seed(KeyKind.USER)
OPERATOR = Operator(
    nats_accounts.new_seed(KeyKind.OPERATOR), nats_accounts.public_key(nats_accounts.new_seed(KeyKind.ACCOUNT))
)


def test_an_accounts_seed_is_found_again_in_its_secret() -> None:
    secret = minting.account_secret("acme", "fleetlb-system", SEED)
    assert secret["metadata"]["name"] == "fleetlb-account-acme"
    assert minting.account_seed_of(secret) == SEED


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"account.seed": ""},
        {"account.seed": "%%%"},
        {"account.seed": base64.b64encode(USER.encode()).decode()},
        None,
    ],
)
def test_a_secret_without_a_usable_seed_has_none(data: object) -> None:
    assert minting.account_seed_of({"data": data} if data is not None else {}) is None


def test_an_account_imports_from_the_hub_and_is_signed_by_the_operator() -> None:
    claims = nats_accounts.claims_of(minting.account_jwt("acme", ACCOUNT, OPERATOR, issued_at=5))
    assert (claims["sub"], claims["iss"]) == (ACCOUNT, nats_accounts.public_key(OPERATOR.seed))
    assert {granted["account"] for granted in claims["nats"]["imports"]} == {OPERATOR.hub_account}


def test_a_watchers_credentials_belong_to_one_account() -> None:
    secret = minting.watcher_secret("acme", "tenant-acme", SEED, USER, Validity(5, 65))
    assert minting.validity_of(secret, ACCOUNT) == Validity(5, 65)
    assert minting.validity_of(secret, OPERATOR.hub_account) is None
    assert minting.validity_of({"data": {"nats.creds": base64.b64encode(b"nonsense").decode()}}, ACCOUNT) is None
    assert minting.validity_of({}, ACCOUNT) is None
    assert minting.tenant_namespace("acme", "tenant-acme")["metadata"]["labels"] == {"fleetlb.dev/tenant": "acme"}
