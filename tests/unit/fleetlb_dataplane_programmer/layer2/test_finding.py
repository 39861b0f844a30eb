"""VIPs of other nodes are called in turns, at a bounded rate; what is found is said, but no fault of one's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from fleetlb.domain.addresses import Family
from fleetlb.domain.announcing import VipReached
from fleetlb.domain.virtual_servers import Forwarding, RealServer, VirtualServer, parse_key
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.layer2.calling import Heard, Outcome
from fleetlb_dataplane_programmer.layer2.finding import Finder, Rates
from fleetlb_dataplane_programmer.layer2.link import LinkUnusable
from fleetlb_dataplane_programmer.ownership.duties import Announced
from fleetlb_dataplane_programmer.ownership.findings import Findings

VIP, OTHER, SIXTH = "10.0.0.1", "10.0.0.2", "fd00::1"
ONE = Announced("node-1", 7)
FAST = Rates(settle_seconds=0.0, doubt_seconds=0.001, calm_seconds=0.001, news_per_second=1e6, turns_per_second=1e6)


def a_server(key: str = f"{VIP}:80/tcp", **fields: Any) -> VirtualServer:
    return VirtualServer(key=parse_key(key), real_servers=(RealServer("10.1.0.1", 31000),), **fields)


class World:
    """A link, on which every door is open unless it says otherwise."""

    def __init__(self, *servers: VirtualServer, rates: Rates = FAST) -> None:
        self.servers = servers
        self.duties: dict[str, Announced] = {server.key.address: ONE for server in servers}
        self.closed: dict[str, Heard] = {}
        self.is_unusable = False
        self.has_ipv6 = False
        self.has_a_bug = False
        self.calls: list[tuple[str, int]] = []
        self.said: dict[str, VipReached | None] = {}
        self.finder = Finder(
            self,
            Findings("eth1"),
            duty=self.duties.get,
            serving_on=lambda address: [server for server in self.servers if server.key.address == address],
            say=self.said.__setitem__,
            now_us=lambda: 5,
            rates=rates,
        )

    def address(self, family: Family) -> str:
        if family is Family.IPV6 and not self.has_ipv6:
            raise LinkUnusable("interface eth1 has no IPv6 address")
        return "fd00::200" if family is Family.IPV6 else "10.0.0.200"

    async def call(self, address: str, port: int) -> Outcome:
        self.calls.append((address, port))
        await asyncio.sleep(0)
        if self.has_a_bug:
            raise RuntimeError("a bug")
        if self.is_unusable:
            raise LinkUnusable("interface eth1 is down")
        return Outcome(self.closed.get(address, Heard.OPEN), 0.0004)

    def lost(self, address: str = VIP) -> tuple[int, ...]:
        word = self.said.get(address)
        return word.lost if word else ()

    def ports(self, address: str = VIP) -> tuple[int, ...]:
        word = self.said.get(address)
        return word.ports if word else ()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.finder.run())
            for address in (VIP, OTHER, SIXTH):
                self.finder.look_at(address)
            yield self
            running.cancel()

    async def calls_more(self, count: int = 20) -> None:
        before = len(self.calls)
        await eventually(lambda: len(self.calls) >= before + count)


BOTH = (a_server(), a_server(f"{OTHER}:80/tcp"))


async def test_what_is_reached_is_said_with_how_long_it_took() -> None:
    async with World(*BOTH).running() as world:
        await eventually(lambda: world.ports() == world.ports(OTHER) == (80,))
        word = world.said[VIP]
        assert word is not None
        assert (word.node, word.term, word.over, word.since, word.micros) == ("node-1", 7, "eth1", 5, 400)


@pytest.mark.parametrize("heard", [Heard.SILENT, Heard.REFUSED, Heard.UNCLAIMED])
async def test_what_is_not_is_said_while_something_else_is_and_until_it_is_again(heard: Heard) -> None:
    async with World(*BOTH).running() as world:
        await eventually(lambda: world.ports() == world.ports(OTHER) == (80,))
        world.closed[VIP] = heard
        await eventually(lambda: world.lost() == (80,))
        assert world.ports(OTHER) == (80,)
        del world.closed[VIP]
        await eventually(lambda: world.ports() == (80,))


@pytest.mark.parametrize("heard", [Heard.SILENT, Heard.UNCLAIMED, None])
async def test_who_reaches_nothing_says_nothing(heard: Heard | None) -> None:
    """Its own link is down, or all that it sends is lost."""
    async with World(*BOTH).running() as world:
        await eventually(lambda: world.ports() == world.ports(OTHER) == (80,))
        world.closed = {VIP: heard, OTHER: heard} if heard else {}
        world.is_unusable = heard is None
        await eventually(lambda: world.said[VIP] is world.said[OTHER] is None)
        await world.calls_more()
        assert world.said[VIP] is world.said[OTHER] is None


async def test_a_bug_leaves_nothing_standing() -> None:
    async with World(*BOTH).running() as world:
        await eventually(lambda: world.ports() == world.ports(OTHER) == (80,))
        world.closed[VIP] = Heard.SILENT
        await eventually(lambda: world.lost() == (80,))
        world.has_a_bug = True
        await eventually(lambda: world.said[VIP] is world.said[OTHER] is None)


async def test_what_is_anothers_duty_or_nobodys_is_not_called_and_nothing_is_said() -> None:
    async with World(*BOTH).running() as world:
        await eventually(lambda: world.ports() == (80,))
        del world.duties[VIP]
        world.finder.look_at(VIP)
        await eventually(lambda: world.said[VIP] is None)
        world.calls.clear()
        await world.calls_more()
        assert {address for address, _ in world.calls} == {OTHER}


@pytest.mark.parametrize(
    "server",
    [
        a_server(f"{VIP}:80/udp"),
        a_server(f"[{SIXTH}]:80/tcp"),
        *(a_server(forwarding=way) for way in (Forwarding.DIRECT, Forwarding.IPIP, Forwarding.GUE)),
        a_server(source_ranges=("10.9.0.0/16", "10.0.0.0/25")),
    ],
    ids=["UDP", "IPv6 without an address", "direct", "IPIP", "GUE", "not let in"],
)
async def test_what_cannot_answer_a_call_is_not_called(server: VirtualServer) -> None:
    async with World(server, BOTH[1]).running() as world:
        await world.calls_more()
        assert {address for address, _ in world.calls} == {OTHER}
        assert world.ports(server.key.address) == ()


@pytest.mark.parametrize("ranges", [("10.9.0.0/16", "10.0.0.128/25"), ("fd00::/64",)])
async def test_who_is_let_in_calls(ranges: tuple[str, ...]) -> None:
    address = SIXTH if ":" in ranges[0] else VIP
    world = World(a_server(f"[{SIXTH}]:80/tcp" if address is SIXTH else f"{VIP}:80/tcp", source_ranges=ranges))
    world.has_ipv6 = True
    async with world.running():
        await eventually(lambda: world.ports(address) == (80,))


async def test_no_more_are_called_than_the_rates_allow() -> None:
    servers = [a_server(f"10.0.1.{number}:80/tcp") for number in range(1, 101)]
    world = World(*servers, rates=msgspec.structs.replace(FAST, news_per_second=40.0, turns_per_second=20.0))
    loop = asyncio.get_running_loop()
    async with world.running():
        began = loop.time()
        for server in servers:
            world.finder.look_at(server.key.address)
        await eventually(lambda: len(world.calls) >= 30)
        assert len(world.calls) <= 2 + (40.0 + 20.0) * (loop.time() - began)
