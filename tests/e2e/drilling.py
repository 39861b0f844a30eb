"""What a disaster drill needs: many Services over two tenants, their clients, and the time until all is as it was."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.v1 import RealizedState
from fleetlb.domain.errors import FleetlbError
from fleetlb_cli.audit.gathering import gather
from fleetlb_cli.audit.picture import Picture
from fleetlb_cli.demo.dialling import dial
from tests.e2e.fleet import Fleet, TenantCluster, eventually, key, next_node_port, tcp

PORT = 8080
EACH = 12
"""Services of each tenant."""
BEAT_SECONDS = 0.1
"""Between two rounds of every client."""


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill came to, in seconds from the wipe on."""

    name: str
    services: int
    dark: float
    """Until the last Service answered that had not answered meanwhile; 0: no client was ever refused."""
    whole: float
    """Until every claim, object and message was there again, with the addresses of before."""


class Estate:
    """Services that stand, by the address that each had before the wipe."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.owners: dict[str, tuple[TenantCluster, str, str]] = {}
        """Address to tenant, name and UID."""

    async def settle(self, tenant: TenantCluster, count: int = EACH) -> None:
        """Make so many Services of a tenant, and wait until they serve."""
        ports = [next_node_port() for _ in range(count)]
        await tenant.serve(tcp=tuple(ports))
        uids = {f"web-{port}": await tenant.create(f"web-{port}", [tcp(PORT, port)]) for port in ports}
        for name, uid in uids.items():
            self.owners[await tenant.serving(name)] = (tenant, name, uid)

    async def until_whole(self, patience: float) -> None:
        """Wait until claims, objects and both streams say of every address what they said before."""
        async with self.fleet.hub_bus() as bus:

            async def is_whole() -> bool:
                try:
                    async with asyncio.timeout(5):
                        picture = await gather(self.fleet.management, bus)
                except (FleetlbError, TimeoutError):
                    return False
                return not self.missing(picture)

            await eventually(is_whole, "everything as it was", patience)

    def missing(self, picture: Picture) -> list[str]:
        """Addresses that are not as they were."""
        holders = {address: item.metadata.name for item in picture.load_balancers for address in item.spec.addresses}
        wished = {place.key for place, wish in picture.desired.items() if wish.server is not None}
        served = {place.key for place, word in picture.realized.items() if word.state is RealizedState.PROGRAMMED}
        found = []
        for address, (_, _, uid) in self.owners.items():
            claim, virtual_server = picture.claims.get(address), key(address, PORT)
            is_bound = claim is not None and claim.spec.phase is ClaimPhase.BOUND
            is_claimed = claim is not None and is_bound and claim.spec.owner.service_uid == uid
            is_carried = virtual_server in wished and virtual_server in served
            if not (is_claimed and is_carried and holders.get(address) == uid):
                found.append(address)
        return found

    async def assert_same(self) -> None:
        """Every Service shows the address of before, serves and answers."""
        for address, (tenant, name, _) in self.owners.items():
            assert await tenant.serving(name) == address, f"{tenant.name}/{name}"
            assert (await dial(key(address, PORT))).ok, address


class Clients:
    """One client for each address, dialling again and again, and a few connections that last."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self.refused: dict[str, float] = {}
        """Address to when a client was last refused, on the monotonic clock."""
        self.answered: dict[str, float] = {}
        """Address to when it first answered after it was last refused."""
        self.last: dict[str, float] = {}
        """Address to when the last question that was answered was asked."""

    async def run(self) -> None:
        """Dial for ever."""
        while True:
            for address in self.addresses:
                began = time.monotonic()
                if (await dial(key(address, PORT), timeout=1.0)).ok:
                    self.answered.setdefault(address, time.monotonic())
                    self.last[address] = began
                else:
                    self.refused[address] = began
                    self.answered.pop(address, None)
            await asyncio.sleep(BEAT_SECONDS)

    async def until_answered(self, since: float, patience: float) -> None:
        """Wait until each address has answered to a question asked after `since`."""

        async def all_answer() -> bool:
            return all(self.last.get(address, 0.0) > since for address in self.addresses)

        await eventually(all_answer, "an answer from every address", patience)

    def dark_since(self, wiped: float) -> float:
        """Seconds from the wipe until the last address answered that was refused after it."""
        ends = [self.answered.get(address, 0.0) for address, when in self.refused.items() if when >= wiped]
        return max(ends, default=wiped) - wiped


@asynccontextmanager
async def clients_of(estate: Estate) -> AsyncIterator[Clients]:
    """Clients that dial all the time, for the time of a block."""
    clients = Clients(tuple(estate.owners))
    async with asyncio.TaskGroup() as tasks:
        dialling = tasks.create_task(clients.run())
        try:
            yield clients
        finally:
            dialling.cancel()


@asynccontextmanager
async def lasting_connections(estate: Estate, count: int = 6) -> AsyncIterator[None]:
    """Connections that must answer before and after the block."""
    async with contextlib.AsyncExitStack() as stack:
        asking = []
        for address in list(estate.owners)[:: max(1, len(estate.owners) // count)]:
            reader, writer = await asyncio.open_connection(address, PORT)
            stack.callback(writer.close)
            asking.append((address, reader, writer))
        before = [await _ask(reader, writer) for _, reader, writer in asking]
        assert all(before)
        yield
        for (address, reader, writer), answer in zip(asking, before, strict=True):
            assert await _ask(reader, writer) == answer, f"a connection to {address} was cut"


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"still there?\n")
    return await asyncio.wait_for(reader.readline(), 10)


def as_table(drills: Sequence[Drill]) -> str:
    """The outcomes, for people."""
    head = ("what is wiped", "Services", "dark for, s", "whole after, s")
    rows = [(d.name, str(d.services), f"{d.dark:.1f}", f"{d.whole:.1f}") for d in drills]
    width = max(len(row[0]) for row in (head, *rows))
    lines = [f"| {a:<{width}} | {b:>8} | {c:>11} | {d:>14} |" for a, b, c, d in (head, *rows)]
    lines.insert(1, f"|{'-' * (width + 2)}|---------:|------------:|---------------:|")
    return "\n".join(lines)
