"""PEM files for TLS with NATS, which commands take along to where a process will run."""

import msgspec


class Papers(msgspec.Struct, frozen=True, kw_only=True):
    """Their contents; empty: there is none."""

    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""

    def __repr__(self) -> str:
        return "Papers()"


NO_PAPERS = Papers()
