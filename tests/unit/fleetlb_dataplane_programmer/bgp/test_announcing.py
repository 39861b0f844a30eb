"""What a node carries reaches BIRD as the group's instruction says, and the engine never waits for a BIRD in vain."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import Aggregation, BgpPeer, BgpSpeaking, PoolAttributes, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.announcing import BgpAnnouncer
from fleetlb_dataplane_programmer.bgp.configuring import SESSIONS_FILE, host_route, line_of, routes_text
from fleetlb_dataplane_programmer.bgp.files import write_text
from fleetlb_dataplane_programmer.bgp.routes import RouteOf
from fleetlb_dataplane_programmer.bgp.speaking import BirdSpeaker, OnSessions, Place
from tests.unit.fleetlb_dataplane_programmer.bgp.model_bird import ModelBird

A, B = "10.77.0.1", "10.77.0.2"
POOL, WIDER = "10.77.0.0/24", "10.77.0.0/16"
NODES = ("node-1", "node-2")
SPEAKING = BgpSpeaking(asn=65001, peers=(BgpPeer(name="tor-1", address="10.0.0.254", asn=65000),))


class Announcing:
    """The announcer of node-1 with a model of BIRD."""

    def __init__(self, bird: ModelBird, grace_seconds: float = 0.0) -> None:
        self.bird, self.troubles = bird, [""]
        self.router_id = "10.0.0.1"
        self._said = 0
        self.announcer = BgpAnnouncer(
            "node-1",
            self._speaker,
            has_left=(bird.folder / SESSIONS_FILE).exists,
            router_id=lambda _: self.router_id,
            on_trouble=self.troubles.append,
            grace_seconds=grace_seconds,
        )

    def _speaker(self, speaking: BgpSpeaking, on_sessions: OnSessions, route_of: RouteOf) -> BirdSpeaker:
        place = Place(node="node-1", router_id=self.router_id, directory=self.bird.folder, audit_seconds=0.01)
        return BirdSpeaker(speaking, self.bird.control, place, route_of=route_of, on_sessions=on_sessions)

    async def announce(self, *addresses: str, network: str = "", pool: str = "") -> None:
        for address in addresses:
            await self.announcer.announce(address, Announcement.BGP, network, pool)

    async def withdrawn(self, *addresses: str) -> None:
        """As the engine does: again until BIRD has let go of each."""
        async with asyncio.timeout(10):
            for address in addresses:
                while True:
                    try:
                        await self.announcer.withdraw(address)
                        break
                    except Transient:
                        await asyncio.sleep(0.01)

    def instruct(
        self,
        *draining: str,
        bgp: BgpSpeaking | None = SPEAKING,
        nodes: tuple[str, ...] = NODES,
        **preferences: int,
    ) -> None:
        """`preferences`: of the routes of single pools."""
        self._said += 1
        pools = tuple(
            PoolAttributes(pool=pool, attributes=RouteAttributes(local_preference=preference))
            for pool, preference in preferences.items()
        )
        told = GroupInstructed(
            group="default", generation=1, revision=self._said, nodes=nodes, draining=draining, bgp=bgp, pools=pools
        )
        self.announcer.heed(told)

    async def until_preferred(self, **preferences: int) -> None:
        """BIRD has exactly these routes, `a` and `b`, each with this preference; 0: none of its own."""

        def is_so() -> bool:
            wanted = {f"{ {'a': A, 'b': B}[name] }/32": preference for name, preference in preferences.items()}
            return {each: _preference(text) for each, text in (self.bird.routes or {}).items()} == wanted

        await eventually(is_so, 10)

    async def until(self, *destinations: str, is_leaving: bool = False) -> None:
        """BIRD has routes to these VIPs or networks and no others, with or without GRACEFUL_SHUTDOWN."""

        def is_so() -> bool:
            held = self.bird.routes or {}
            asks = {"(65535, 0)" in text for text in held.values()}
            return set(held) == {str(ip_network(each)) for each in destinations} and asks <= {is_leaving}

        await eventually(is_so, 10)


def _preference(text: str) -> int:
    found = re.search(r"bgp_local_pref = (\d+);", text)
    return int(found[1]) if found else 0


@contextlib.asynccontextmanager
async def running(bird: ModelBird, grace_seconds: float = 0.0) -> AsyncIterator[Announcing]:
    made = Announcing(bird, grace_seconds)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.announcer.run())
        try:
            yield made
        finally:
            task.cancel()


def leave(bird: ModelBird, *addresses: str) -> None:
    """As an earlier process would have."""
    write_text(bird.folder / SESSIONS_FILE, "")
    lines = [line_of(host_route(each), SPEAKING.attributes) for each in addresses]
    write_text(bird.folder / "fleetlb-routes.inc", routes_text(lines))
    bird.read()


async def test_what_was_announced_before_the_first_instruction_is_told_with_it_at_once(bird: ModelBird) -> None:
    async with running(bird) as made:
        await made.announce(A, B)
        await eventually(lambda: "nothing was heard" in made.troubles[-1], 10)
        assert bird.commands == []
        made.instruct()
        await made.until(A, B)
        await eventually(lambda: made.troubles[-1] == "", 10)
        assert bird.configurations == 1
        assert made.announcer.announced == 2


async def test_a_burst_is_one_configuration_or_two(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.until()
        await made.announce(*(f"10.77.{n // 250}.{n % 250}" for n in range(1000)))
        await eventually(lambda: len(bird.routes or ()) == 1000, 10)
        assert bird.configurations <= 4


async def test_a_withdrawal_is_waited_for_and_fails_as_long_as_bird_does_not_answer(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.announce(A, B)
        await made.until(A, B)
        await made.announcer.withdraw(A)
        assert set(bird.routes or ()) == {f"{B}/32"}
        bird.may_obey.clear()
        with pytest.raises(Transient, match=f"{B} may be announced still"):
            await made.announcer.withdraw(B)
        assert set(bird.routes or ()) == {f"{B}/32"}
        bird.may_obey.set()
        await made.withdrawn(B)
        assert set(bird.routes or ()) == set()


async def test_a_bird_that_hangs_is_waited_for_once_and_told_and_what_it_has_is_not_given_up(bird: ModelBird) -> None:
    many = [f"10.77.1.{number}" for number in range(100)]
    async with running(bird) as made:
        made.instruct()
        await made.announce(A, *many)
        await made.until(A, *many)
        socket, asked = bird.socket, 0
        socket.rename(socket.with_name("awake"))

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            with contextlib.closing(writer):
                await reader.read()

        server = await asyncio.start_unix_server(say_nothing, socket)
        with pytest.raises(Transient, match="did not answer"):
            await made.announcer.withdraw(A)
        before = asked
        assert before > 0
        for each in many:
            with pytest.raises(Transient, match=f"{each} may be announced still"):
                await made.announcer.withdraw(each)
        assert asked == before
        await eventually(lambda: "did not answer" in made.troubles[-1], 10)
        assert set(bird.routes or ()) == {f"{each}/32" for each in (A, *many)}
        server.close()
        socket.with_name("awake").rename(socket)
        await made.withdrawn(A, *many)
        assert set(bird.routes or ()) == set()
        await eventually(lambda: made.troubles[-1] == "", 10)


async def test_what_cannot_be_announced_keeps_nobody_waiting_and_is_done_later(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.until()
        bird.refusal = "no"
        await made.announce(A)
        await eventually(lambda: "no" in made.troubles[-1], 10)
        bird.refusal = ""
        await made.until(A)
        await eventually(lambda: made.troubles[-1] == "", 10)


async def test_what_an_earlier_process_left_stays_until_everything_is_announced(bird: ModelBird) -> None:
    leave(bird, A, B)
    async with running(bird) as made:
        await made.announce(A)
        made.instruct()
        await eventually(lambda: bird.configurations > 0, 10)
        await made.until(A, B)
        await made.announcer.complete()
        await made.until(A)


async def test_what_is_announced_while_bird_takes_its_time_was_never_away(bird: ModelBird) -> None:
    leave(bird, A)
    bird.may_obey.clear()
    async with running(bird) as made:
        made.instruct()
        await eventually(lambda: "configure" in bird.commands, 10)
        await made.announce(A)
        await made.announcer.complete()
        held, read = [], bird.read

        def reading() -> None:
            read()
            held.append(set(bird.routes or ()))

        bird.read = reading  # type: ignore[method-assign]
        bird.may_obey.set()
        await made.announce(B)
        await made.until(A, B)
        assert all(f"{A}/32" in each for each in held)


async def test_without_an_instruction_bird_keeps_what_it_has_although_all_is_announced(bird: ModelBird) -> None:
    leave(bird, A, B)
    async with running(bird) as made:
        await made.announce(A)
        await made.announcer.complete()
        await eventually(lambda: "nothing was heard" in made.troubles[-1], 10)
        assert bird.commands == []
        await made.until(A, B)


async def test_a_group_that_says_nothing_any_more_withdraws_and_ends_the_sessions(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.announce(A)
        await made.until(A)
        made.instruct(bgp=None)
        await made.until()
        assert bird.sessions == []
        await eventually(lambda: "set spec.bgp" in made.troubles[-1], 10)
        made.instruct()
        await made.until(A)
        assert bird.sessions == ["fleetlb_to_tor_1"]


async def test_a_group_that_never_said_anything_needs_no_bird(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct(bgp=None)
        await made.announce(A)
        await eventually(lambda: "set spec.bgp" in made.troubles[-1], 10)
        assert bird.commands == []
        await made.announcer.withdraw(A)


async def test_what_was_left_goes_if_the_group_says_nothing_any_more(bird: ModelBird) -> None:
    leave(bird, A)
    async with running(bird) as made:
        made.instruct(bgp=None)
        await made.announcer.complete()
        await made.until()


async def test_a_node_that_is_emptied_asks_to_be_avoided_first_and_then_withdraws(bird: ModelBird) -> None:
    async with running(bird, grace_seconds=0.5) as made:
        made.instruct()
        await made.announce(A)
        await made.until(A)
        made.instruct("node-1")
        await made.until(A, is_leaving=True)
        assert made.announcer.announced == 1
        await made.until()
        assert made.announcer.announced == 0
        await made.announce(B)
        made.instruct()
        await made.until(A, B)


async def test_a_node_that_is_taken_out_of_its_group_withdraws_at_once_and_keeps_its_sessions(bird: ModelBird) -> None:
    async with running(bird, grace_seconds=60) as made:
        made.instruct()
        await made.announce(A)
        await made.until(A)
        made.instruct(nodes=NODES[1:])
        await made.until()
        await made.announce(B)
        made.instruct()
        await made.until(A, B)
        made.instruct(nodes=())
        await made.announce("10.0.0.9")
        await made.until(A, B, "10.0.0.9")


async def test_a_pool_has_one_route_as_long_as_any_of_its_vips_is_carried(bird: ModelBird) -> None:
    whole = replace(SPEAKING, aggregate=Aggregation.POOL)
    async with running(bird) as made:
        made.instruct(bgp=whole)
        await made.announce(A, B, network=POOL)
        await made.announce("192.0.2.9")
        await made.until(POOL, "192.0.2.9")
        assert made.announcer.announced == 3
        await made.announce(A, B, network=WIDER)
        await made.until(WIDER, "192.0.2.9")
        await made.announcer.withdraw("192.0.2.9")
        await made.announcer.withdraw(A)
        await made.until(WIDER)
        await made.announce(A, network=WIDER)
        made.instruct(bgp=SPEAKING)
        await made.until(A, B)
        made.instruct(bgp=whole)
        await made.until(WIDER)
        await made.announcer.withdraw(A)
        await made.announcer.withdraw(B)
        assert bird.routes == {}, "it was waited for"


async def test_a_node_that_begins_anew_while_it_is_emptied_tells_of_nothing(bird: ModelBird) -> None:
    async with running(bird, grace_seconds=60.0) as made:
        await made.announce(A)
        made.instruct("node-1")
        await eventually(lambda: bool(bird.sessions), 10)
        await made.until()
        assert made.announcer.announced == 0
        made.instruct()
        await made.until(A)


async def test_what_was_left_by_a_node_that_is_emptied_since_goes_as_gently(bird: ModelBird) -> None:
    leave(bird, A)
    async with running(bird, grace_seconds=0.5) as made:
        await made.announce(A)
        await made.announcer.complete()
        made.instruct("node-1")
        await made.until(A, is_leaving=True)
        await made.until()


async def test_the_last_node_goes_on_until_another_takes_part(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct("node-1", "node-2")
        await made.announce(A)
        await made.until(A, is_leaving=True)
        await made.announce(B)
        await made.until(A, B, is_leaving=True)
        made.instruct("node-1")
        await made.until()


async def test_what_bird_could_not_be_told_is_said_and_the_old_stands(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.announce(A)
        await made.until(A)
        wrong = BgpPeer(name="tor-1", address="somewhere", asn=65000)
        made.instruct(bgp=BgpSpeaking(asn=65001, peers=(wrong,)))
        await eventually(lambda: "somewhere" in made.troubles[-1], 10)
        await made.announce(B)
        made.instruct()
        await made.until(A, B)


async def test_another_router_id_is_taken_up(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await eventually(lambda: bool(bird.sessions), 10)
        made.router_id = "10.0.0.7"
        made.instruct(bgp=BgpSpeaking(asn=65002, peers=SPEAKING.peers))
        await eventually(lambda: "router id 10.0.0.7" in (bird.folder / SESSIONS_FILE).read_text(), 10)


async def test_attributes_of_a_pool_are_those_of_its_vips_alone(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct(gold=7, silver=8)
        await made.announce(A, pool="gold")
        await made.announce(B)
        await made.until_preferred(a=7, b=0)
        sessions = bird.folder / SESSIONS_FILE
        before = sessions.stat()
        made.instruct(gold=9)
        await made.until_preferred(a=9, b=0)
        await made.announce(B, pool="gold")
        await made.until_preferred(a=9, b=9)
        await made.announce(A)
        await made.until_preferred(a=0, b=9)
        assert (sessions.stat().st_ino, sessions.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_attributes_of_a_pool_come_before_those_of_the_group_and_leave_open_what_they_do_not_say(
    bird: ModelBird,
) -> None:
    of_all = replace(SPEAKING, attributes=RouteAttributes(local_preference=1, communities=("65000:5",)))
    async with running(bird) as made:
        made.instruct(bgp=of_all, gold=7)
        await made.announce(A, pool="gold")
        await made.announce(B)
        await made.until_preferred(a=7, b=1)
        assert all("(65000, 5)" in text for text in (bird.routes or {}).values())


async def test_a_vip_waits_until_it_is_known_what_its_route_carries(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct()
        await made.announce(A, pool="gold")
        await made.announce(B)
        await made.until_preferred(b=0)
        await eventually(lambda: "VIPs of pool gold wait" in made.troubles[-1], 10)
        assert made.announcer.announced == 1
        made.instruct(gold=7)
        await made.until_preferred(a=7, b=0)
        await eventually(lambda: made.troubles[-1] == "", 10)


async def test_a_vip_that_is_announced_keeps_what_it_carries_until_more_is_known(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct(gold=7)
        await made.announce(A, pool="gold")
        await made.announce(B)
        await made.until_preferred(a=7, b=0)
        made.instruct()
        await made.announce(B, pool="silver")
        before = bird.configurations
        await eventually(lambda: bird.configurations > before, 10)
        await made.until_preferred(a=7, b=0)
        await made.announce(A)
        made.instruct(silver=8)
        await made.until_preferred(a=0, b=8)
        await made.announcer.withdraw(B)
        await made.until_preferred(a=0)


async def test_the_route_of_a_whole_pool_carries_its_attributes(bird: ModelBird) -> None:
    async with running(bird) as made:
        made.instruct(bgp=replace(SPEAKING, aggregate=Aggregation.POOL), gold=7)
        await made.announce(A, B, network=POOL, pool="gold")
        await made.until(POOL)
        assert [_preference(text) for text in (bird.routes or {}).values()] == [7]
