"""Finds virtual servers that somebody else changed, out of /proc/net/ip_vs. Pure; its word is a suspicion, no proof.

The kernel tells nobody of changes, and reading every destination by netlink costs fifty times this text. What cannot
be seen here (thresholds, tunnels, flags of schedulers) is compared whenever a key is read for another reason.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey

# Active and inactive connections stand at the end of a destination's line.
_CONNECTIONS = re.compile(rb"( +\d+){2} *$", re.MULTILINE)
_ACTIVE = re.compile(rb" (\d+) +\d+ *$", re.MULTILINE)
_SERVICE = re.compile(rb"^(TCP|UDP|SCTP|FWM) +([^ ]+)")
_DESTINATION_MARK = b"  ->"


ABSENT = 0


class Block(NamedTuple):
    """One service with its destinations: the kernel's name for it, and a fingerprint of all but its connections."""

    name: bytes
    fingerprint: int
    """`ABSENT` for a service that is not in the table."""


def read_blocks(text: bytes) -> list[Block]:
    """The services in the table, in its order. Destinations count in any order."""
    blocks: list[Block] = []
    for line in _CONNECTIONS.sub(b"", text).split(b"\n"):
        if line.startswith(_DESTINATION_MARK):
            if blocks:
                name, fingerprint = blocks[-1]
                blocks[-1] = Block(name, fingerprint ^ hash(line))
        elif match := _SERVICE.match(line):
            blocks.append(Block(match.group(), hash(line)))
    return blocks


def connections_in(text: bytes) -> int:
    """How many connections are open over all destinations, those of TCP that are established."""
    return sum(map(int, _ACTIVE.findall(text)))


def name_of(key: VirtualServerKey) -> bytes:
    """How the text names a virtual server."""
    address = ipaddress.ip_address(key.address)
    host = f"{int(address):08X}" if address.version == 4 else f"[{address.exploded}]"
    return f"{key.protocol.value:<4} {host}:{key.port:04X}".encode()


def key_of(name: bytes) -> VirtualServerKey | None:
    """The inverse of `name_of`; None for a service of a firewall mark."""
    protocol, _, endpoint = name.decode("ascii").partition(" ")
    if protocol == "FWM":
        return None
    host, _, port = endpoint.strip().rpartition(":")
    address = ipaddress.ip_address(host.strip("[]") if host.startswith("[") else int(host, 16))
    return VirtualServerKey(str(address), int(port, 16), Protocol(protocol))


class Watch:
    """Remembers how each virtual server of ours looked when it was last known to be right."""

    def __init__(self) -> None:
        """Nothing is expected."""
        self._expected: dict[bytes, int | None] = {}

    def expect(self, key: VirtualServerKey) -> None:
        """The virtual server is programmed; how it looks is not known yet."""
        self._expected[name_of(key)] = None

    def forget(self, key: VirtualServerKey) -> None:
        """The virtual server is not ours any more."""
        self._expected.pop(name_of(key), None)

    def accept(self, block: Block) -> None:
        """It was read, and is right like this."""
        if block.name in self._expected:
            self._expected[block.name] = block.fingerprint

    def misses_all(self, head: bytes) -> bool:
        """Whether the first lines of the table show that it is empty, though something of ours should be in it."""
        return bool(self._expected) and not read_blocks(head)

    def suspects(self, blocks: Iterable[Block]) -> list[Block]:
        """Those of ours that do not look as they did."""
        seen = {block.name: block for block in blocks}
        found: list[Block] = []
        for name, fingerprint in self._expected.items():
            block = seen.get(name)
            if block is None:
                found.append(Block(name, ABSENT))
            elif block.fingerprint != fingerprint:
                found.append(block)
        return found
