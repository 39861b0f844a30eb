"""The accounts that a hub begins with, from three seeds. Pure: seeds and times go in, texts come out."""

import msgspec

from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_permissions import Permissions


class Seeds(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's key and those of the two accounts that exist before any tenant."""

    operator: str
    system: str
    hub: str

    def __repr__(self) -> str:
        return "Seeds()"


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is told before anybody connects; `preloaded`: account -> JWT. None of it is secret."""

    operator_key: str
    operator_jwt: str
    system: str
    hub: str
    preloaded: dict[str, str]


def new_seeds() -> Seeds:
    """Three keys that nobody had before."""
    operator, system, hub = map(nats_accounts.new_seed, (KeyKind.OPERATOR, KeyKind.ACCOUNT, KeyKind.ACCOUNT))
    return Seeds(operator=operator, system=system, hub=hub)


def accounts(seeds: Seeds, operator: str, now: int) -> Accounts:
    """Operator, system and hub account; tenants' accounts are pushed by the manager while the server runs."""
    system, hub = nats_accounts.public_key(seeds.system), nats_accounts.public_key(seeds.hub)
    claims = {system: nats_accounts.system_account_claims(), hub: nats_accounts.hub_account_claims()}
    return Accounts(
        operator_key=nats_accounts.public_key(seeds.operator),
        operator_jwt=nats_accounts.operator_jwt(operator, seeds.operator, system_account=system, issued_at=now),
        system=system,
        hub=hub,
        preloaded={
            account: nats_accounts.account_jwt(claim, account, seeds.operator, issued_at=now)
            for account, claim in claims.items()
        },
    )


def user(name: str, account_seed: str, now: int, permissions: Permissions | None = None) -> str:
    """The credentials file of a new user that never expires."""
    seed = nats_accounts.new_seed(KeyKind.USER)
    jwt = nats_accounts.user_jwt(
        name, nats_accounts.public_key(seed), account_seed, issued_at=now, permissions=permissions
    )
    return nats_accounts.creds_file(jwt, seed)
