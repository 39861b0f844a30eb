"""An integration reads events and their history, in every way that its client may choose, and nothing else."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from fleetlb.runtime.nats_permissions import INTEGRATION_PERMISSIONS
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import RawNats
from tests.integration.hostile_subjects import FAMILIES
from tests.integration.test_isolation_rights import refusals
from tests.integration.walled import DESIRED, EVENT, SECRET, Site, neighbours, sites

pytestmark = pytest.mark.integration

STREAM, ALL = "FLEETLB_EVENTS", "fleetlb.v1.events.>"
GROUPS = "FLEETLB_DESIRED_default"
INBOX = b"_INBOX_integration"
OTHERS = ("FLEETLB_TOLD", "FLEETLB_DESIRED_default", "FLEETLB_PARKED")
MAY_SAY = (
    "$JS.API.STREAM.INFO.FLEETLB_EVENTS",
    "$JS.API.CONSUMER.CREATE.FLEETLB_EVENTS.c.fleetlb.v1.events.>",
    "$JS.API.CONSUMER.MSG.NEXT.FLEETLB_EVENTS.c",
)
FURTHER = [
    *(f"$JS.API.CONSUMER.CREATE.{stream}" for stream in OTHERS),
    *(f"$JS.API.CONSUMER.CREATE.{stream}.c.fleetlb.v1.desired.>" for stream in OTHERS),
    *(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.c" for stream in OTHERS),
    *(f"$JS.API.STREAM.INFO.{stream}" for stream in OTHERS),
    "$JS.API.STREAM.UPDATE.FLEETLB_EVENTS", "$JS.API.STREAM.DELETE.FLEETLB_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.FLEETLB_EVENTS", "_INBOX_integration.x",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


@pytest.fixture(scope="module")
def creds(site: Site) -> Path:
    """As an operator would issue them."""
    return site.server.write_creds("integration", site.server.hub_seed, permissions=INTEGRATION_PERMISSIONS)


@pytest.fixture
async def client(site: Site, creds: Path) -> AsyncIterator[Client]:
    connection = await nats.connect(site.server.url, user_credentials=str(creds), inbox_prefix=INBOX)
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def raw(site: Site, creds: Path) -> AsyncIterator[RawNats]:
    connection = await RawNats.connect(site.server.port, creds)
    try:
        yield connection
    finally:
        await connection.close()


def subjects(site: Site) -> list[str]:
    """All that a tenant would try, and what an integration might."""
    families = ("of another tenant", "of the hub", "wildcards", "of JetStream", "of the system")
    known = [*FURTHER, *(subject for family in families for subject in FAMILIES[family])]
    return [site.words(subject) for subject in known]


async def test_history_is_read_in_order_by_an_ordered_consumer(client: Client) -> None:
    subscription = await client.jetstream().subscribe(ALL, stream=STREAM, ordered_consumer=True)
    message = await subscription.next_msg(5)
    assert (message.subject, message.data) == (EVENT, SECRET)
    await subscription.unsubscribe()


async def test_a_durable_consumer_goes_on_where_it_was(site: Site, client: Client) -> None:
    stream = client.jetstream()
    first = await stream.pull_subscribe(ALL, durable="mine", stream=STREAM)
    (message,) = await first.fetch(1, timeout=5)
    await message.ack_sync()
    async with neighbours(site) as others:
        await others.hub.publish(EVENT, b"next", message_id=str(time.monotonic_ns()))
    second = await stream.pull_subscribe(ALL, durable="mine", stream=STREAM)
    (message,) = await second.fetch(1, timeout=5)
    assert message.data == b"next"
    await message.ack()
    assert await stream.delete_consumer(STREAM, "mine")


async def test_one_that_keeps_nothing_reads_to_the_end(client: Client) -> None:
    once = ConsumerConfig(ack_policy=AckPolicy.NONE)
    subscription = await client.jetstream().pull_subscribe(ALL, stream=STREAM, config=once)
    messages = await subscription.fetch(100, timeout=5)
    assert messages[-1].metadata.num_pending == 0
    assert messages[0].data == SECRET


async def test_what_happens_now_is_heard_without_any_stream(site: Site, creds: Path) -> None:
    async with neighbours(site) as others, raw(site, creds) as ears:
        sid = ears.subscribe("fleetlb.v1.events.good.*")
        await ears.settle()
        await others.hub.publish(EVENT, b"now", message_id=str(time.monotonic_ns()))
        await eventually(lambda: [heard.data for heard in ears.of(sid)] == [b"now"])


async def test_an_integration_says_nothing_and_asks_for_nothing_else(site: Site, creds: Path) -> None:
    async with raw(site, creds) as integration:
        for subject in subjects(site):
            integration.publish(subject, b"1", reply="_INBOX_integration.x")
            expected = [] if subject in MAY_SAY else [f"'Permissions Violation for Publish to \"{subject}\"'"]
            assert await refusals(integration) == expected


async def test_an_integration_hears_nothing_else_and_no_inbox_of_others(site: Site, creds: Path) -> None:
    async with raw(site, creds) as integration:
        for subject in [*subjects(site), "_INBOX.>", "_INBOX_integrations.>"]:
            if not subject.startswith(("fleetlb.v1.events.", "_INBOX_integration.")):
                integration.subscribe(subject)
                expected = f"'Permissions Violation for Subscription to \"{subject}\"'"
                assert await refusals(integration) == [expected]


@pytest.mark.parametrize("deliver", [{"deliver_subject": DESIRED}, {}], ids=["pushed", "pulled"])
async def test_what_it_has_delivered_elsewhere_takes_the_place_of_nothing(
    site: Site, client: Client, deliver: dict[str, str]
) -> None:
    hub = await nats.connect(site.server.url, user_credentials=str(site.server.hub_creds))
    streams = hub.jetstream()
    before = await streams.get_last_msg(GROUPS, DESIRED)
    ears = await hub.subscribe(DESIRED)
    await hub.flush()
    name = f"aimed-{len(deliver)}"
    config = {"name": name, "durable_name": name, "ack_policy": "none", "deliver_policy": "last", **deliver}
    body = msgspec.json.encode({"stream_name": STREAM, "config": config})
    answer = await client.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.{name}", body, timeout=5)
    assert b'"error"' not in answer.data
    if not deliver:
        await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}", b'{"batch":1}', reply=DESIRED)
    heard = await ears.next_msg(5)
    assert heard.subject == EVENT
    assert await streams.get_last_msg(GROUPS, DESIRED) == before
    await hub.close()
