import asyncio

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import TenantAllowed, VirtualServerDesired
from fleetlb.domain.bars import Bar
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Ack, Message, StreamMissing
from fleetlb_manager.allowing import Allowing
from fleetlb_manager.identities import AllowanceKey
from fleetlb_manager.tenancy import Tenancy
from fleetlb_manager.virtual_server_tables import Published
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_tenant, a_wish, a_world

KEY = AllowanceKey("default", "acme")
SUBJECT = subjects.allowed(*KEY)


def said(world: World, subject: str = SUBJECT) -> TenantAllowed:
    return codec.decode(TenantAllowed, world.kept.streams[subject])


def unsaid(*tenants: str) -> World:
    """A world whose streams are empty."""
    kept = a_world(*tenants).kept
    kept.streams.clear()
    return World(kept)


async def respecify(world: World, **changes: object) -> None:
    """An operator edits the Tenant."""
    tenant = world.kept.tenants["acme"]
    spec = replace(tenant.spec, **changes)
    world.kept.tenants["acme"] = world.kept.stamp(replace(tenant, spec=spec), respecified=True)
    world.folding.tenant_set(world.kept.tenants["acme"])
    await Tenancy(world.memory, world.marks, allow_loopback=False).reconcile("all")


async def test_every_tenant_is_told_of_once_and_not_again_after_a_restart() -> None:
    world = unsaid("acme", "globex")
    await world.work()
    assert sorted(world.kept.effects) == [f"publish {SUBJECT}", "publish fleetlb.v1.allowed.default.globex"]
    message = said(world)
    assert (message.group, message.tenant, message.account) == ("default", "acme", "AACME")
    assert (message.generation, message.signature) == (1, "")
    assert message.allowed is not None
    assert message.allowed.node_cidrs == ("10.1.0.0/16",)
    world.kept.effects.clear()
    after = World(world.kept, generation=2)
    await after.work()
    assert world.kept.effects == []


async def test_a_change_is_said_with_a_higher_revision_before_what_rests_on_it() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    before = said(world).revision
    world.kept.effects.clear()
    await respecify(world, node_cidrs=("10.1.0.0/24",), pod_cidrs=("10.7.0.0/16",))
    world.marks.allowances.clear()  # its own worker is late
    world.say(a_key("u2"), a_wish("two"))
    await world.work()
    published = [effect for effect in world.kept.effects if effect.startswith("publish")]
    assert published[0] == f"publish {SUBJECT}"
    assert len(published) == 2
    assert said(world).revision > before


async def test_what_a_tenant_without_a_grant_had_stays_said() -> None:
    world = a_world()
    await world.work()
    world.kept.effects.clear()
    await respecify(world, node_cidrs=("nowhere",))
    await world.work()
    assert world.kept.effects == []


async def test_a_tenant_that_is_gone_is_taken_back_once_nothing_of_it_is_live() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    tenant = world.kept.tenants["acme"]
    world.folding.tenant_gone(tenant)
    await Tenancy(world.memory, world.marks, allow_loopback=False).reconcile("all")
    await world.work()
    assert said(world).allowed is not None
    for claim in list(world.kept.claims.values()):
        world.folding.claim_gone(claim)
    for item in list(world.kept.load_balancers.values()):
        world.folding.load_balancer_gone(item)
    await world.allowing.reconcile(next(iter(world.marks.allowances)))
    assert said(world).allowed is None
    revision = said(world).revision
    await world.allowing.reconcile(KEY)
    assert said(world).revision == revision


async def test_an_address_and_a_port_from_before_are_named_until_they_are_given_up() -> None:
    world = a_world()
    world.say(a_key(), a_wish(addresses=("192.0.2.5",)))
    await world.work()
    world.repool("198.51.100.0/24")
    await respecify(world, node_port_range="32000-32767")
    await world.work()
    allowed = said(world).allowed
    assert allowed is not None
    assert allowed.prefixes == ("198.51.100.0/24", "192.0.2.5/32")
    assert allowed.more_node_ports == (31000,)
    world.say(a_key(), None)
    await world.work()
    allowed = said(world).allowed
    assert allowed is not None
    assert (allowed.prefixes, allowed.more_node_ports) == (("198.51.100.0/24",), ())


async def test_what_somebody_else_put_there_is_written_over() -> None:
    world = a_world()
    await world.work()
    ours = said(world)
    forged = codec.encode(replace(ours, generation=99, allowed=None))
    world.messages._is_ours = lambda body: body != forged
    world.kept.streams[SUBJECT] = forged
    world.messages.allowed("default", Message(SUBJECT, forged, 9))
    await world.work()
    assert (said(world).generation, said(world).allowed) == (1, ours.allowed)


async def test_a_standby_and_an_unread_stream_say_nothing() -> None:
    world = unsaid()
    world.authority.acting = False
    await world.allowing.ensure(KEY)
    world.authority.acting = True
    world.memory.replayed.clear()
    await world.allowing.ensure(KEY)
    assert not world.kept.effects


async def test_who_needs_it_while_it_is_being_said_comes_again_and_a_lost_answer_is_not_believed() -> None:
    world, missing = unsaid(), []
    gate, sending = asyncio.Event(), asyncio.Event()

    async def publish(subject: str, body: bytes, *, message_id: str) -> Ack:
        sending.set()
        await gate.wait()
        raise StreamMissing("no stream")

    bus = type("Bus", (), {"publish": staticmethod(publish), "purge_subject": world.purge_subject})()
    allowing = Allowing(world.bench, bus, sign=codec.encode, on_stream_missing=lambda: missing.append(1))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(_refused(allowing))
        await sending.wait()
        with pytest.raises(Transient, match="is being said"):
            await allowing.ensure(KEY)
        gate.set()
        assert await first
    assert missing == [1]
    assert not world.memory.allowances.is_current(KEY)
    await world.allowing.ensure(KEY)
    assert world.memory.allowances.is_current(KEY)


async def _refused(allowing: Allowing) -> bool:
    with pytest.raises(StreamMissing):
        await allowing.ensure(KEY)
    return True


async def test_a_new_account_is_told_of() -> None:
    world = a_world()
    await world.work()
    tenant = a_tenant()
    known = world.kept.tenants["acme"]
    world.folding.tenant_set(world.kept.stamp(replace(known, status=replace(tenant.status, account="ASECOND"))))
    await world.work()
    assert said(world).account == "ASECOND"


async def test_where_nothing_was_said_all_of_earlier_terms_is_late_and_what_stands_is_said_again() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    before = list(world.kept.streams)
    del world.kept.streams[SUBJECT]
    world.kept.effects.clear()
    after = World(world.kept, generation=2)
    await after.work()
    assert said(after).bars == (Bar(2, 0),)
    desired = [subject for subject in before if ".desired." in subject]
    assert after.kept.effects == [f"publish {subject}" for subject in (SUBJECT, *desired)]
    assert codec.decode(VirtualServerDesired, world.kept.streams[desired[0]]).generation == 2
    after.kept.effects.clear()
    await World(world.kept, generation=3).work()
    assert after.kept.effects == []


async def test_a_term_says_once_how_far_it_had_read_and_whatever_was_late_stays_so() -> None:
    world = a_world()
    world.say(a_key(), a_wish())
    await world.work()
    after = World(world.kept, generation=4)
    await after.work()
    slot = next(iter(after.memory.desired.slots()))
    wish = codec.decode(VirtualServerDesired, world.kept.streams[subjects.desired(*slot)])
    after.memory.desired.note_message(slot, wish, 30)
    after.memory.desired.note(slot, Published(4, 9, "d", sequence=50))
    assert await after.allowing.bar(KEY)
    assert said(after).bars == (Bar(1, 0), Bar(4, 30)), "not what it has said itself, and not read"
    assert list(after.marks.services) == [a_key()], "it may be late by the new bar"
    after.memory.desired.note_message(slot, wish, 31)
    revision = said(after).revision
    assert not await after.allowing.bar(KEY)
    assert said(after).revision == revision
    await respecify(after, pod_cidrs=("10.7.0.0/16",))
    await after.work()
    assert (said(after).revision > revision, said(after).bars) == (True, (Bar(1, 0), Bar(4, 30)))


async def test_a_bar_whose_saying_failed_is_none() -> None:
    world = a_world()
    after = World(world.kept, generation=2)
    await after.work()
    publish, after.publish = after.publish, _lost  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await after.allowing.bar(KEY)
    after.publish = publish  # type: ignore[method-assign]
    assert said(after).bars == (Bar(1, 0),)
    assert await after.allowing.bar(KEY)
    assert said(after).bars[-1].generation == 2


async def test_nothing_is_purged_while_the_stream_of_bars_is_read_anew() -> None:
    after = World(a_world().kept, generation=2)
    after.memory.replayed.clear()
    with pytest.raises(Transient, match="is being read"):
        await after.allowing.bar(KEY)


async def test_a_tenant_whose_grant_cannot_be_told_keeps_the_bars_that_it_has() -> None:
    world = a_world()
    after = World(world.kept, generation=2)
    await respecify(after, node_cidrs=("nowhere",))
    await after.work()
    assert not await after.allowing.bar(KEY)
    assert said(after).bars == (Bar(1, 0),)


async def _lost(subject: str, body: bytes, *, message_id: str, trace: str = "") -> Ack:
    raise Transient("unknown outcome")
