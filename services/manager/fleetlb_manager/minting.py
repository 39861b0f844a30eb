"""What a tenant's account consists of: Secrets in the management cluster and a JWT for the NATS servers. Pure.

Random seeds and the time are given in. Whoever reads the system namespace's Secrets can become any tenant; whoever
reads a tenant namespace's Secret can publish as that tenant's watcher and nothing else.
"""

import base64
import binascii
import re
from typing import Any

import msgspec

from fleetlb.contracts.objects import TENANT_LABEL, WATCHER_CREDENTIALS_KEY, WATCHER_CREDENTIALS_SECRET
from fleetlb.runtime import nats_accounts

Object = dict[str, Any]

SEED_KEY = "account.seed"
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


def account_jwt(tenant: str, account: str, operator: Operator, *, issued_at: int) -> str:
    """The account as the NATS servers must know it."""
    claims = nats_accounts.tenant_account_claims(tenant, account, operator.hub_account)
    return nats_accounts.account_jwt(claims, account, operator.seed, issued_at=issued_at)


def watcher_secret(tenant: str, namespace: str, account_seed: str, user_seed: str, *, issued_at: int) -> Object:
    """The Secret with the credentials of a tenant's watchers."""
    jwt = nats_accounts.user_jwt(
        f"watcher-{tenant}",
        nats_accounts.public_key(user_seed),
        account_seed,
        issued_at=issued_at,
        permissions=nats_accounts.WATCHER_PERMISSIONS,
    )
    creds = nats_accounts.creds_file(jwt, user_seed)
    return _secret(WATCHER_CREDENTIALS_SECRET, namespace, tenant, {WATCHER_CREDENTIALS_KEY: creds})


def belongs_to(secret: Object, account: str) -> bool:
    """Whether the credentials in a Secret are those of a user of the account."""
    text = _read(secret, WATCHER_CREDENTIALS_KEY)
    try:
        jwt, _ = nats_accounts.parse_creds(text)
        return bool(nats_accounts.claims_of(jwt)["iss"] == account)
    except (ValueError, KeyError):
        return False


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
