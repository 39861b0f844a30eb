from pathlib import Path

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer
from fleetlb.testkit.raw_nats import RawNats

pytestmark = pytest.mark.integration


async def test_it_says_anything_and_keeps_what_it_hears(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        client = await RawNats.connect(server.port, server.hub_creds)
        everything = client.subscribe(">")
        shared = client.subscribe("a.*", "queue")
        client.publish("a.b", b"1", reply="r")
        client.publish("a..b", b"2", headers={"X": "y"})
        await client.settle()
        await eventually(lambda: len(client.heard) == 2)
        assert [(heard.subject, heard.reply, heard.data) for heard in client.of(everything)] == [("a.b", "r", b"1")]
        assert [heard.data for heard in client.of(shared)] == [b"1"]
        client.publish("x" * 5000)
        with pytest.raises(ConnectionError, match=r"(?i)control line"):
            await client.settle()
        await client.close()
        with pytest.raises(ConnectionError, match=r"(?i)authorization"):
            await RawNats.connect(server.port, server.hub_creds, sig="forged")
    finally:
        server.kill()
