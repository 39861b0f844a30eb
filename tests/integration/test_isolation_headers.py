"""Headers that make a stream do something: each is refused, or does nothing, and only its sender can lose by it."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from fleetlb.contracts.streams import observed_stream
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import RawNats
from tests.integration.walled import EVIL, SECRET, Neighbours, Site, neighbours, sites

pytestmark = pytest.mark.integration

REFUSED: dict[str, dict[str, str]] = {
    "rollup of everything": {"Nats-Rollup": "all"},
    "rollup of the subject": {"Nats-Rollup": "sub"},
    "rollup, nonsense": {"Nats-Rollup": "other"},
    "lifetime": {"Nats-TTL": "1s"},
    "lifetime, none": {"Nats-TTL": "never"},
    "lifetime, nonsense": {"Nats-TTL": "x"},
    "another stream": {"Nats-Expected-Stream": "{S}"},
    "sequence": {"Nats-Expected-Last-Sequence": "9999"},
    "sequence of a subject": {"Nats-Expected-Last-Subject-Sequence": "9999"},
    "sequence of other subjects": {
        "Nats-Expected-Last-Subject-Sequence": "9999",
        "Nats-Expected-Last-Subject-Sequence-Subject": "fleetlb.v1.observed.{good}.c1.service.u1",
    },
    "last id": {"Nats-Expected-Last-Msg-Id": "nobody-said-this"},
    "schedule": {"Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": "fleetlb.v1.observed.{good}.x"},
    "schedule into the own tree": {
        "Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "fleetlb.v1.observed.{evil}.c1.service.x",
    },
    "counter": {"Nats-Incr": "+1"},
    "batch": {"Nats-Batch-Id": "b1", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
}  # fmt: skip
IGNORED: dict[str, dict[str, str]] = {
    "source": {"Nats-Stream-Source": "{S} 1 > > fleetlb.v1.observed.{good}.c1.service.u1"},
    "answer of the server": {"Status": "503", "Description": "x"},
    "who asks": {"Nats-Request-Info": '{"acc":"{good}","rtt":1}'},
    "stored fields": {"Nats-Stream": "{S}", "Nats-Subject": "fleetlb.v1.observed.{good}.c1.x", "Nats-Sequence": "1"},
    "marker": {"Nats-Marker-Reason": "Purge", "KV-Operation": "PURGE"},
    "size": {"Nats-Msg-Size": "99999999"},
    "response type": {"Nats-Required-Api-Level": "999", "Nats-Pending-Messages": "1"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


async def ask(site: Site, client: RawNats, headers: dict[str, str], body: bytes, number: int = 0) -> dict[str, Any]:
    """Say one wish with headers; the stream's answer."""
    inbox = f"_INBOX.evil.{len(client.heard)}"
    spelled = {name: site.words(value) for name, value in headers.items()}
    client.publish(f"observed.c1.service.h{number}", body, reply=inbox, headers=spelled)
    await eventually(lambda: any(heard.subject == inbox for heard in client.heard))
    (answer,) = [heard for heard in client.heard if heard.subject == inbox]
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def own(others: Neighbours) -> dict[str, Any]:
    """The state of the attacker's own stream."""
    name = observed_stream(others.site.evil.account).name
    state: dict[str, Any] = json.loads(await others.hub.request(f"$JS.API.STREAM.INFO.{name}", b""))["state"]
    return state


@pytest.mark.parametrize("user", ["watcher", "rogue"])
@pytest.mark.parametrize("case", REFUSED)
async def test_T8_a_header_that_would_act_on_a_stream_is_refused_and_changes_nothing(
    site: Site, case: str, user: str
) -> None:
    async with neighbours(site) as others:
        client = await others.attacker(user)
        client.subscribe("_INBOX.evil.*")
        assert "seq" in await ask(site, client, {}, EVIL)
        before = await own(others)
        async with others.unharmed():
            for number in range(3):
                assert "error" in await ask(site, client, REFUSED[case], EVIL, number)
        assert await own(others) == before, "even its own stream must stay"


@pytest.mark.parametrize("case", IGNORED)
async def test_T8_a_header_that_means_something_elsewhere_means_nothing(site: Site, case: str) -> None:
    async with neighbours(site) as others:
        client = await others.attacker("rogue")
        client.subscribe("_INBOX.evil.*")
        async with others.unharmed():
            answer = await ask(site, client, IGNORED[case], EVIL)
        assert answer["stream"] == observed_stream(site.evil.account).name


async def test_T1_no_message_id_of_one_tenant_suppresses_a_message_of_another(site: Site) -> None:
    """Ids are UIDs with versions, so they can be guessed; each tenant has its own memory of them."""
    async with neighbours(site) as others:
        rogue = await others.attacker("rogue")
        rogue.subscribe("_INBOX.evil.*")
        ids = [f"u{number}-7" for number in range(100)]
        for guessed in ids:
            assert not (await ask(site, rogue, {"Nats-Msg-Id": guessed}, EVIL)).get("duplicate")
        assert (await ask(site, rogue, {"Nats-Msg-Id": ids[0]}, EVIL))["duplicate"]
        for guessed in ids:
            ack = await others.watcher.publish(f"observed.c1.service.{guessed}", SECRET, message_id=guessed)
            assert not ack.duplicate


async def test_T1_65535_headers_cost_their_sender_alone(site: Site) -> None:
    async with neighbours(site) as others:
        rogue = await others.attacker("rogue")
        async with others.unharmed():
            rogue.publish("observed.c1.service.u1", EVIL, headers={f"h{number}": "x" for number in range(65_535)})
            with pytest.raises(ConnectionError):
                await rogue.settle()
            most = await others.attacker("rogue")
            most.subscribe("_INBOX.evil.*")
            assert "seq" in await ask(site, most, {f"h{number}": "x" for number in range(15_000)}, EVIL)


async def test_T8_a_header_cannot_be_smuggled_or_cut_short(site: Site) -> None:
    """Lengths that lie, and header blocks that are none: the server ends the connection, or takes them for data."""
    lies = [
        b"HPUB observed.c1.service.u1 12 4\r\nNATS/1.0\r\n\r\n\r\n",
        b"HPUB observed.c1.service.u1 99999999999999999999 99999999999999999999\r\n",
        b"HPUB observed.c1.service.u1 -1 -1\r\n",
        b"HPUB observed.c1.service.u1 4 8\r\nEVILEVIL\r\n",
        b"HPUB observed.c1.service.u1 16 16\r\nNATS/1.0\r\nNats-R\r\n",
        b"PUB observed.c1.service.u1 4294967296\r\n",
        b"PUB observed.c1.service.u1 -5\r\nEVIL\r\n",
        b"PUB a b c d 4\r\nEVIL\r\n",
        b"RMSG $G fleetlb.v1.observed.x 4\r\nEVIL\r\n",
        b"LMSG fleetlb.v1.observed.x 4\r\nEVIL\r\n",
        b"A+ hub\r\n",
        b"RS+ hub fleetlb.>\r\n",
        b"LS+ fleetlb.>\r\n",
        b'INFO {"server_id":"x"}\r\n',
        b"CONNECT {}\r\n",
    ]
    async with neighbours(site) as others, others.unharmed():
        for lie in lies:
            rogue = await others.attacker("rogue")
            rogue.send(lie.removesuffix(b"\r\n"))
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.5):
                    await rogue.settle()
            await rogue.close()
