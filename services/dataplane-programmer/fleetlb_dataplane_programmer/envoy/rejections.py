"""Envoy's refusals, read: which of the resources it means, and what an operator can do about it. Pure.

Envoy answers per response and applies per resource; only the text tells which resource is at fault.
"""

import re
from collections.abc import Collection

MAX_MESSAGE_LENGTH = 512

_CURES = (
    (
        "Address already in use",
        "another process on this node holds the address and port: stop it, or give the Service another port",
    ),
    (
        "Permission denied",
        "Envoy may not bind this port: run it with CAP_NET_BIND_SERVICE, lower net.ipv4.ip_unprivileged_port_start,"
        " or give the Service a port above it",
    ),
    (
        "Cannot assign requested address",
        "the address cannot be bound on this node: is its family (IPv6?) enabled there",
    ),
)


def blame(detail: str, names: Collection[str]) -> dict[str, str]:
    """The text about each of `names` that `detail` names, in the form `<name>: <text>`; empty if it names none."""
    starts = sorted(
        (found.start(1), found.end(), name)
        for name in names
        if name in detail
        for found in re.finditer(rf"(?:^|[\s,;])({re.escape(name)}): ", detail)
    )
    ends = [start for start, _, _ in starts[1:]] + [len(detail)]
    return {
        name: detail[text_start:end].strip(" \t\r\n,;")
        for (_, text_start, name), end in zip(starts, ends, strict=False)
    }


def explain(text: str) -> str:
    """Envoy's text, after a sentence with the cure where one is known; bounded in length."""
    shortened = " ".join(text.split())[:MAX_MESSAGE_LENGTH]
    for sign, cure in _CURES:
        if sign in text:
            return f"{cure} (Envoy: {shortened})"
    return f"Envoy refused it: {shortened}"
