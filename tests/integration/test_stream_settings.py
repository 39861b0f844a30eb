"""Streams that somebody else has set up, on a real server: mended where it can be, refused by name where it cannot."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fleetlb.contracts.streams import PARKED_STREAM, StreamSpec
from fleetlb.runtime.bus import Misconfigured
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.stream_config import complaint, stream_config
from fleetlb.testkit.nats_server import NatsServer

pytestmark = pytest.mark.integration

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=1_000_000, max_message_bytes=1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path_factory.mktemp("nats"))
    made.start()
    yield made
    made.kill()


@contextlib.asynccontextmanager
async def hub_on(server: NatsServer) -> AsyncIterator[JetStreamBus]:
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(server.url, tasks=tasks, creds=server.hub_creds)
        try:
            yield bus
        finally:
            for name in (SPEC.name, PARKED_STREAM.name, "OTHER"):
                await bus.delete_stream(name)
            await bus.close()


async def ask(bus: JetStreamBus, verb: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await bus.request(f"$JS.API.STREAM.{verb}.{name}", json.dumps(body).encode() if body else b"")
    found: dict[str, Any] = json.loads(answer)
    assert "error" not in found, found
    return found


MENDED: dict[str, dict[str, Any]] = {
    "roll-up": {"allow_rollup_hdrs": True},
    "direct reads": {"allow_direct": True},
    "republish": {"republish": {"src": "s.>", "dest": "fleetlb.v1.reported.>"}},
    "sources": {"sources": [{"name": "OTHER"}]},
    "other subjects": {"subject_transform": {"src": "s.>", "dest": "s.x.>"}},
    "atomic batches": {"allow_atomic": True},
    "no acknowledgement": {"no_ack": True},
    "old messages go": {"discard": "old"},
    "its size": {"max_bytes": 2_000_000},
    "on disk": {"storage": "file"},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "lifetimes": ({"allow_msg_ttl": True}, "allow_msg_ttl is true"),
    "schedules": (
        {"allow_msg_schedules": True, "allow_msg_ttl": True, "discard": "old"},
        "allow_msg_schedules is true",
    ),
    "counters": ({"allow_msg_counter": True, "discard": "old"}, "allow_msg_counter is true"),
    "no purge": ({"deny_purge": True}, "deny_purge is true"),
    "retention": ({"retention": "workqueue"}, 'retention is "workqueue", not "limits"'),
}


@pytest.mark.parametrize("case", MENDED)
async def test_what_can_be_mended_is(server: NatsServer, case: str) -> None:
    async with hub_on(server) as hub:
        await ask(hub, "CREATE", "OTHER", {"name": "OTHER", "subjects": ["other"], "storage": "memory"})
        made = await ask(hub, "CREATE", "S", stream_config(SPEC) | MENDED[case])
        assert complaint(SPEC, made["config"]), "the server did not take the setting, so nothing is shown"
        await hub.ensure_stream(SPEC)
        assert complaint(SPEC, (await ask(hub, "INFO", "S"))["config"]) == ""


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_mended_is_refused_by_name_and_the_cure_works(server: NatsServer, case: str) -> None:
    setting, named = REFUSED[case]
    async with hub_on(server) as hub:
        made = await ask(hub, "CREATE", "S", stream_config(SPEC) | setting)
        with pytest.raises(Misconfigured) as refusal:
            await hub.ensure_stream(SPEC)
        assert named in str(refusal.value)
        assert "nats stream rm S" in str(refusal.value)
        assert (await ask(hub, "INFO", "S"))["config"] == made["config"]
        await ask(hub, "DELETE", "S")
        await hub.ensure_stream(SPEC)


async def test_a_sealed_stream_is_refused_by_name(server: NatsServer) -> None:
    async with hub_on(server) as hub:
        await hub.ensure_stream(SPEC)
        await ask(hub, "UPDATE", "S", stream_config(SPEC) | {"sealed": True})
        with pytest.raises(Misconfigured, match="sealed is true"):
            await hub.ensure_stream(SPEC)


async def test_a_mirror_becomes_a_stream_of_our_own(server: NatsServer) -> None:
    async with hub_on(server) as hub:
        await ask(hub, "CREATE", "OTHER", {"name": "OTHER", "subjects": ["other"], "storage": "memory"})
        await ask(hub, "CREATE", "S", {"name": "S", "storage": "memory", "mirror": {"name": "OTHER"}})
        await hub.ensure_stream(SPEC)
        await hub.publish("s.1", b"x", message_id="1")
        assert complaint(SPEC, (await ask(hub, "INFO", "S"))["config"]) == ""


async def test_a_stream_that_an_earlier_version_kept_on_disk_is_remade(server: NatsServer) -> None:
    async with hub_on(server) as hub:
        await ask(hub, "CREATE", "S", stream_config(SPEC) | {"storage": "file"})
        await hub.publish("s.1", b"x", message_id="1")
        assert (await hub.ensure_stream(SPEC)).messages == 0
        assert (await ask(hub, "INFO", "S"))["config"]["storage"] == "memory"


async def test_no_other_stream_is_remade(server: NatsServer) -> None:
    async with hub_on(server) as hub:
        await ask(hub, "CREATE", PARKED_STREAM.name, stream_config(PARKED_STREAM) | {"storage": "memory"})
        await hub.publish("fleetlb.v1.parked.x", b"x", message_id="1")
        with pytest.raises(Misconfigured, match=r'storage is "memory", not "file".*read it before'):
            await hub.ensure_stream(PARKED_STREAM)
        assert (await ask(hub, "INFO", PARKED_STREAM.name))["state"]["messages"] == 1
