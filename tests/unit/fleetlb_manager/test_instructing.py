"""What nodes must know of their group is said as its spec has it: once, and again when the stream holds otherwise."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressPool
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, PoolAttributes, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Ack, Message
from fleetlb.runtime.nats_accounts import KeyKind, new_seed, public_key
from fleetlb.runtime.signing import is_signed, signed
from fleetlb_manager.instructing import Instructing
from tests.unit.fleetlb_manager.manager_world import World, a_group, a_pool, a_world

NODES = ("node-1", "node-2")
SUBJECT = subjects.instructed("default")
SEED = new_seed(KeyKind.OPERATOR)
KEY = public_key(SEED)
PEER = BgpPeer(name="tor", address="10.0.0.1", asn=65000)
GOOD = BgpSpeaking(asn=65001, peers=(PEER,))
BAD = BgpSpeaking(asn=23456, peers=(PEER,))


class Told:
    """A world whose group has two nodes, and what was said to them."""

    def __init__(self) -> None:
        self.world: World = a_world()
        self.said: list[GroupInstructed] = []
        self.refuses = False
        self.sign = partial(signed, seed=SEED)
        self.instructing = Instructing(self.world.bench, self, sign=self.sign)
        self.world.messages._is_ours = partial(is_signed, public_key=KEY)
        self.world.memory.instructions.read.add("default")

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> Ack:
        assert subject == SUBJECT
        if self.refuses:
            raise Transient("no stream")
        assert is_signed(body, KEY)
        self.said.append(codec.decode(GroupInstructed, body))
        return Ack("FLEETLB_ANNOUNCED_default", len(self.said))

    def wants(self, *draining: str, **spec: Any) -> None:
        group = a_group(nodes=NODES, draining=draining, **spec)
        self.world.memory.groups["default"] = group

    def hears(self, *nodes: str, generation: int, revision: int = 1, **more: Any) -> None:
        said = GroupInstructed(
            group="default", generation=generation, revision=revision, draining=nodes, nodes=NODES, **more
        )
        self.echoes(self.sign(said))

    def echoes(self, body: bytes) -> None:
        self.world.messages.instructed("default", Message(SUBJECT, body, 7))

    async def look(self) -> list[tuple[str, ...]]:
        await self.instructing.reconcile("default")
        return [each.draining for each in self.said]


async def test_that_nothing_is_to_be_emptied_is_said_too() -> None:
    """Nodes remember what they were told: one that was away when it was taken back would be emptied for ever."""
    told = Told()
    told.wants()
    assert await told.look() == [()]
    assert await told.look() == [()]


async def test_what_the_spec_says_is_said_once_and_taken_back() -> None:
    told = Told()
    told.wants("node-2")
    assert await told.look() == [("node-2",)]
    assert await told.look() == [("node-2",)]
    told.wants()
    assert await told.look() == [("node-2",), ()]
    assert told.said[1].revision > told.said[0].revision


async def test_a_node_that_is_not_of_the_group_is_not_named() -> None:
    told = Told()
    told.wants("node-9", "node-1")
    assert await told.look() == [("node-1",)]


async def test_nothing_is_said_before_it_is_known_what_was_said() -> None:
    told = Told()
    told.wants("node-2")
    told.world.memory.instructions.forget("default")
    assert await told.look() == []


async def test_what_another_has_said_meanwhile_is_said_otherwise() -> None:
    told = Told()
    told.wants("node-2")
    await told.look()
    told.hears("node-1", generation=told.said[0].generation, revision=told.said[0].revision + 1)
    assert await told.look() == [("node-2",), ("node-2",)]
    assert told.said[1].revision > told.said[0].revision + 1


@pytest.mark.parametrize(
    "seed", [pytest.param("", id="unsigned"), pytest.param(new_seed(KeyKind.OPERATOR), id="other")]
)
async def test_what_the_fleets_key_did_not_sign_is_written_over_and_nothing_of_it_is_believed(seed: str) -> None:
    """Not even what routers are told, while the spec is wrong about that; nor a generation, however high."""
    told = Told()
    told.wants(engine=EngineName.IPVS, bgp=GOOD)
    await told.look()
    told.wants("node-2", engine=EngineName.IPVS, bgp=BAD)
    evil = replace(told.said[0], generation=2**52, bgp=replace(GOOD, asn=65099))
    told.echoes(signed(evil, seed) if seed else codec.encode(evil))
    assert await told.look() == [(), ("node-2",)]
    assert (told.said[1].bgp, told.said[1].generation) == (GOOD, told.said[0].generation)


async def test_it_is_said_again_although_it_says_the_same() -> None:
    """As a manager that does not sign has said it: nodes that ask for a signature do not believe it."""
    told = Told()
    told.wants("node-2")
    said = GroupInstructed(group="default", generation=1, revision=1, draining=("node-2",), nodes=NODES)
    told.echoes(codec.encode(said))
    assert await told.look() == [("node-2",)]
    assert await told.look() == [("node-2",)]


async def test_what_is_torn_of_another_group_or_from_before_is_written_over() -> None:
    told = Told()
    told.wants("node-2")
    await told.look()
    told.echoes(b"{")
    await told.look()
    told.echoes(told.sign(replace(told.said[1], group="edge")))
    await told.look()
    told.echoes(told.sign(told.said[0]))
    await told.look()
    assert len(told.said) == 4
    assert [each.draining for each in told.said] == [("node-2",)] * 4
    told.echoes(told.sign(told.said[3]))
    assert len(await told.look()) == 4


async def test_what_was_not_taken_is_said_again() -> None:
    told = Told()
    told.wants("node-2")
    told.refuses = True
    with pytest.raises(Transient):
        await told.look()
    told.refuses = False
    assert await told.look() == [("node-2",)]


async def test_a_higher_generation_is_risen_above_first() -> None:
    told = Told()
    told.wants("node-2")
    told.hears(generation=99)
    with pytest.raises(Transient, match="generation 99"):
        await told.look()


async def test_what_is_said_of_another_group_counts_for_nothing() -> None:
    told = Told()
    said = GroupInstructed(group="edge", generation=1, revision=1, draining=("node-1",))
    told.echoes(told.sign(said))
    assert told.world.memory.instructions.of("edge") is None


async def test_what_to_say_by_bgp_is_told_with_the_nodes_and_again_when_it_or_they_change() -> None:
    told = Told()
    told.wants(engine=EngineName.IPVS, bgp=GOOD)
    await told.look()
    assert (told.said[0].bgp, told.said[0].nodes) == (GOOD, NODES)
    told.world.memory.groups["default"] = a_group(nodes=("node-1",), engine=EngineName.IPVS, bgp=GOOD)
    await told.look()
    assert told.said[1].nodes == ("node-1",)
    told.wants(engine=EngineName.IPVS)
    await told.look()
    assert told.said[2].bgp is None
    assert len(told.said) == 3


async def test_what_routers_must_not_be_told_is_not_passed_on_and_the_last_good_one_stands() -> None:
    told = Told()
    told.wants(engine=EngineName.IPVS, bgp=BAD)
    assert await told.look() == []
    told.wants(engine=EngineName.IPVS, bgp=GOOD)
    await told.look()
    told.wants("node-2", engine=EngineName.IPVS, bgp=BAD)
    assert await told.look() == [(), ("node-2",)]
    assert told.said[1].bgp == GOOD


async def test_an_engine_that_announces_nothing_is_told_nothing() -> None:
    told = Told()
    told.wants(bgp=GOOD)
    assert await told.look() == []


def pool(name: str, *peers: str) -> AddressPool:
    return a_pool(name=name, announcement=Announcement.BGP, bgp=RouteAttributes(peers=peers))


async def test_what_routes_of_single_pools_carry_is_told_and_taken_back() -> None:
    told = Told()
    told.wants(engine=EngineName.IPVS, bgp=GOOD)
    told.world.memory.pools |= {
        "gold": pool("gold", "tor"),
        "edge": replace(pool("edge"), spec=a_pool(group="edge").spec),
    }
    await told.look()
    await told.look()
    assert [each.pools for each in told.said] == [
        (PoolAttributes(pool="gold", attributes=RouteAttributes(peers=("tor",))),)
    ]
    told.world.memory.pools["gold"] = pool("gold")
    await told.look()
    assert told.said[1].pools == (PoolAttributes(pool="gold"),)
    del told.world.memory.pools["gold"]
    await told.look()
    assert (len(told.said), told.said[2].pools) == (3, ())


async def test_a_pool_that_is_wrong_stays_as_it_was_told_and_others_are_followed() -> None:
    told = Told()
    told.wants(engine=EngineName.IPVS, bgp=GOOD)
    told.world.memory.pools |= {"gold": pool("gold", "tor"), "silver": pool("silver")}
    await told.look()
    told.world.memory.pools |= {"gold": pool("gold", "rot"), "new": pool("new", "rot"), "silver": pool("silver", "tor")}
    await told.look()
    assert {each.pool: each.attributes.peers for each in told.said[1].pools} == {"gold": ("tor",), "silver": ("tor",)}
