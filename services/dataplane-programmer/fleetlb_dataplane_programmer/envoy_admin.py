"""Asks a running Envoy which virtual servers it holds, before the first push: the one question that ADS answers late.

It must not know wishes.
"""

import asyncio
import contextlib

import aiohttp

from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key

_SECONDS = 2.0


async def listeners(admin: str) -> frozenset[VirtualServerKey] | None:
    """The virtual servers that Envoy listens for; None if it does not answer. `admin`: socket path or host:port."""
    connector = aiohttp.UnixConnector(admin) if admin.startswith("/") else None
    url = "http://envoy/listeners" if connector else f"http://{admin}/listeners"
    try:
        async with (
            asyncio.timeout(_SECONDS),
            aiohttp.ClientSession(connector=connector) as session,
            session.get(url) as response,
        ):
            text = await response.text() if response.status == 200 else None
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
    return None if text is None else parse_listeners(text)


def parse_listeners(text: str) -> frozenset[VirtualServerKey]:
    """Read Envoy's `name::address` lines; names that are no virtual servers are somebody else's."""
    keys: set[VirtualServerKey] = set()
    for line in text.splitlines():
        name = line.strip()
        # The name of an IPv6 listener holds "::" itself; it ends after its protocol.
        for protocol in ("/tcp", "/udp"):
            head, found, _ = name.partition(f"{protocol}::")
            if found:
                with contextlib.suppress(ValueError):
                    keys.add(parse_key(head + protocol))
                break
    return frozenset(keys)
