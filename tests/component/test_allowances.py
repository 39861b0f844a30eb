"""A node that knows what tenants may have: whatever a wish says, nothing beyond that reaches its data plane."""

from pathlib import Path

import msgspec
import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import GroupInstructed, Probe, RealizedState, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.runtime.nats_accounts import KeyKind, new_seed, public_key
from fleetlb.runtime.signing import signed
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish, an_allowance
from fleetlb_dataplane_programmer import completing, heeding
from tests.component.test_programmer import ALLOWED, KEY, OTHER, World

MINE, THEIRS = ["10.0.0.1:31777"], ["10.2.0.1:31777"]
SEED = new_seed(KeyKind.OPERATOR)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "HUB_SECONDS", 0.3)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.streams()
    return world


def rejected(world: World, revision: int, key: VirtualServerKey = KEY) -> VirtualServerRealized | None:
    """What is said of a wish that is rejected."""
    word = world.realized(key)
    return word if word and (word.revision, word.state) == (revision, RealizedState.REJECTED) else None


async def test_one_of_two_is_refused_alone_and_said(world: World) -> None:
    await world.allow(an_allowance())
    async with world.programmer():
        await world.wish(a_wish(KEY, THEIRS))
        await world.wish(a_wish(OTHER, MINE))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED, OTHER) and rejected(world, 1))
        assert list(world.plane) == [OTHER]
        word = rejected(world, 1)
        assert word is not None
        assert word.reason == "BackendNotAllowed"
        assert "10.2.0.1 port 31777" in word.message
        assert "spec.nodeCIDRs" in word.message


async def test_what_was_served_stays_over_a_refusal_and_a_restart_with_the_hub_gone(world: World) -> None:
    await world.allow(an_allowance())
    async with world.programmer():
        await world.wish(a_wish(KEY, MINE))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        await world.wish(a_wish(KEY, THEIRS, revision=2))
        await world.wish(a_wish(OTHER, THEIRS))
        await eventually(lambda: rejected(world, 2) and rejected(world, 1, OTHER))
        await world.node.save()
        served = world.engine.dump()
    assert (world.disk / heeding.FILE).exists()
    world.plane.clear()
    async with world.programmer(bus=False):
        await eventually(lambda: world.engine.dump() == served)
        said = world.node.word(KEY)
        assert said is not None
        assert said.state is RealizedState.REJECTED


async def test_a_wish_that_was_served_unjudged_is_given_up_when_the_first_allowance_comes(world: World) -> None:
    async with world.programmer():
        await world.wish(a_wish(KEY, THEIRS))
        await world.wish(a_wish(OTHER, MINE))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED) and world.is_realized(1, Probe.ANSWERED, OTHER))
        await world.allow(an_allowance())
        await eventually(lambda: rejected(world, 1))
        await eventually(lambda: list(world.plane) == [OTHER])
    assert world.words().count("192.0.2.2:53/udp r1 programmed answered") == 1


async def test_a_manager_that_tells_of_no_allowance_is_served_as_before(world: World) -> None:
    world.server.delete_stream(ALLOWED.name)
    async with world.programmer():
        await world.wish(a_wish(KEY, MINE))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))


async def test_an_allowance_that_shrinks_and_one_that_is_purged_change_nothing_that_serves(world: World) -> None:
    await world.allow(an_allowance())
    async with world.programmer():
        await world.wish(a_wish(KEY, MINE))
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
        changes = world.engine.changes
        await world.allow(an_allowance(node_cidrs=("10.9.0.0/16",), revision=2))
        await world.bus.purge_subject(ALLOWED.name, subjects.allowed("default", "acme"))
        await world.wish(a_wish(OTHER, MINE))
        await eventually(lambda: rejected(world, 1, OTHER))
        assert world.engine.changes == changes
        assert list(world.plane) == [KEY]


async def test_at_the_start_allowances_come_before_wishes_and_nothing_is_said_in_passing(world: World) -> None:
    """In the streams the wish is older than the allowance, as after a change of managers."""
    world.operator_key = public_key(SEED)
    world.slow[ALLOWED.name] = 0.2
    await world.wish(a_wish(KEY, MINE))
    await world.allow(an_allowance(generation=2), SEED)
    async with world.programmer():
        await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
    assert world.words() == ["192.0.2.1:443/tcp r1 programmed answered"]


class TestSigned:
    """A node that was given the operator's key."""

    @pytest.fixture(autouse=True)
    def _key(self, world: World) -> None:
        world.operator_key = public_key(SEED)

    async def test_nothing_new_is_served_of_a_tenant_that_nobody_vouches_for(self, world: World) -> None:
        async with world.programmer():
            await world.wish(a_wish(KEY, MINE))
            await eventually(lambda: rejected(world, 1))
            assert world.plane == {}
            await world.allow(an_allowance(), SEED)
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))

    async def test_what_another_key_signed_is_not_believed_and_counted(self, world: World) -> None:
        await world.allow(an_allowance(), SEED)
        before = heeding.UNBELIEVED._value.get()
        async with world.programmer():
            wider = an_allowance(node_cidrs=("10.0.0.0/8",), revision=9)
            await world.allow(wider)
            await world.allow(wider, new_seed(KeyKind.OPERATOR))
            await world.bus.publish(subjects.allowed("default", "globex"), codec.encode(wider), message_id="")
            await world.wish(a_wish(KEY, THEIRS))
            await eventually(lambda: rejected(world, 1))
            await eventually(lambda: heeding.UNBELIEVED._value.get() == before + 3)
            assert world.plane == {}

    async def test_what_is_signed_for_another_group_or_stands_elsewhere_is_not_believed(self, world: World) -> None:
        await world.allow(an_allowance(), SEED)
        before = heeding.UNBELIEVED._value.get()
        wider = an_allowance(node_cidrs=("10.0.0.0/8",), revision=9)
        async with world.programmer():
            elsewhere = signed(msgspec.structs.replace(wider, group="edge"), SEED)
            of_another_kind = signed(GroupInstructed(group="default", generation=9, revision=9), SEED)
            bodies = ("acme", elsewhere), ("globex", signed(wider, SEED)), ("acme", b"{"), ("acme", of_another_kind)
            for tenant, body in bodies:
                await world.bus.publish(subjects.allowed("default", tenant), body, message_id="")
            await eventually(lambda: heeding.UNBELIEVED._value.get() == before + 4)
            await world.wish(a_wish(KEY, THEIRS))
            await world.wish(a_wish(OTHER, MINE))
            await eventually(lambda: rejected(world, 1) and world.is_realized(1, Probe.ANSWERED, OTHER))
            assert list(world.plane) == [OTHER]

    async def test_who_takes_up_the_key_later_goes_on_serving_what_it_served(self, world: World) -> None:
        world.operator_key = ""
        async with world.programmer():
            await world.wish(a_wish(KEY, MINE))
            await eventually(lambda: world.is_realized(1, Probe.ANSWERED))
            await world.node.save()
        world.operator_key = public_key(SEED)
        async with world.programmer():
            await world.wish(a_wish(OTHER, MINE))
            await eventually(lambda: rejected(world, 1, OTHER))
            assert list(world.plane) == [KEY]
