import asyncio

from fleetlb.testkit.scripted_nats import ScriptedNats


async def test_it_greets_answers_pings_and_says_what_it_is_told() -> None:
    nats = ScriptedNats()
    async with nats.listening():
        reader, writer = await asyncio.open_connection("127.0.0.1", nats.port)
        assert (await reader.readline()).startswith(b'INFO {"server_id"')
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"PONG\r\n"
        nats.say("-ERR 'No'")
        assert await reader.readline() == b"-ERR 'No'\r\n"
        writer.close()
    assert nats.received == ["PING"]
