import asyncio

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.journeys import Journey
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.v1 import Hop, RealizedState, TenantAllowed, VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.bars import Bar
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.runtime.bus import Ack, Message, StreamMissing
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_manager.identities import AllowanceKey, Slot
from fleetlb_manager.publishing import ASK_AGAIN_SECONDS, NOBODY, REMAKE_SECONDS, Publishing, owner_of_service
from fleetlb_manager.virtual_server_tables import Content
from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_key, a_world

SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))
SUBJECT = subjects.desired(*SLOT)
ALLOWANCE = AllowanceKey("default", "acme")


def a_content(*backends: str, uid: str = "u1") -> Content:
    server = a_virtual_server("192.0.2.1:443/tcp", backends or ("10.1.0.1:31000",))
    return Content(owner=owner_of_service(a_key(uid)), server=server)


async def allowed(_: AllowanceKey) -> None:
    """Of the owners here it was said before."""


def bound() -> World:
    """A world where the address is claimed."""
    world = a_world()
    world.folding.claim_set(a_claim())
    world.marks.clear()
    return world


def said(world: World) -> VirtualServerDesired:
    return codec.decode(VirtualServerDesired, world.kept.streams[SUBJECT])


def acknowledge(world: World, state: RealizedState = RealizedState.REMOVED, node: str = "node-1") -> None:
    wish = said(world)
    world.memory.realized.note(
        "default",
        VirtualServerRealized(
            node=node,
            key=SLOT.key,
            generation=wish.generation,
            revision=wish.revision,
            state=state,
            owner=wish.owner,
        ),
    )


async def test_a_server_is_published_with_generation_revision_and_hops() -> None:
    world = bound()
    world.authority.generation = 7
    world.publishing.want(SLOT, a_content(), Journey(hops=(Hop("watch", 1),)))
    assert list(world.marks.slots) == [SLOT]
    await world.publishing.reconcile(SLOT)
    message = said(world)
    assert (message.generation, message.hops) == (7, (Hop("watch", 1),))
    await world.publishing.reconcile(SLOT)
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    assert world.kept.effects == [f"publish {SUBJECT}"]
    world.publishing.want(SLOT, a_content("10.1.0.2:31000"))
    await world.publishing.reconcile(SLOT)
    assert said(world).revision > message.revision


@pytest.mark.parametrize(
    "claim",
    [None, a_claim(phase=ClaimPhase.RELEASING), a_claim(owner=a_key("other")), a_claim(group="other")],
    ids=["unclaimed", "releasing", "another's", "another group's"],
)
async def test_nothing_is_served_on_an_address_that_is_not_its_owners(claim: object) -> None:
    world = a_world()
    if claim is not None:
        world.folding.claim_set(claim)  # type: ignore[arg-type]
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    assert SUBJECT not in world.kept.streams or said(world).server is None


async def test_a_right_that_is_lost_while_the_owner_is_vouched_for_publishes_nothing() -> None:
    world = bound()

    async def lose(_: AllowanceKey) -> None:
        world.authority.acting = False

    publishing = Publishing(world.bench, world, allow=lose, bar=world.allowing.bar)
    publishing.want(SLOT, a_content())
    await publishing.reconcile(SLOT)
    assert not world.kept.effects


async def test_nothing_is_published_before_its_owner_is_vouched_for() -> None:
    world = bound()

    async def refuse(key: AllowanceKey) -> None:
        assert key == ("default", "acme")
        raise Transient("not yet")

    publishing = Publishing(world.bench, world, allow=refuse, bar=world.allowing.bar)
    publishing.want(SLOT, a_content())
    with pytest.raises(Transient, match="not yet"):
        await publishing.reconcile(SLOT)
    assert not world.kept.effects


async def test_a_standby_and_an_unread_stream_publish_nothing() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    world.authority.acting = False
    await world.publishing.reconcile(SLOT)
    world.authority.acting = True
    world.memory.replayed.clear()
    await world.publishing.reconcile(SLOT)
    assert not world.kept.effects


async def test_a_lost_answer_is_followed_by_a_higher_revision() -> None:
    world = bound()

    attempts = []

    async def publish(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        attempts.append(message_id)
        if len(attempts) == 1:
            raise Transient("unknown outcome")
        return await world.publish(subject, body, message_id=message_id)

    bus = type("Bus", (), {"publish": staticmethod(publish), "purge_subject": world.purge_subject})()
    publishing = Publishing(world.bench, bus, allow=allowed, bar=world.allowing.bar)
    publishing.want(SLOT, a_content())
    with pytest.raises(Transient):
        await publishing.reconcile(SLOT)
    await publishing.reconcile(SLOT)
    assert len(set(attempts)) == 2
    assert said(world).revision == int(attempts[0].rpartition("-")[2]) + 1


async def test_a_missing_stream_is_asked_for() -> None:
    world, missing = bound(), []

    async def publish(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        raise StreamMissing("no stream")

    bus = type("Bus", (), {"publish": staticmethod(publish), "purge_subject": world.purge_subject})()
    publishing = Publishing(
        world.bench, bus, allow=allowed, bar=world.allowing.bar, on_stream_missing=lambda: missing.append(1)
    )
    publishing.want(SLOT, a_content())
    with pytest.raises(StreamMissing):
        await publishing.reconcile(SLOT)
    assert missing == [1]


async def test_the_last_wish_wins_over_one_in_flight() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    gate, sending = asyncio.Event(), asyncio.Event()

    async def publish(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        sending.set()
        await gate.wait()
        return await world.publish(subject, body, message_id=message_id)

    bus = type("Bus", (), {"publish": staticmethod(publish), "purge_subject": world.purge_subject})()
    publishing = Publishing(world.bench, bus, allow=allowed, bar=world.allowing.bar)
    publishing.want(SLOT, a_content("10.1.0.2:31000"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publishing.reconcile(SLOT))
        await sending.wait()
        world.marks.clear()
        publishing.want(SLOT, a_content())
        gate.set()
    assert list(world.marks.slots) == [SLOT]
    await publishing.reconcile(SLOT)
    assert said(world).server == a_content().server


async def test_letting_go_waits_for_the_nodes_then_purges_and_tells_the_claim() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    world.marks.clear()
    assert await world.publishing.reconcile(SLOT) == ASK_AGAIN_SECONDS
    assert said(world).server is None
    assert said(world).owner == owner_of_service(a_key())
    assert await world.publishing.reconcile(SLOT) == pytest.approx(ASK_AGAIN_SECONDS)
    assert not world.marks.claims
    acknowledge(world)
    world.kept.streams[subjects.realized("default", "node-1", SLOT.key)] = b""
    assert await world.publishing.reconcile(SLOT) is None
    assert world.memory.let_go == {SLOT}
    assert list(world.marks.claims) == ["192.0.2.1"]
    assert not [subject for subject in world.kept.streams if ".desired." in subject or ".realized." in subject]
    assert await world.publishing.reconcile(SLOT) is None


async def test_a_claim_that_is_released_while_what_was_left_at_its_address_is_purged_goes_on() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(ports=("80/TCP",), version=2))
    await world.publishing.reconcile(SLOT)
    acknowledge(world)
    purge = world.purge_subject

    async def while_it_is_released(stream: str, subject: str, through: int = 0) -> None:
        await purge(stream, subject, through)
        world.folding.claim_set(a_claim(ports=("80/TCP",), phase=ClaimPhase.RELEASING, version=3))
        world.memory.let_go.add(Slot("default", parse_key("192.0.2.1:80/tcp")))
        await world.releasing.reconcile_claim("192.0.2.1")
        world.marks.claims.clear()

    world.purge_subject = while_it_is_released  # type: ignore[method-assign]
    await world.publishing.reconcile(SLOT)
    assert list(world.marks.claims) == ["192.0.2.1"]


async def test_what_waited_for_its_streams_is_looked_at_again_when_it_is_wanted_again() -> None:
    world = bound()
    replayed = world.memory.replayed.copy()
    world.memory.replayed.clear()
    world.publishing.want(SLOT, a_content())
    world.marks.slots.clear()
    await world.publishing.reconcile(SLOT)
    world.memory.replayed.update(replayed)
    assert world.publishing.want(SLOT, a_content()) is False
    assert list(world.marks.slots) == [SLOT]
    await world.publishing.reconcile(SLOT)
    assert said(world).server is not None


async def test_nothing_more_is_purged_once_the_right_to_is_gone() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    acknowledge(world)
    purge = world.purge_subject

    async def last(stream: str, subject: str, through: int = 0) -> None:
        await purge(stream, subject, through)
        world.authority.acting = False

    world.purge_subject = last  # type: ignore[method-assign]
    world.kept.effects.clear()
    with pytest.raises(Transient):
        await world.publishing.reconcile(SLOT)
    assert world.kept.effects == [f"purge {SUBJECT}"]
    assert SLOT not in world.memory.let_go


async def test_a_word_that_comes_while_others_are_purged_is_not_forgotten() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    acknowledge(world)
    said_last = said(world)
    purge = world.purge_subject

    async def slowly(stream: str, subject: str, through: int = 0) -> None:
        await purge(stream, subject, through)
        if subject != SUBJECT:
            late = VirtualServerRealized(
                node="node-0",
                key=SLOT.key,
                generation=said_last.generation,
                revision=said_last.revision - 1,
                state=RealizedState.PROGRAMMED,
                owner=said_last.owner,
            )
            world.memory.realized.note("default", late)

    world.purge_subject = slowly  # type: ignore[method-assign]
    await world.publishing.reconcile(SLOT)
    assert list(world.memory.realized.get(SLOT)) == ["node-0"]
    await world.publishing.reconcile(SLOT)
    assert said(world).server is None


async def test_who_does_not_answer_is_asked_again_after_a_while() -> None:
    world = bound()
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    first = said(world).revision
    world.clock.now += ASK_AGAIN_SECONDS + 1
    assert await world.publishing.reconcile(SLOT) == ASK_AGAIN_SECONDS
    assert said(world).revision > first


async def test_what_nobody_owns_is_let_go_without_a_claim() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_gone(a_claim())
    assert await world.publishing.reconcile(SLOT) == REMAKE_SECONDS
    assert said(world).server is not None
    world.clock.now += REMAKE_SECONDS
    await world.publishing.reconcile(SLOT)
    assert said(world).owner == NOBODY
    acknowledge(world)
    await world.publishing.reconcile(SLOT)
    assert SUBJECT not in world.kept.streams
    assert not world.memory.let_go


async def test_a_claim_that_is_made_again_in_time_costs_nothing() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    revision = said(world).revision
    claim = a_claim()
    for version in (2, 3):
        world.folding.claim_gone(claim)
        await world.publishing.reconcile(SLOT)
        world.clock.now += REMAKE_SECONDS * 0.75
        claim = a_claim(version=version, uid=f"made-{version}")
        world.folding.claim_set(claim)
        assert await world.publishing.reconcile(SLOT) is None
    assert said(world).revision == revision


async def test_without_its_group_nothing_is_taken_as_let_go() -> None:
    world = bound()
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    acknowledge(world)
    group = world.memory.groups["default"]
    world.folding.group_gone(group)
    assert await world.publishing.reconcile(SLOT) is not None
    assert not world.memory.let_go
    world.folding.group_set(replace(group, metadata=replace(group.metadata, uid="again", resource_version="99")))
    await world.publishing.reconcile(SLOT)
    assert world.memory.let_go == {SLOT}


async def test_a_generation_that_stands_somewhere_is_risen_above_before_anything_is_said() -> None:
    """The address comes from a tenant of another partition, whose terms have higher ones; its subject was purged."""
    world = bound()
    world.publishing.want(SLOT, a_content())
    node = VirtualServerRealized(
        node="node-1", key=SLOT.key, generation=9, revision=4, state=RealizedState.REMOVED, owner=NOBODY
    )
    world.memory.realized.note("default", node)
    with pytest.raises(Transient, match="generation 9 stands there"):
        await world.publishing.reconcile(SLOT)
    assert not world.kept.effects
    await world.publishing.reconcile(SLOT)
    assert said(world).generation == 10


async def test_what_a_node_will_not_hear_of_does_not_stand() -> None:
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    word = VirtualServerRealized(
        node="node-1", key=SLOT.key, generation=9, revision=4, state=RealizedState.REMOVED, owner=NOBODY
    )
    world.marks.clear()
    body, subject = codec.encode(word), subjects.realized("default", "node-1", SLOT.key)
    world.messages.realized("default", Message(subject, body, 3))
    assert list(world.marks.services) == [a_key()], "its owner looks"
    assert world.publishing.want(SLOT, a_content())
    with pytest.raises(Transient):
        await world.publishing.reconcile(SLOT)
    await world.publishing.reconcile(SLOT)
    assert said(world).generation == 10


async def test_a_purge_takes_nothing_that_came_after_what_was_seen() -> None:
    world, purged = bound(), {}
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    tombstone = world.sequence
    word = VirtualServerRealized(
        node="node-1",
        key=SLOT.key,
        generation=said(world).generation,
        revision=said(world).revision,
        state=RealizedState.REMOVED,
        owner=NOBODY,
    )
    world.memory.realized.note("default", word, 70)
    world.memory.realized.note("default", replace(word, revision=0), 71)

    async def purge_subject(stream: str, subject: str, through: int = 0) -> None:
        purged[subject] = through

    world.purge_subject = purge_subject  # type: ignore[method-assign]
    await world.publishing.reconcile(SLOT)
    assert purged == {SUBJECT: tombstone, subjects.realized("default", "node-1", SLOT.key): 71}


async def test_an_address_that_was_freed_under_a_higher_generation_is_published_above_that() -> None:
    """No stream and no node may know any more what was said of it, and yet it may be on its way."""
    world = a_world()
    before = a_claim(owner=a_key("theirs", "globex"), phase=ClaimPhase.QUARANTINED, uid="before", generation=6)
    world.folding.claim_set(before)
    world.folding.claim_gone(before)
    world.folding.claim_set(a_claim(version=2))
    world.publishing.want(SLOT, a_content())
    with pytest.raises(Transient, match="generation 6 stands there"):
        await world.publishing.reconcile(SLOT)
    await world.publishing.reconcile(SLOT)
    assert said(world).generation == 7


async def test_before_a_purge_nodes_are_told_what_is_late_and_what_came_meanwhile_is_seen() -> None:
    kept = bound().kept
    world = World(kept, generation=2)
    world.folding.claim_set(a_claim())
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.folding.claim_set(a_claim(phase=ClaimPhase.RELEASING, version=2))
    await world.publishing.reconcile(SLOT)
    acknowledge(world)
    late, tombstone = replace(said(world), generation=1, server=a_content().server), said(world)
    publish, allowance = world.publish, subjects.allowed("default", "acme")

    async def while_a_late_wish_comes(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
        if subject == allowance:
            world.memory.desired.note_message(SLOT, late, 90)
        return await publish(subject, body, message_id=message_id)

    world.publish = while_a_late_wish_comes  # type: ignore[method-assign]
    world.kept.effects.clear()
    await world.publishing.reconcile(SLOT)
    assert world.kept.effects == [f"publish {allowance}", f"publish {SUBJECT}"]
    assert codec.decode(TenantAllowed, kept.streams[allowance]).bars[-1].generation == 2
    assert said(world).server is None
    assert said(world).revision > tombstone.revision
    acknowledge(world)
    world.kept.effects.clear()
    await world.publishing.reconcile(SLOT)
    assert world.kept.effects == [f"purge {SUBJECT}", f"purge {subjects.realized('default', 'node-1', SLOT.key)}"]


async def test_what_is_late_does_not_stand_and_is_said_above_the_bars() -> None:
    """The tenant comes from another partition, whose terms had higher generations."""
    world = bound()
    world.publishing.want(SLOT, a_content())
    await world.publishing.reconcile(SLOT)
    world.messages.desired("default", Message(SUBJECT, world.kept.streams[SUBJECT], 30))
    assert not world.publishing.want(SLOT, a_content())
    known = world.memory.allowances.get(ALLOWANCE)
    assert known is not None
    world.memory.allowances.note(ALLOWANCE, known._replace(bars=(Bar(7, 30),)))
    assert not world.publishing.want(SLOT, a_content())
    world.memory.allowances.note(ALLOWANCE, known._replace(bars=(Bar(7, 29),)))
    world.marks.clear()
    world.messages.desired("default", Message(SUBJECT, world.kept.streams[SUBJECT], 30))
    assert list(world.marks.services) == [a_key()], "its owner looks"
    assert world.publishing.want(SLOT, a_content())
    with pytest.raises(Transient, match="generation 7 stands there"):
        await world.publishing.reconcile(SLOT)
    await world.publishing.reconcile(SLOT)
    assert said(world).generation == 8
    assert not world.publishing.want(SLOT, a_content())
