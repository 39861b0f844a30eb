import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.v1 import ServiceObserved
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit import wishes
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.following import Following
from fleetlb_manager.identities import Slot
from fleetlb_manager.memory import Memory
from fleetlb_manager.parking import Parking
from fleetlb_manager.streams import Streams
from tests.unit.fleetlb_manager.manager_world import READY, Marked, a_group, a_key, a_load_balancer, a_tenant, a_wish

OBSERVED = streams.observed_stream("AACME")
DESIRED = streams.desired_stream("default")
ALLOWED = streams.allowed_stream("default")
REALIZED = streams.realized_stream("default")


class Followed:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.bus = FakeBus()
        self.memory, self.marks = Memory(), Marked()
        keeper = Streams(self.bus, may_create=lambda: True)
        self.keeping = tasks.create_task(keeper.run())
        folding = MessageFolding(self.memory, self.marks, Parking(self.bus), lambda: 1.0, is_ours=lambda _: True)
        self.following = Following(
            self.memory, folding, self.marks, self.bus, keeper, may_create=lambda _: True, tasks=tasks
        )

    async def say(self, uid: str) -> None:
        message = ServiceObserved(digest=uid, service=a_wish(), endpoints=READY)
        subject = subjects.observed_service("AACME", "cluster-1", uid)
        await self.bus.publish(subject, codec.encode(message), message_id=uid)


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    async with asyncio.TaskGroup() as tasks:
        made = Followed(tasks)
        yield made
        made.keeping.cancel()
        for task in made.following._followed.values():
            task.cancel()


async def test_a_tenants_stream_is_made_and_followed(followed: Followed) -> None:
    followed.following.tenant(a_tenant())
    followed.following.tenant(a_tenant())
    await eventually(lambda: OBSERVED.name in followed.bus.server.streams)
    await followed.say("u1")
    await eventually(lambda: followed.memory.observations.service(a_key("u1")))
    assert list(followed.marks.services) == [a_key("u1")]


async def test_without_an_account_nothing_is_followed(followed: Followed) -> None:
    tenant = a_tenant()
    followed.following.tenant(replace(tenant, status=replace(tenant.status, account="")))
    assert not followed.following._followed


async def test_a_deleted_tenant_is_forgotten(followed: Followed) -> None:
    followed.following.tenant(a_tenant())
    await eventually(lambda: OBSERVED.name in followed.bus.server.streams)
    await followed.say("u1")
    await eventually(lambda: followed.memory.observations.service(a_key("u1")))
    followed.following.tenant_gone("acme")
    followed.following.tenant_gone("acme")
    await followed.say("u2")
    await asyncio.sleep(0.01)
    assert list(followed.memory.observations.services()) == []


async def test_another_account_is_another_stream(followed: Followed) -> None:
    followed.following.tenant(a_tenant())
    tenant = a_tenant()
    followed.following.tenant(replace(tenant, status=replace(tenant.status, account="ASECOND")))
    await eventually(lambda: streams.observed_stream("ASECOND").name in followed.bus.server.streams)
    assert list(followed.following._followed) == [streams.observed_stream("ASECOND").name]


async def test_an_account_that_was_left_is_never_followed_again_but_a_namesakes_is(followed: Followed) -> None:
    followed.following.tenant(a_tenant())
    await eventually(lambda: OBSERVED.name in followed.bus.server.streams)
    followed.following.leave("acme", "AACME")
    followed.following.tenant(a_tenant())
    assert not followed.following._followed
    tenant = a_tenant()
    followed.following.tenant(replace(tenant, status=replace(tenant.status, account="ASECOND")))
    followed.following.leave("acme", "AACME")
    assert list(followed.following._followed) == [streams.observed_stream("ASECOND").name]


async def test_a_group_is_ready_when_all_its_streams_are_read(followed: Followed) -> None:
    followed.memory.load_balancers.put(a_load_balancer(a_key(), "192.0.2.1"))
    followed.memory.claims.passing()
    followed.following.group(a_group())
    followed.following.group(a_group())
    await eventually(lambda: followed.memory.replayed == {DESIRED.name, ALLOWED.name, REALIZED.name})
    assert list(followed.marks.services) == [a_key()]


async def test_what_a_lost_stream_held_is_marked_for_publishing(followed: Followed) -> None:
    followed.following.group(a_group())
    await eventually(lambda: len(followed.memory.replayed) == 3)
    wish = wishes.a_wish()
    await followed.bus.publish(subjects.desired("default", wish.key), codec.encode(wish), message_id="1")
    slot = Slot("default", parse_key("192.0.2.1:443/tcp"))
    await eventually(lambda: followed.memory.desired.get(slot))
    followed.memory.load_balancers.put(a_load_balancer(a_key(), "192.0.2.1"))
    followed.marks.clear()
    followed.bus.server.delete_stream(DESIRED.name)
    await followed.bus.ensure_stream(DESIRED)
    await eventually(lambda: followed.marks.services)
    assert followed.memory.desired.get(slot) is None


async def test_an_inventory_proves_nothing_while_the_stream_is_read_anew(followed: Followed) -> None:
    followed.following.tenant(a_tenant())
    await eventually(lambda: "acme" in followed.memory.observations._replayed)
    restarts = []
    original = followed.memory.observations.restart
    followed.memory.observations.restart = lambda tenant: (restarts.append(tenant), original(tenant))  # type: ignore[assignment, func-returns-value, method-assign]
    followed.bus.server.restart_followers()
    await eventually(lambda: restarts == ["acme"])
    await eventually(lambda: "acme" in followed.memory.observations._replayed)
