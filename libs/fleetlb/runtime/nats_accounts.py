"""Mints NATS operator-mode JWTs: who may connect, and the only subjects a tenant's account shares with the hub's.

Pure: a seed and a time go in, text comes out. It must not know a server, a file or a clock; pushing an account to a
running server is `fleetlb.runtime.nats_resolver`, the server's own configuration is `fleetlb.runtime.nats_config`.

A tenant's account imports services and streams of the hub account. The server itself writes (for services) or checks
(for streams) the importing account's key in token 4 of the subject, so a tenant cannot even name another tenant.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
import nkeys

from fleetlb.contracts.subjects import LOCAL_CREDENTIALS, LOCAL_SNAPSHOT, ROOT
from fleetlb.runtime.nats_permissions import Permissions

UNLIMITED = -1
ACCOUNT_TOKEN = 4
TENANT_MAX_PAYLOAD = 256 * 1024
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_TENANT_TREES = ("observed", "reported", "resync", "renewal")
_TENANT_REQUESTS = (LOCAL_SNAPSHOT, LOCAL_CREDENTIALS)


class KeyKind(Enum):
    """What a key pair stands for; the value is the prefix byte of its encoded form."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER


class _Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the claim structs: what has its default is left out, as the server's own tools do."""


class Export(_Claims, frozen=True, kw_only=True):
    """A subject tree that an account offers; `type` is `service` (requests in) or `stream` (messages out)."""

    name: str
    subject: str
    type: str
    account_token_position: int = 0


class Import(_Claims, frozen=True, kw_only=True):
    """A subject tree of another account under a local name."""

    name: str
    subject: str
    account: str
    local_subject: str
    type: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of an account, always written in full: the server reads an absent number as zero."""

    subs: int = UNLIMITED
    data: int = UNLIMITED
    payload: int = UNLIMITED
    imports: int = UNLIMITED
    exports: int = UNLIMITED
    wildcards: bool = True
    conn: int = UNLIMITED
    leaf: int = 0
    mem_storage: int = 0
    disk_storage: int = 0
    streams: int = 0
    consumer: int = 0


class AccountClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may do. `revocations`: user public key (or `*`) -> unix time up to which its JWTs are void."""

    name: str
    limits: Limits = Limits()
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    revocations: Mapping[str, int] = msgspec.field(default_factory=dict)


def new_seed(kind: KeyKind) -> str:
    """A new random key pair of a kind, as its seed."""
    return _text(nkeys.encode_seed(secrets.token_bytes(32), kind.value))


def public_key(seed: str) -> str:
    """The public key that belongs to a seed: the identity of the operator (O…), account (A…) or user (U…).

    Raises ValueError, which does not show the seed.
    """
    try:
        return _text(nkeys.from_seed(bytearray(seed.encode())).public_key)
    except (nkeys.NkeysError, ValueError):
        raise ValueError("not the seed of a key") from None


def operator_jwt(name: str, operator_seed: str, *, system_account: str, issued_at: int) -> str:
    """The operator's self-signed JWT, which a server trusts by configuration."""
    nats = {"type": "operator", "version": 2, "system_account": system_account}
    return _signed(name, public_key(operator_seed), operator_seed, nats, issued_at=issued_at)


def account_jwt(claims: AccountClaims, account_public: str, operator_seed: str, *, issued_at: int) -> str:
    """An account's JWT, signed by the operator."""
    nats: dict[str, Any] = {
        "type": "account",
        "version": 2,
        "limits": claims.limits,
        "default_permissions": {"pub": {}, "sub": {}},
        "exports": claims.exports,
        "imports": claims.imports,
    }
    if claims.revocations:
        nats["revocations"] = dict(claims.revocations)
    return _signed(claims.name, account_public, operator_seed, nats, issued_at=issued_at)


def user_jwt(
    name: str,
    user_public: str,
    account_seed: str,
    *,
    issued_at: int,
    expires_at: int | None = None,
    permissions: Permissions | None = None,
) -> str:
    """A user's JWT, signed by its account; `expires_at` is a unix time, None means never."""
    allowed = permissions or Permissions()
    nats = {
        "type": "user",
        "version": 2,
        "pub": {"allow": allowed.publish} if allowed.publish else {},
        "sub": {"allow": allowed.subscribe} if allowed.subscribe else {},
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
    }
    return _signed(name, user_public, account_seed, nats, issued_at=issued_at, expires_at=expires_at)


def deletion_jwt(account_publics: tuple[str, ...], operator_seed: str, *, issued_at: int) -> str:
    """The operator's word that accounts shall be forgotten, for a resolver that allows deletion."""
    nats = {"type": "generic", "version": 2, "accounts": account_publics}
    return _signed("delete", public_key(operator_seed), operator_seed, nats, issued_at=issued_at)


def creds_file(jwt: str, seed: str) -> str:
    """The text of a credentials file, as every NATS client reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def parse_creds(text: str) -> tuple[str, str]:
    """(JWT, seed) of a credentials file's text. Raises ValueError; never shows what it read."""
    jwt = _armoured(text, "NATS USER JWT")
    seed = _armoured(text, "USER NKEY SEED")
    if jwt.count(".") != 2 or not seed.startswith("SU"):
        raise ValueError("the credentials hold no user JWT or no user seed")
    return jwt, seed


def sign_nonce(seed: str, nonce: str) -> bytes:
    """What a client answers to the server's challenge."""
    return base64.b64encode(nkeys.from_seed(bytearray(seed.encode())).sign(nonce.encode()))


def claims_of(jwt: str) -> dict[str, Any]:
    """The claims inside a JWT, unverified: for showing and for comparing what was minted. Raises ValueError."""
    try:
        body = jwt.split(".")[1]
        claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, msgspec.DecodeError) as problem:
        raise ValueError(f"not a JWT: {problem}") from None
    return claims


def hub_account_claims() -> AccountClaims:
    """The hub account: it alone has JetStream; one export of each kind serves every tenant."""
    limits = Limits(mem_storage=UNLIMITED, disk_storage=UNLIMITED, streams=UNLIMITED, consumer=UNLIMITED)
    exports = [_export(tree, f"{ROOT}.{tree}.*.>") for tree in _TENANT_TREES]
    exports += [_export(request, f"{ROOT}.{request}.*") for request in _TENANT_REQUESTS]
    return AccountClaims(name="hub", limits=limits, exports=tuple(exports))


def tenant_account_claims(
    tenant: str, account_public: str, hub_public: str, *, revocations: Mapping[str, int] | None = None
) -> AccountClaims:
    """A tenant's account: no JetStream, small limits, and of the hub only what carries its own key."""
    imports = [_import(tree, f"{ROOT}.{tree}.{account_public}.>", hub_public, f"{tree}.>") for tree in _TENANT_TREES]
    imports += [
        _import(request, f"{ROOT}.{request}.{account_public}", hub_public, request) for request in _TENANT_REQUESTS
    ]
    return AccountClaims(
        name=f"tenant-{tenant}",
        limits=Limits(subs=64, payload=TENANT_MAX_PAYLOAD, conn=16, imports=len(imports), exports=0),
        imports=tuple(imports),
        revocations=revocations or {},
    )


def system_account_claims() -> AccountClaims:
    """The system account, over which accounts are pushed and looked up."""
    return AccountClaims(name="system")


def _armoured(text: str, what: str) -> str:
    lines = text.splitlines()
    for number, line in enumerate(lines[:-1]):
        if f"BEGIN {what}" in line:
            return lines[number + 1].strip()
    raise ValueError(f"the credentials have no section {what!r}")


def _kind_of(tree: str) -> str:
    return "service" if tree in ("observed", *_TENANT_REQUESTS) else "stream"


def _export(tree: str, subject: str) -> Export:
    return Export(name=tree, subject=subject, type=_kind_of(tree), account_token_position=ACCOUNT_TOKEN)


def _import(tree: str, subject: str, account: str, local_subject: str) -> Import:
    return Import(name=tree, subject=subject, account=account, local_subject=local_subject, type=_kind_of(tree))


def _signed(
    name: str,
    subject: str,
    signer_seed: str,
    nats: Mapping[str, Any],
    *,
    issued_at: int,
    expires_at: int | None = None,
) -> str:
    claims = {"iat": issued_at, "iss": public_key(signer_seed), "name": name, "sub": subject, "nats": nats}
    if expires_at is not None:
        claims["exp"] = expires_at
    digest = hashlib.sha256(msgspec.json.encode(claims)).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = f"{_part(_HEADER)}.{_part(claims)}"
    signature = nkeys.from_seed(bytearray(signer_seed.encode())).sign(head.encode())
    return f"{head}.{_base64url(signature)}"


def _part(value: object) -> str:
    return _base64url(msgspec.json.encode(value))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _text(value: bytes | bytearray) -> str:
    return bytes(value).decode()
