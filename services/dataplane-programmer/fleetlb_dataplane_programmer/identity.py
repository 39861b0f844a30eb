"""Which balancer node this is."""

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which node of which group, and what is special about it."""

    node: str
    group: str
    allow_loopback: bool = False
    """Loopback is a place to forward to."""
    operator_key: str = ""
    """Public key of the operator, whose word on tenants alone is believed and is asked for; empty: anybody's is."""
    own_addresses: frozenset[str] = frozenset()
    """Of this machine."""
    announces: frozenset[str] = frozenset()
    """Capabilities: in which ways it can make VIPs known to the network."""
