"""A real Envoy as a child process. Knows no resources: it takes a bootstrap and a command line ready made."""

import asyncio
import json
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

import aiohttp

ENVOY = pathlib.Path(sys.executable).with_name("envoy")


class EnvoyProcess:
    """One Envoy with its admin interface on a unix socket; restarts keep the configuration."""

    def __init__(self, folder: pathlib.Path, bootstrap: dict[str, Any], command: Callable[[pathlib.Path], list[str]]):
        """`command(configuration)` is the whole command line. `folder` takes the configuration and the log."""
        self._configuration = folder / "envoy.json"
        self._configuration.write_text(json.dumps(bootstrap))
        self._command = command(self._configuration)
        self._admin = pathlib.Path(bootstrap["admin"]["address"]["pipe"]["path"])
        self._log = folder / "envoy.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id of the running Envoy."""
        assert self._process is not None, "Envoy is not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text()

    async def start(self) -> None:
        """Start it and wait for its own admin interface, whatever it serves by then."""
        self._process = process = await self._spawn()
        async with asyncio.timeout(20):
            while not await self._answers():
                assert process.returncode is None, f"Envoy ended:\n{self.log[-2000:]}"
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            await self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal and do not wait."""
        assert self._process is not None, "Envoy is not started"
        self._process.send_signal(number)

    async def statistics(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose name begins with `prefix`."""
        text = await self._get("/stats")
        pairs = (line.split(": ") for line in text.splitlines() if line.startswith(prefix))
        return {name: int(value) for name, value in pairs if value.isdecimal()}

    async def configuration(self) -> dict[str, Any]:
        """The configuration dump with endpoints."""
        dump: dict[str, Any] = json.loads(await self._get("/config_dump?include_eds"))
        return dump

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._admin.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(*self._command, stdout=log, stderr=log)

    async def _answers(self) -> bool:
        try:
            await self._get("/server_info")
        except (aiohttp.ClientError, OSError):
            return False
        return True

    async def _get(self, path: str) -> str:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._admin))) as session,
            session.get(f"http://envoy{path}") as response,
        ):
            response.raise_for_status()
            return await response.text()

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "Envoy is not started"
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(20):
            await process.wait()
