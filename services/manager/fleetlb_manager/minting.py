"""What a tenant's account consists of: Secrets in the management cluster and a JWT for the NATS servers. Pure.

Random seeds and the time are given in. Whoever reads the system namespace's Secrets can become any tenant; whoever
reads a tenant namespace's Secret can publish as that tenant's watcher and nothing else.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from fleetlb.contracts.objects import TENANT_LABEL
from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_credentials import credentials_of
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS
from fleetlb_manager.credential_terms import Validity

Object = dict[str, Any]

SEED_KEY = "account.seed"
EVERYBODY = "*"
"""Instead of a user, where users are revoked."""
_ACCOUNT_SEED = re.compile(r"SA[A-Z2-7]{56}")


class Operator(msgspec.Struct, frozen=True):
    """Who signs accounts, and the hub account that tenants import from."""

    seed: str
    hub_account: str


def account_secret_name(tenant: str) -> str:
    """The Secret that holds a tenant's account seed."""
    return f"fleetlb-account-{tenant}"


def account_secret(tenant: str, namespace: str, account_seed: str) -> Object:
    """The Secret of a new account."""
    return _secret(account_secret_name(tenant), namespace, tenant, {SEED_KEY: account_seed})


def account_seed_of(secret: Object) -> str | None:
    """The seed in an account's Secret; None if there is none that can be used."""
    seed = _read(secret, SEED_KEY)
    return seed if _ACCOUNT_SEED.fullmatch(seed) else None


def account_jwt(
    tenant: str, account: str, operator: Operator, *, issued_at: int, revoked: Mapping[str, int] | None = None
) -> str:
    """The account as the NATS servers must know it. `revoked`: by user, or for everybody, up to when issued."""
    claims = nats_accounts.tenant_account_claims(tenant, account, operator.hub_account, revocations=revoked)
    return nats_accounts.account_jwt(claims, account, operator.seed, issued_at=issued_at)


def watcher_jwt(tenant: str, user: str, account_seed: str, validity: Validity) -> str:
    """The right of a tenant's watcher to connect, for the public key of a user."""
    return nats_accounts.user_jwt(
        f"watcher-{tenant}",
        user,
        account_seed,
        issued_at=validity.issued_at,
        expires_at=validity.expires_at,
        permissions=WATCHER_PERMISSIONS,
    )


def watcher_secret(tenant: str, namespace: str, account_seed: str, user_seed: str, validity: Validity) -> Object:
    """The Secret with credentials that a tenant's watcher can join with."""
    jwt = watcher_jwt(tenant, nats_accounts.public_key(user_seed), account_seed, validity)
    creds = nats_accounts.creds_file(jwt, user_seed)
    return _secret(WATCHER_CREDENTIALS_SECRET, namespace, tenant, {WATCHER_CREDENTIALS_KEY: creds})


def validity_of(secret: Object, account: str) -> Validity | None:
    """Of the credentials in a Secret; None if they are not those of a user of the account."""
    text = _read(secret, WATCHER_CREDENTIALS_KEY)
    try:
        jwt, seed = nats_accounts.parse_creds(text)
        found = credentials_of(jwt, seed)
    except ValueError:
        return None
    is_of_account = nats_accounts.claims_of(jwt).get("iss") == account
    return Validity(found.issued_at, found.expires_at or 0) if is_of_account else None


def tenant_namespace(tenant: str, namespace: str) -> Object:
    """A tenant's namespace."""
    return {"metadata": {"name": namespace, "labels": {TENANT_LABEL: tenant}}}


def _secret(name: str, namespace: str, tenant: str, content: dict[str, str]) -> Object:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {TENANT_LABEL: tenant}},
        "type": "Opaque",
        "data": encoded,
    }


def _read(secret: Object, key: str) -> str:
    try:
        return base64.b64decode(secret.get("data", {}).get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return ""
