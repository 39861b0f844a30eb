"""The credentials that the hub offers to a tenant's watchers: whether one can join with them, and until when. Pure.

Never holds a secret: only what may be shown of it.
"""

import base64

import msgspec

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY, Revocation, Tenant
from fleetlb.kube.resources import Object
from fleetlb.runtime.nats_accounts import claims_of, parse_creds
from fleetlb.runtime.nats_credentials import credentials_of
from fleetlb_cli.tenants.times import seconds_of, spelled


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Times are whole seconds since 1970."""

    account: str
    issued_at: int
    expires_at: int | None
    """None: never."""


class Void(msgspec.Struct, frozen=True):
    """A Tenant's revocation, read: what was issued before a time is void from another on."""

    issued_before: int
    since: int
    """0: from the beginning."""


def offer_of(secret: Object | None) -> Offer | None:
    """What a Secret holds; None: nothing that can be read as credentials."""
    encoded = ((secret or {}).get("data") or {}).get(WATCHER_CREDENTIALS_KEY, "")
    try:
        jwt, seed = parse_creds(base64.b64decode(encoded, validate=True).decode())
        found = credentials_of(jwt, seed)
    except ValueError:
        return None
    account = str(claims_of(jwt).get("iss", ""))
    return Offer(account=account, issued_at=found.issued_at, expires_at=found.expires_at)


def void_of(revoked: Revocation | None) -> Void | None:
    """None: nothing is revoked, or what stands there is no time and the manager cannot go by it either."""
    issued_before = seconds_of(revoked.issued_before) if revoked else None
    if revoked is None or issued_before is None:
        return None
    since = seconds_of(revoked.at) if revoked.at else 0
    return None if since is None else Void(issued_before, since)


def good_until(tenant: Tenant, offer: Offer) -> int | None:
    """When credentials cease to be good, as far as is known now; None: never."""
    void = void_of(tenant.spec.credentials.revoked)
    ends = [] if offer.expires_at is None else [offer.expires_at]
    if offer.issued_at < (seconds_of(tenant.status.void_before) or 0):
        ends.append(0)
    if void is not None and offer.issued_at < void.issued_before:
        ends.append(void.since)
    return min(ends, default=None)


def trouble_with(tenant: Tenant, offer: Offer | None, now: float) -> str:
    """Why nobody can join with the credentials of a tenant's Secret, and the cure; empty: somebody can."""
    name = tenant.metadata.name
    where = f"the Secret of tenant {name} in {tenant.namespace}"
    if tenant.metadata.deletion_timestamp is not None:
        return f"tenant {name} is being removed: nobody can join it any more"
    if tenant.spec.suspended:
        return f"tenant {name} is suspended, so no watcher can connect: `fleetlb tenant resume {name}` first"
    manager = "the manager puts good ones there within ten minutes, at once when it is restarted; see that it runs"
    if offer is None:
        return f"{where} holds no credentials: {manager}"
    if offer.account != tenant.status.account:
        return f"{where} holds credentials of another account: {manager}"
    until = good_until(tenant, offer)
    if until is None or now < until:
        return ""
    if offer.expires_at is not None and now >= offer.expires_at:
        return f"{where} holds credentials that expired at {spelled(offer.expires_at)}: {manager}"
    return f"{where} holds credentials that are revoked: {manager}"
