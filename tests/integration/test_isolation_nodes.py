"""A balancer node reads what its group should serve, says what became of it under its own name, and nothing else."""

import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import decode
from fleetlb.contracts.streams import allowed_stream, desired_stream
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.domain.errors import Poison
from fleetlb.runtime.nats_permissions import node_permissions
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import RawNats
from tests.integration.hostile_subjects import FAMILIES
from tests.integration.test_isolation_rights import refusals
from tests.integration.walled import DESIRED, Site, neighbours, sites

pytestmark = pytest.mark.integration

GROUP, NODE = "default", "node-2"
INBOX = subjects.node_inbox(GROUP, NODE)
OWN = subjects.realized_node(GROUP, NODE)
DESIRES, ALLOWS, REALIZES = "FLEETLB_DESIRED_default", "FLEETLB_ALLOWED_default", "FLEETLB_REALIZED_default"
ANNOUNCES = "FLEETLB_ANNOUNCED_default"
FURTHER = [
    OWN.replace("node-2", "node-1"), OWN.replace("default", "other"), OWN.replace("node-2", "node-2x"),
    *(f"$JS.API.CONSUMER.CREATE.{stream}" for stream in (DESIRES, ALLOWS, REALIZES)),
    *(f"$JS.API.CONSUMER.CREATE.{stream}.c" for stream in (DESIRES, ALLOWS, REALIZES)),
    *(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.c" for stream in (DESIRES, ALLOWS, REALIZES)),
    *(f"$JS.API.STREAM.{verb}.{DESIRES}" for verb in ("INFO", "UPDATE", "PURGE", "DELETE", "MSG.GET")),
    f"$JS.API.CONSUMER.CREATE.{REALIZES}.c.fleetlb.v1.realized.default.>",
    f"$JS.API.CONSUMER.CREATE.{REALIZES}.c.fleetlb.v1.realized.default.node-1.>",
    f"$JS.API.CONSUMER.CREATE.{DESIRES}.c.fleetlb.v1.desired.>",
    "$JS.API.CONSUMER.CREATE.FLEETLB_DESIRED_other.c.fleetlb.v1.desired.other.>",
    "$JS.API.CONSUMER.MSG.NEXT.FLEETLB_DESIRED_other.c", "$JS.API.CONSUMER.MSG.NEXT.FLEETLB_EVENTS.c",
    "fleetlb.v1.announced.default.node-1.node", "fleetlb.v1.announced.default.node-1.vip.192-0-2-1",
    "fleetlb.v1.announced.other.node-2.node", "fleetlb.v1.instructed.default",
    f"$JS.API.CONSUMER.CREATE.{ANNOUNCES}.c.fleetlb.v1.announced.>", f"$JS.API.STREAM.PURGE.{ANNOUNCES}",
    "fleetlb.v1.allowed.default.good", "fleetlb.v1.held", "fleetlb.v1.marked.fleetlb-manager", f"{INBOX}.x",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


@contextlib.asynccontextmanager
async def a_node(site: Site) -> AsyncIterator[RawNats]:
    creds: Path = site.server.write_creds(NODE, site.server.hub_seed, permissions=node_permissions(GROUP, NODE))
    connection = await RawNats.connect(site.server.port, creds)
    try:
        yield connection
    finally:
        await connection.close()


def tried(site: Site) -> list[str]:
    """All that a tenant would try, and what a node might."""
    families = ("of another tenant", "of the hub", "wildcards", "of JetStream", "of the system")
    return [site.words(text) for text in [*FURTHER, *(text for family in families for text in FAMILIES[family])]]


async def test_a_node_says_nothing_but_its_own(site: Site) -> None:
    async with a_node(site) as node:
        for subject in tried(site):
            node.publish(subject, b"1", reply=f"{INBOX}.x")
            assert await refusals(node) == [f"'Permissions Violation for Publish to \"{subject}\"'"]
        for own in (OWN, subjects.present(GROUP, NODE), subjects.carried(GROUP, NODE, "192.0.2.1")):
            node.publish(own, b"1", reply=f"{INBOX}.x")
        assert await refusals(node) == []


async def test_a_node_hears_its_own_inbox_alone(site: Site) -> None:
    others = ("_INBOX.>", "_INBOX.node.>", "_INBOX.node.default.>", f"{subjects.node_inbox(GROUP, 'node-1')}.>")
    async with a_node(site) as node:
        for subject in [*tried(site), *others, OWN, "fleetlb.v1.desired.default.>"]:
            if not subject.startswith(f"{INBOX}."):
                node.subscribe(subject)
                assert await refusals(node) == [f"'Permissions Violation for Subscription to \"{subject}\"'"]
        node.subscribe(f"{INBOX}.>")
        assert await refusals(node) == []


@pytest.mark.parametrize("aim", [">", "fleetlb.v1.realized.default.>", "fleetlb.v1.realized.default.node-1.>"])
async def test_a_consumer_reads_what_its_subject_says_and_no_more(site: Site, aim: str) -> None:
    """The server compares the filter in the request with that in its subject."""
    async with a_node(site) as node:
        ears = node.subscribe(f"{INBOX}.*")
        config = {"name": "c", "ack_policy": "none", "filter_subject": aim}
        body = msgspec.json.encode({"stream_name": REALIZES, "config": config})
        own = subjects.realized_by(GROUP, NODE)
        node.publish(f"$JS.API.CONSUMER.CREATE.{REALIZES}.c.{own}", body, reply=f"{INBOX}.1")
        await eventually(lambda: len(node.of(ears)) == 1)
        assert b'"error"' in node.of(ears)[0].data


async def test_what_a_node_has_acknowledged_elsewhere_is_a_word_that_nobody_takes_for_a_wish(site: Site) -> None:
    """The server stores its acknowledgement wherever the node wants it. It asks nobody to let go of anything."""
    async with neighbours(site) as others, a_node(site) as node:
        before = await others.holdings()
        node.publish(OWN, b"mine", reply=DESIRED)
        await node.settle()
        body = msgspec.json.encode({"last_by_subj": DESIRED})
        answer = msgspec.json.decode(await others.hub.request(f"$JS.API.STREAM.MSG.GET.{DESIRES}", body))
        said = base64.b64decode(answer["message"]["data"])
        assert msgspec.json.decode(said).keys() >= {"stream", "seq"}
        with pytest.raises(Poison):
            decode(VirtualServerDesired, said)
        after = await others.holdings()
        assert {name for name in after if after[name] != before[name]} == {DESIRES, REALIZES}


def test_the_streams_are_those_of_the_group() -> None:
    allowed = node_permissions(GROUP, NODE).publish
    assert any(desired_stream(GROUP).name in text for text in allowed)
    assert any(allowed_stream(GROUP).name in text for text in allowed)
    assert not any(text.startswith((">", "$JS.API.STREAM", "$JS.>")) for text in allowed)
