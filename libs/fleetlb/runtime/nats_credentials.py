"""The credentials that a process connects to NATS with: those of its file, or those that it was issued since.

Whichever was issued last counts, so a file that somebody replaces is taken up, and one that a kubelet has not renewed
yet does no harm. Must not know how credentials are asked for, nor where they are kept.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fleetlb.runtime.nats_accounts import claims_of, parse_creds


class Credentials(msgspec.Struct, frozen=True):
    """A user's JWT and the seed that proves it. Times are whole seconds since 1970; `expires_at` None: never."""

    jwt: str
    seed: str
    issued_at: int
    expires_at: int | None = None

    def __repr__(self) -> str:
        return f"Credentials(issued_at={self.issued_at}, expires_at={self.expires_at})"


def credentials_of(jwt: str, seed: str) -> Credentials:
    """A JWT with its times. Raises ValueError if it does not tell them."""
    claims = claims_of(jwt)
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int) or not isinstance(expires_at, int | None):
        raise ValueError("the JWT does not say when it was issued, or when it expires")
    return Credentials(jwt, seed, issued_at, expires_at)


def _spelled(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Keyring:
    """The newest credentials of a process."""

    def __init__(self, path: Path) -> None:
        """Reads the file whenever it is asked."""
        self.path = path
        self._issued: Credentials | None = None

    def newest(self) -> Credentials:
        """What to connect with. Raises OSError or ValueError for a file that cannot be read, if nothing was issued."""
        try:
            kept = credentials_of(*parse_creds(self.path.read_text()))
        except (OSError, ValueError):
            if self._issued is None:
                raise
            return self._issued
        if self._issued is None or self._issued.issued_at < kept.issued_at:
            return kept
        return self._issued

    def describe(self) -> str:
        """Which credentials these are, for who must find out why they are refused."""
        try:
            newest = self.newest()
        except (OSError, ValueError) as problem:
            return str(problem)
        until = "for ever" if newest.expires_at is None else f"until {_spelled(newest.expires_at)}"
        return f"those of {self.path}, issued {_spelled(newest.issued_at)}, good {until} unless revoked"

    def take(self, issued: Credentials) -> None:
        """From the next connection on these count, unless the file has newer ones."""
        self._issued = issued
