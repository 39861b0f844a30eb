"""One change at a time on a fleet with a number of Services standing; ours and the floor in turn."""

import asyncio
import time

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.bench.samples import Series
from fleetlb_cli.bench.tenant import PORT, BenchTenant
from fleetlb_cli.demo.dialling import dial, dial_until_answered, dial_until_refused
from fleetlb_cli.seeing import has_address, is_gone

PATIENCE = 60.0


class Steady:
    """Samples at one number of standing Services."""

    def __init__(self, ours: BenchTenant, floor: BenchTenant, standing: int) -> None:
        self._ours = ours
        self._floor = floor
        self._standing = standing
        self._samples: dict[str, list[float]] = {}

    async def run(self, count: int) -> list[Series]:
        """Measure `count` times everything."""
        for number in range(count):
            await self._create_and_delete(f"one-{self._standing}-{number}")
            await self._create_floor(f"null-{self._standing}-{number}")
        await self._add_backends(f"grow-{self._standing}", count)
        return [Series(name, self._standing, tuple(samples)) for name, samples in self._samples.items()]

    def _note(self, name: str, milliseconds: float) -> None:
        self._samples.setdefault(name, []).append(milliseconds)

    async def _create_and_delete(self, name: str) -> None:
        begun, request = await self._ours.create(name)
        self._note("request alone", request)
        seen = await self._ours.board.until(name, has_address, "an address", PATIENCE)
        self._note("create to address", (seen - begun) / 1000)
        service = self._ours.board.get(name)
        key = VirtualServerKey(service.vip if service else "", PORT, Protocol.TCP)
        answer = await dial_until_answered(key, PATIENCE)
        self._note("create to first byte", time.time_ns() / 1e6 - begun / 1000)
        if not answer.ok:
            raise TimeoutError(f"{key} did not answer: {answer.failure}")
        clock = time.perf_counter()
        await self._ours.delete(name)
        await dial_until_refused(key, PATIENCE)
        self._note("delete to refused", (time.perf_counter() - clock) * 1000)
        await self._ours.board.until(name, is_gone, "its end", PATIENCE)

    async def _create_floor(self, name: str) -> None:
        begun, _ = await self._floor.create(name)
        seen = await self._floor.board.until(name, has_address, "an address", PATIENCE)
        self._note("floor: create to address", (seen - begun) / 1000)
        await self._floor.delete(name)

    async def _add_backends(self, name: str, count: int) -> None:
        await self._ours.create(name, policy="Local")
        await self._ours.set_endpoints(name, ("node-1",))
        await self._ours.board.until(name, has_address, "an address", PATIENCE)
        service = self._ours.board.get(name)
        key = VirtualServerKey(service.vip if service else "", PORT, Protocol.TCP)
        await dial_until_answered(key, PATIENCE)
        for number in range(count):
            fresh, other = ("node-2", "node-1") if number % 2 == 0 else ("node-1", "node-2")
            clock = time.perf_counter()
            await self._ours.set_endpoints(name, (fresh, other))
            await _until_from(key, fresh)
            self._note("backend added to traffic", (time.perf_counter() - clock) * 1000)
            clock = time.perf_counter()
            await self._ours.set_endpoints(name, (fresh,))
            self._note("backend removed from traffic", (await _since_only(key, fresh) - clock) * 1000)
        await self._ours.delete(name)
        await self._ours.board.until(name, is_gone, "its end", PATIENCE)


async def _until_from(key: VirtualServerKey, backend: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await dial(key, 0.5)).text != backend:
            pass


async def _since_only(key: VirtualServerKey, backend: str) -> float:
    """When the first of ten answers in a row came from this backend: by then the other one was out."""
    in_a_row, since = 0, 0.0
    async with asyncio.timeout(PATIENCE):
        while in_a_row < 10:
            in_a_row = in_a_row + 1 if (await dial(key, 0.5)).text == backend else 0
            since = time.perf_counter() if in_a_row == 1 else since
    return since
