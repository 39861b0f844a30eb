"""An audit that goes on beside a local fleet, and pages of metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.e2e.fleet import FLEETLB, eventually


async def page(url: str, accept: str = "") -> str:
    """What is served there."""
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Accept": accept}) as answer:
        assert answer.status == 200
        return await answer.text()


@contextlib.asynccontextmanager
async def auditing(state: Path, port: int) -> AsyncIterator[str]:
    """An audit that goes on, once it has looked; where its metrics are."""
    url = f"http://127.0.0.1:{port}/metrics"
    serving = await asyncio.create_subprocess_exec(
        FLEETLB, "audit", "--state", str(state), "--settle", "0.2", "--every", "1", "--serve", f"127.0.0.1:{port}"
    )

    async def has_looked() -> bool:
        try:
            return "fleetlb_audit_findings{" in await page(url)
        except aiohttp.ClientError:
            return False

    try:
        await eventually(has_looked, "an audit's metrics")
        yield url
    finally:
        serving.terminate()
        await serving.wait()
