"""Dialling says what came back, or why nothing did, and never raises."""

import asyncio

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.demo.dialling import dial, dial_until_answered, dial_until_refused


async def test_silence_is_no_answer() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        answer = await dial(VirtualServerKey("127.0.0.1", port, Protocol.TCP), 0.5)
    assert not answer.ok


async def test_waiting_for_an_answer_ends_at_its_deadline() -> None:
    key = VirtualServerKey("127.0.0.1", 1, Protocol.TCP)
    answer = await dial_until_answered(key, 0.05)
    assert answer.failure == "Connection refused"
    assert (await dial_until_refused(key, 5)).failure == "Connection refused"
