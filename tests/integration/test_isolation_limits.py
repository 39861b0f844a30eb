"""What one tenant may have at once: connections, subscriptions, bytes; and that asking for more costs nobody else."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fleetlb.runtime.nats_accounts import TENANT_MAX_PAYLOAD
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.raw_nats import RawNats
from tests.integration.flooding import Flood, publications
from tests.integration.walled import EVIL, Neighbours, Site, neighbours, sites

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

CONNECTIONS, SUBSCRIPTIONS = 16, 64
ATTEMPTS, AT_ONCE, ASKED_FOR = 1000, 50, 100_000
PENDING_MIB = 64
"""What the server keeps for a connection that does not read, before it cuts it: its default."""
ROOM_MIB = 128
FLOOD_SECONDS, PATIENCE = 2.0, 30.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


async def storm(others: Neighbours, attempts: int) -> tuple[list[RawNats], list[str]]:
    """Connect so often, many at once; those who got in, and why the others did not."""
    inside: list[RawNats] = []
    refused: list[str] = []
    # More, and a slow machine does not greet all of them within the server's two seconds.
    at_once = asyncio.Semaphore(AT_ONCE)

    async def attempt() -> None:
        async with at_once:
            try:
                inside.append(await others.attacker("watcher"))
            except ConnectionError as problem:
                refused.append(str(problem))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(attempts):
            tasks.create_task(attempt())
    return inside, refused


async def test_T7_connections_end_at_the_accounts_limit_and_others_still_come_in(site: Site) -> None:
    before = site.memory_mib()
    async with neighbours(site) as others, others.unharmed():
        inside, refused = await storm(others, ATTEMPTS)
        # The server counts them and lets one in under two locks: those of one moment may all have been counted before.
        assert CONNECTIONS <= len(inside) < CONNECTIONS + AT_ONCE
        assert len(refused) == ATTEMPTS - len(inside)
        assert any("maximum account active connections exceeded" in text for text in refused)
        for _ in range(AT_ONCE):
            assert (await storm(others, 1))[0] == []
        newcomer = await RawNats.connect(site.server.port, site.good.creds)
        await newcomer.close()
        print(f"{ATTEMPTS} attempts: {before} MiB before, {site.memory_mib()} MiB after")
        assert site.memory_mib() < before + ROOM_MIB
        for one in inside[CONNECTIONS - 1 :]:
            await one.close()

        async def comes_in() -> bool:
            return len((await storm(others, 1))[0]) == 1

        while not await comes_in():  # noqa: ASYNC110 - what is polled is the server
            await asyncio.sleep(0.01)


async def test_T7_subscriptions_end_at_the_limit_and_the_rest_is_refused(site: Site) -> None:
    before = site.memory_mib()
    async with neighbours(site) as others:
        greedy = await others.attacker("rogue")
        async with others.unharmed():
            sids = [greedy.subscribe(f"s.{number}") for number in range(ASKED_FOR)]
            await greedy.settle()
            assert len(greedy.errors) == ASKED_FOR - SUBSCRIPTIONS
            assert set(greedy.errors) == {"'maximum subscriptions exceeded'"}
            for number in (SUBSCRIPTIONS - 1, SUBSCRIPTIONS, ASKED_FOR - 1):
                greedy.publish(f"s.{number}", EVIL)
            await greedy.settle()
            assert {heard.sid for heard in greedy.heard} == {sids[SUBSCRIPTIONS - 1]}
        print(f"{ASKED_FOR} subscriptions: {before} MiB before, {site.memory_mib()} MiB after")
        assert site.memory_mib() < before + ROOM_MIB


@pytest.mark.parametrize(("size", "allowed"), [(-1, True), (0, True), (1, False), (1_000_000, False)])
async def test_T7_a_message_ends_at_the_limit(site: Site, size: int, allowed: bool) -> None:
    async with neighbours(site) as others:
        writer = await others.attacker("rogue")
        writer.subscribe("own")
        async with others.unharmed():
            writer.publish("own", b"x" * (TENANT_MAX_PAYLOAD + size))
            if allowed:
                await writer.settle()
                await eventually(lambda: writer.heard)
            else:
                with pytest.raises(ConnectionError):
                    await writer.settle()


async def test_T7_those_who_do_not_read_are_cut_before_they_fill_the_server(site: Site) -> None:
    """An account has so many connections, and the server keeps so much for each: one tenant can hold no more of it."""
    before, deaf = site.memory_mib(), 3
    lines = publications(["own"] * 20, b"x" * 250_000)
    async with neighbours(site, overhear=False) as others:
        with ExitStack() as open_ones:
            for _ in range(deaf):
                listener = Flood(site.server.port, site.evil_creds["rogue"], b"SUB own 1\r\n", 0)
                open_ones.callback(listener.close)
                listener.say()
            flood = open_ones.enter_context(Flood(site.server.port, site.evil_creds["rogue"], lines, 20))
            most, began = before, time.monotonic()
            while (spent := time.monotonic() - began) < FLOOD_SECONDS or flood.sent * 250_000 < PENDING_MIB * MIB:
                assert spent < PATIENCE, f"too little was said to fill anything: {flood.sent} messages"
                await others.live()
                most = max(most, site.memory_mib())
        print(f"{deaf} that do not read: {before} MiB before, {most} MiB at most")
        assert most < before + 3 * deaf * PENDING_MIB + ROOM_MIB
