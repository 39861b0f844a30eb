"""Pushes accounts to a running server, and asks it about them, over the system account.

It must not mint or read JWTs beyond comparing text: that is `fleetlb.runtime.nats_accounts`.
"""

from collections.abc import Awaitable
from typing import Any, Protocol

import msgspec

from fleetlb.domain.errors import FleetlbError, Transient

_UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
_DELETE = "$SYS.REQ.CLAIMS.DELETE"
_TIMEOUT_SECONDS = 3.0


class Requesting(Protocol):
    """The one thing needed of a bus that is connected with a system account's user."""

    def request(self, subject: str, body: bytes, timeout: float) -> Awaitable[bytes]:
        """Ask and wait for the first answer."""


class AccountRefused(FleetlbError):
    """The server read the JWT and refused it; the same JWT will be refused again."""


async def push_account(system: Requesting, jwt: str, *, timeout: float = _TIMEOUT_SECONDS) -> None:
    """Make an account, or its newer version, known to the server. Raises AccountRefused, or Transient."""
    _check(await system.request(_UPDATE, jwt.encode(), timeout))


async def delete_account(system: Requesting, deletion_jwt: str, *, timeout: float = _TIMEOUT_SECONDS) -> None:
    """Make the server forget the accounts that a deletion JWT names. Raises AccountRefused, or Transient."""
    _check(await system.request(_DELETE, deletion_jwt.encode(), timeout))


async def forget_account(system: Requesting, account_public: str, deletion_jwt: str) -> None:
    """Delete an account, unless the server does not know it. Raises AccountRefused, or Transient."""
    if await look_up_account(system, account_public) is not None:
        await delete_account(system, deletion_jwt)


async def look_up_account(system: Requesting, account_public: str, *, timeout: float = _TIMEOUT_SECONDS) -> str | None:
    """The JWT that the server holds for an account, or None."""
    answer = await system.request(f"$SYS.REQ.ACCOUNT.{account_public}.CLAIMS.LOOKUP", b"", timeout)
    return answer.decode() or None


def _check(answer: bytes) -> None:
    try:
        reply: dict[str, Any] = msgspec.json.decode(answer)
    except msgspec.DecodeError as problem:
        raise Transient(f"unreadable answer about an account: {problem}") from None
    error = reply.get("error")
    if error is not None:
        raise AccountRefused(str(error.get("description", error)))
    if reply.get("data", {}).get("code") != 200:
        raise Transient(f"unexpected answer about an account: {answer[:200]!r}")
