"""Prometheus itself, and what its promtool says of pages, rules and configurations."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

FETCH = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "fetch.sh"
START_SECONDS = 60.0


class PrometheusError(Exception):
    """There is no such program here, or it does not start, and why."""


@cache
def find(program: str) -> str:
    """The path of `prometheus` or `promtool`, fetched if it is not there. Raises PrometheusError."""
    found = subprocess.run([str(FETCH), program], capture_output=True, text=True, timeout=240, check=False)
    if found.returncode:
        raise PrometheusError(found.stderr.strip()[-500:])
    return found.stdout.strip()


def promtool(*arguments: str | Path, page: str = "") -> tuple[int, str]:
    """Its exit code, and what it says. Raises PrometheusError."""
    check = [find("promtool"), *map(str, arguments)]
    answer = subprocess.run(check, input=page, capture_output=True, text=True, timeout=60, check=False)
    return answer.returncode, answer.stdout + answer.stderr


def objections(page: str) -> str:
    """What is to be said of a page of metrics in the plain text format; empty: nothing. Raises PrometheusError."""
    code, said = promtool("check", "metrics", page=page)
    return said + (f"exit code {code}" if code else "")


class Prometheus:
    """The API of one that runs."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """`url`: without a path."""
        self.url = url
        self._session = session

    async def ask(self, path: str, **parameters: str | Sequence[str]) -> Any:
        """The data of an answer. Raises PrometheusError with what it objects to."""
        pairs = [
            (name.replace("match", "match[]"), text)
            for name, given in parameters.items()
            for text in ([given] if isinstance(given, str) else given)
        ]
        async with self._session.post(f"{self.url}/api/v1/{path}", data=pairs) as response:
            answer = await response.json()
        if answer["status"] != "success" or answer.get("warnings"):
            raise PrometheusError(f"{path} {parameters}: {answer.get('error') or answer.get('warnings')}")
        return answer["data"]

    async def look(self, path: str) -> Any:
        """The data of what has no parameters, such as `rules`."""
        async with self._session.get(f"{self.url}/api/v1/{path}") as response:
            return (await response.json())["data"]


@contextlib.asynccontextmanager
async def running(config: Path, data: Path, port: int) -> AsyncIterator[Prometheus]:
    """One with a configuration, on a port of the loopback, for the time of a block. Raises PrometheusError."""
    log = data.with_suffix(".log")
    command = [
        find("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn",
    ]  # fmt: skip
    with log.open("wb") as lines:
        process = await asyncio.create_subprocess_exec(*command, stdout=lines, stderr=lines)
    try:
        async with aiohttp.ClientSession() as session:
            await _until_ready(f"http://127.0.0.1:{port}/-/ready", session, process, log)
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_ready(
    url: str, session: aiohttp.ClientSession, process: asyncio.subprocess.Process, log: Path
) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    raise PrometheusError(f"it does not start: {log.read_text('utf-8')[-1000:]}")
