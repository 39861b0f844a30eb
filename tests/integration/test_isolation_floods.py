"""One tenant says as much as the server takes; others go on, and lose nothing by it but time."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fleetlb.contracts.streams import observed_stream
from tests.integration.flooding import Flood, publications
from tests.integration.walled import EVIL, Neighbours, Site, neighbours, sites

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ALONE_SECONDS, FLOOD_SECONDS, QUESTIONS_SECONDS = 0.5, 2.0, 0.5
PACE_SECONDS = 0.1
"""Between two wishes of the other tenant."""
RECOVERY_SECONDS = 30.0
MEMORY_MIB = 1024
"""What the server may take with one tenant's stream full (64 MiB) and what is on its way to be stored (128 MiB)."""
FLOODS = {
    "one subject": (["observed.c1.service.f"] * 100, 1024),
    "many subjects": ([f"observed.c1.service.f{number}" for number in range(1000)], 100),
    "more than its stream holds": ([f"observed.c1.service.b{number}" for number in range(1500)], 50_000),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from sites(tmp_path_factory)


async def waits(others: Neighbours, seconds: float) -> list[float]:
    """How long each of the other tenant's wishes took; every one is acknowledged, or this raises."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(await others.publish())
        await asyncio.sleep(PACE_SECONDS)
    return sorted(found)


def told(what: str, found: list[float]) -> str:
    p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
    return f"{what}: {len(found)} wishes, p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"


async def state_of(others: Neighbours, account: str) -> dict[str, Any]:
    """What the server says of a tenant's stream."""
    answer = await others.hub.request(f"$JS.API.STREAM.INFO.{observed_stream(account).name}", b"")
    found: dict[str, Any] = json.loads(answer)["state"]
    return found


@pytest.mark.parametrize("kind", FLOODS)
async def test_T7_a_flood_of_wishes_costs_nobody_else_a_wish(site: Site, kind: str) -> None:
    subjects, size = FLOODS[kind]
    lines = publications(subjects, b"x" * size)
    good, evil = site.good.account, site.evil.account
    async with neighbours(site, overhear=False) as others:
        print(told("alone", await waits(others, ALONE_SECONDS)))
        before, hubs = await state_of(others, good), await others.holdings()
        with Flood(site.server.port, site.evil_creds["watcher"], lines, len(subjects)) as flood:
            found = await waits(others, FLOOD_SECONDS)
            rate = flood.rate
        print(told(f"beside {rate:.0f} a second of {size} bytes", found), f"server {site.memory_mib()} MiB")
        assert rate >= 100 * len(found) / FLOOD_SECONDS
        after = await state_of(others, good)
        assert after["last_seq"] == before["last_seq"] + len(found)
        assert (after["messages"], after["bytes"]) == (before["messages"], before["bytes"])
        own, limit = await state_of(others, evil), observed_stream(evil).max_bytes
        assert own["messages"] > 0, "nothing of the flood was stored"
        assert own["bytes"] <= limit
        assert own["bytes"] > limit - 2 * size or kind != "more than its stream holds", "it was not filled"
        names = [name for name in hubs if "OBSERVED" not in name]
        assert [(await others.holdings())[name] for name in names] == [hubs[name] for name in names]
        assert site.memory_mib() < MEMORY_MIB


@pytest.mark.parametrize("asked", ["snapshot", "credentials"])
async def test_T7_a_flood_of_questions_stops_no_wishes_and_leaves_nothing_behind(site: Site, asked: str) -> None:
    """Questions of others may wait for as long as it lasts: the hub reads them one by one, whoever asks."""
    lines = publications([asked] * 100, EVIL, reply="_INBOX.nobody")
    async with neighbours(site, overhear=False) as others:
        with Flood(site.server.port, site.evil_creds["watcher"], lines, 100) as flood:
            found = await waits(others, QUESTIONS_SECONDS)
            rate = flood.rate
        print(told(f"beside {rate:.0f} questions a second", found), f"server {site.memory_mib()} MiB")
        began = time.monotonic()
        assert await others.watcher.request(asked, b"", RECOVERY_SECONDS)
        print(f"answered again {time.monotonic() - began:.1f} s after the flood")
        await others.live()
        assert site.memory_mib() < MEMORY_MIB
