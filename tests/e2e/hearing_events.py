"""Events of a fleet as an integration has them, and the examples of the documentation as processes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import nats
from nats.js.api import AckPolicy, ConsumerConfig

from fleetlb_cli.local.layout import Environment

STREAM, ALL, INBOX = "FLEETLB_EVENTS", "fleetlb.v1.events.*.*", b"_INBOX_integration"
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
BATCH = 256
ENDED_SECONDS = 30.0


class Heard(NamedTuple):
    """One event."""

    subject: str
    headers: dict[str, str]
    data: dict[str, Any]

    @property
    def word(self) -> str:
        """The type, as in the subject."""
        return self.subject.rpartition(".")[2]


async def history(environment: Environment) -> list[Heard]:
    """Every event in the stream, each once."""
    client = await nats.connect(
        environment.nats.url, user_credentials=environment.nats.integration_creds, inbox_prefix=INBOX
    )
    try:
        stream, found = client.jetstream(), dict[str, Heard]()
        pending = (await stream.stream_info(STREAM)).state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE)
        events = await stream.pull_subscribe(ALL, stream=STREAM, config=config)
        while pending:
            for message in await events.fetch(BATCH, timeout=5):
                headers = dict(message.headers or {})
                heard = Heard(message.subject, headers, msgspec.json.decode(message.data))
                found.setdefault(headers["ce-id"], heard)
                pending = message.metadata.num_pending
        return list(found.values())
    finally:
        await client.close()


async def of_service(environment: Environment, uid: str) -> list[Heard]:
    """Those about one Service."""
    return [heard for heard in await history(environment) if heard.data.get("uid") == uid]


def command(environment: Environment, example: str, *arguments: str) -> list[str]:
    """An example of the documentation as its reader would start it."""
    place = environment.nats
    return [sys.executable, str(EXAMPLES / example), place.url, place.integration_creds, *arguments]


@asynccontextmanager
async def running(environment: Environment, example: str, *arguments: str) -> AsyncIterator[None]:
    """An example at work, which must not end by itself."""
    process = await asyncio.create_subprocess_exec(
        *command(environment, example, *arguments), stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
        assert process.returncode is None, (await process.communicate())[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def output_of(environment: Environment, example: str, *arguments: str) -> str:
    """What an example prints that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *command(environment, example, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(ENDED_SECONDS):
        out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return out.decode()
