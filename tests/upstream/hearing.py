"""What a listener heard, in which one client's words are looked for. Pure, but for being awaited.

Connections stand one behind the other, as `nc -k` takes them.
"""

import asyncio

from fleetlb.testkit.proxy_protocol import Header, read_header

_BEGINNING = b"\r\n\r\n\0\r\nQUIT\n"


async def header_before(heard: bytes, words: bytes) -> Header | None:
    """The PROXY protocol header right before these words; None where they have none, or were not heard."""
    place = heard.find(words)
    start = heard.rfind(_BEGINNING, 0, max(place, 0))
    if start < 0:
        return None
    reader = asyncio.StreamReader()
    reader.feed_data(heard[start:place])
    reader.feed_eof()
    try:
        header = await read_header(reader)
    except (ValueError, asyncio.IncompleteReadError):
        return None
    return None if await reader.read() else header
