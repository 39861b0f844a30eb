"""A node's part on a bus: it answers alone, gives way, heeds nobody who speaks for another, and begins anew."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import NodePresent, VipCarried
from fleetlb.domain.announcing import VipReached
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus, FakeServer
from fleetlb_dataplane_programmer.ownership import taking_part as taking_part_module
from fleetlb_dataplane_programmer.ownership.carriers import weight
from fleetlb_dataplane_programmer.ownership.duties import Announced
from fleetlb_dataplane_programmer.ownership.living import Lease
from fleetlb_dataplane_programmer.ownership.taking_part import Participant

VIP, OTHER = "10.0.0.1", "10.0.0.2"
FIRST, SECOND = sorted(("node-1", "node-2"), key=lambda node: weight(node, VIP), reverse=True)
LEASE = Lease(seconds=0.6, margin=0.06)
STREAM = announced_stream("default").name


class Link:
    """Remembers what is answered for."""

    def __init__(self) -> None:
        self.owned: set[str] = set()

    def own(self, address: str) -> None:
        self.owned.add(address)

    def disown(self, address: str) -> None:
        self.owned.discard(address)


@contextlib.asynccontextmanager
async def taking_part(server: FakeServer, node: str) -> AsyncIterator[tuple[Participant, Link]]:
    """A node that carries the VIP."""
    link = Link()
    participant = Participant(node, "default", [link], names=("eth1",), lease=LEASE)
    bus = FakeBus(server)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(participant.run()), tasks.create_task(participant.follow(bus))]
        participant.carry(VIP)
        yield participant, link
        for task in running:
            task.cancel()


async def a_server() -> FakeServer:
    server = FakeServer()
    await FakeBus(server).ensure_stream(announced_stream("default"))
    return server


def said(server: FakeServer, node: str, address: str = VIP) -> VipCarried:
    """What the stream holds of a node's VIP; not carried, if there is nothing."""
    held = server.streams[STREAM].last_per_subject(subjects.carried("default", node, address))
    if not held:
        return VipCarried(node=node, group="default", address=address, epoch=0, run="", number=0, carried=False)
    return codec.decode(VipCarried, held[0].data)


def has_read(server: FakeServer, node: str) -> int:
    """How far a node has read by its own word."""
    [held] = server.streams[STREAM].last_per_subject(subjects.present("default", node))
    return codec.decode(NodePresent, held.data).read


async def test_the_first_answers_and_the_other_when_it_ends() -> None:
    server = await a_server()
    async with taking_part(server, SECOND) as (second, other):
        async with taking_part(server, FIRST) as (first, link):
            await eventually(lambda: link.owned == {VIP} and first.may_answer())
            assert other.owned == set()
            await eventually(lambda: said(server, FIRST).announced)
            assert (said(server, FIRST).to, said(server, SECOND).announced) == (("eth1",), False)
        await eventually(lambda: other.owned == {VIP} and second.may_answer())


async def test_who_gives_way_is_followed_by_the_other_and_comes_back() -> None:
    server = await a_server()
    async with taking_part(server, SECOND) as (_, other), taking_part(server, FIRST) as (first, link):
        await eventually(lambda: link.owned == {VIP})
        first.give_way("drain", True)
        assert link.owned == set()
        await eventually(lambda: other.owned == {VIP})
        first.give_way("interface eth1", True)
        first.give_way("drain", False)
        await asyncio.sleep(0)
        assert link.owned == set()
        first.give_way("interface eth1", False)
        await eventually(lambda: link.owned == {VIP})
        assert other.owned == set()


async def test_a_node_that_is_taken_out_of_its_group_carries_nothing_for_the_others() -> None:
    """Also what it comes to carry meanwhile; back in its group it carries all of it."""
    server = await a_server()
    async with taking_part(server, FIRST) as (first, link):
        await eventually(lambda: link.owned == {VIP})
        first.stay_out(True)
        assert link.owned == set()
        await eventually(lambda: not said(server, FIRST).carried)
        first.carry(OTHER)
        async with taking_part(server, SECOND) as (second, other):
            await eventually(lambda: other.owned == {VIP})
            second.carry(OTHER)
            await eventually(lambda: other.owned == {VIP, OTHER})
            assert (link.owned, said(server, FIRST, OTHER).carried) == (set(), False)
        first.drop(OTHER)
        first.stay_out(False)
        await eventually(lambda: link.owned == {VIP})
        assert not said(server, FIRST, OTHER).carried


async def test_what_was_found_of_anothers_vip_is_said_and_said_no_more() -> None:
    server = await a_server()
    async with taking_part(server, SECOND) as (second, _), taking_part(server, FIRST) as (first, link):
        await eventually(lambda: link.owned == {VIP} and said(server, FIRST).announced)
        await eventually(lambda: second.to_be_called(VIP) == Announced(FIRST, said(server, FIRST).since))
        assert (first.to_be_called(VIP), second.to_be_called(OTHER)) == (None, None)
        found = VipReached(node=FIRST, term=said(server, FIRST).since, ports=(80,))
        second.say_reached(VIP, found)
        await eventually(lambda: said(server, SECOND).reached == found)
        assert (said(server, SECOND).carried, said(server, SECOND).announced) == (True, False)
        number = said(server, SECOND).number
        second.say_reached(VIP, found)
        second.say_reached(VIP, None)
        await eventually(lambda: said(server, SECOND).reached is None)
        assert said(server, SECOND).number > number
        second.say_reached(VIP, found)
        second.drop(VIP)
        await eventually(lambda: not said(server, SECOND).carried)
        assert said(server, SECOND).reached is None
        assert link.owned == {VIP}, "what is found moves nothing"


async def test_what_an_earlier_life_found_is_said_anew() -> None:
    """Its word counts no more; nobody can tell whether this life would look at that VIP at all."""
    server = await a_server()
    async with taking_part(server, FIRST), taking_part(server, SECOND) as (second, _):
        await eventually(lambda: said(server, FIRST).announced)
        found = VipReached(node=FIRST, term=said(server, FIRST).since, ports=(80,))
        second.say_reached(VIP, found)
        await eventually(lambda: said(server, SECOND).reached == found)
        server.delete_stream(STREAM)
        await FakeBus(server).ensure_stream(announced_stream("default"))
        await eventually(lambda: said(server, SECOND).reached == found)


async def test_who_may_have_to_call_hears_of_each_vip_and_of_all_when_a_node_comes_or_goes() -> None:
    server = await a_server()
    async with taking_part(server, SECOND) as (second, _):
        news: list[str] = []
        second.on_news = news.append
        second.carry(OTHER)
        await eventually(lambda: OTHER in news)
        async with taking_part(server, FIRST) as (_, link):
            await eventually(lambda: link.owned == {VIP})
            await eventually(lambda: said(server, FIRST).announced)
            await eventually(lambda: VIP in news)
            await eventually(lambda: second.to_be_called(VIP) is not None)
            news.clear()
        await eventually(lambda: {VIP, OTHER} <= set(news))


async def test_nobody_speaks_for_another() -> None:
    """A hostile node writes below its own name only; what it says there of others counts for nothing."""
    server = await a_server()
    async with taking_part(server, SECOND) as (_, link):
        await eventually(lambda: link.owned == {VIP})
        forged = VipCarried(
            node=FIRST, group="default", address=VIP, epoch=9, run="x", number=1, carried=True
        )  # fmt: skip
        present = NodePresent(node=FIRST, group="default", epoch=9, run="x", number=2, lease_ms=60_000)
        hostile = FakeBus(server)
        subject = subjects.carried("default", "node-6", VIP)
        await hostile.publish(subject, codec.encode(forged), message_id="1")
        await hostile.publish(subjects.present("default", "node-6"), codec.encode(present), message_id="2")
        await hostile.publish(subject, b"{", message_id="3")
        ack = await hostile.publish(subject, codec.encode(forged), message_id="4")
        await eventually(lambda: has_read(server, SECOND) >= ack.sequence)
        assert link.owned == {VIP}


async def test_a_lost_stream_ends_the_answers_until_everything_is_said_anew() -> None:
    server = await a_server()
    async with taking_part(server, FIRST) as (first, link):
        await eventually(lambda: link.owned == {VIP})
        server.delete_stream(STREAM)
        await eventually(lambda: link.owned == set())
        await FakeBus(server).ensure_stream(announced_stream("default"))
        await eventually(lambda: link.owned == {VIP} and first.may_answer())


async def test_what_is_dropped_is_answered_for_no_more_and_said_so() -> None:
    server = await a_server()
    async with taking_part(server, FIRST) as (first, link):
        await eventually(lambda: link.owned == {VIP})
        first.drop(VIP)
        assert link.owned == set()
        await eventually(lambda: not said(server, FIRST).carried)


async def test_a_node_that_begins_anew_denies_nothing_that_it_may_be_about_to_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others would take over what they would have to give back."""
    monkeypatch.setattr(taking_part_module, "_CALM_SECONDS", 0.0)
    server = await a_server()
    async with taking_part(server, FIRST) as (_, link):
        await eventually(lambda: link.owned == {VIP} and said(server, FIRST).announced)
    before = said(server, FIRST)
    begun = Participant(FIRST, "default", [Link()], lease=LEASE)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(begun.run()), tasks.create_task(begun.follow(FakeBus(server)))]
        begun.carry(OTHER)
        await eventually(lambda: said(server, FIRST, OTHER).carried)
        assert said(server, FIRST) == before
        begun.carry(VIP)
        await eventually(lambda: VIP in begun.owned)
        assert said(server, FIRST).carried
        for task in running:
            task.cancel()


async def test_what_a_node_carries_no_more_it_denies_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_part_module, "_RESTART_PATIENCE_SECONDS", 0.2)
    server = await a_server()
    async with taking_part(server, FIRST) as (_, link):
        await eventually(lambda: link.owned == {VIP} and said(server, FIRST).announced)
    begun = Participant(FIRST, "default", [Link()], lease=LEASE)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(begun.run()), tasks.create_task(begun.follow(FakeBus(server)))]
        await eventually(lambda: not said(server, FIRST).carried)
        for task in running:
            task.cancel()
