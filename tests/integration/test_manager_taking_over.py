"""The manager against a real API server: one manager acts: what a killed, paused or replaced one leaves behind."""

import asyncio
import random

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.testkit.fake_bus import FakeBus
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish

pytestmark = pytest.mark.integration


async def test_A7_what_was_begun_before_the_lease_was_lost_is_not_finished(stage: Stage) -> None:
    """As after a pause in the middle of a Service: by the time of the next write somebody else decides."""
    node, watcher = await begin(stage)
    leadership = stage.manager.leadership
    stage.counting.before_write = lambda what: leadership.end() if what == "create loadbalancers" else None
    await watcher.say("u1", a_wish())
    await stage.until(lambda: stage.writes["create loadbalancers"])
    await stage.settled()
    assert (list(await stage.claims()), await stage.load_balancers(), node.seen) == (["192.0.2.0"], {}, [])
    stage.counting.before_write = lambda what: None
    leadership.look()
    await stage.until_addresses({"u1": ("192.0.2.0",)})


@pytest.mark.parametrize("cut", range(1, 9))
async def test_killed_at_any_write_it_ends_with_the_same_addresses(stage: Stage, cut: int) -> None:
    node, watcher = await begin(stage, pool="192.0.2.0/29")
    await watcher.say("u0", a_wish("first", addresses=("192.0.2.3",)))
    await stage.until_addresses({"u0": ("192.0.2.3",)})
    await at_rest(stage)
    done = 0

    def kill_at(what: str) -> None:
        nonlocal done
        done += 1
        if done == cut and stage.running is not None:
            asyncio.get_running_loop().call_later(random.random() * 0.002, stage.running.cancel)

    stage.counting.before_write = kill_at
    for number in range(1, 4):
        await watcher.say(f"u{number}", a_wish(f"u{number}", ports=(80, 443)))
    await watcher.say("u0", a_wish("first", addresses=("192.0.2.4",)))
    await stage.until(lambda: done >= cut)
    stage.counting.before_write = lambda what: None
    await stage.restart()
    await stage.until(lambda: len(node.serving) == 7)
    await stage.settled(0.3)
    found = await stage.addresses()
    assert found["u0"] == ("192.0.2.4",)
    assert len({address for addresses in found.values() for address in addresses}) == 4
    claims = await stage.claims()
    assert {c.spec.owner.service_uid: a for a, c in claims.items()} == {u: a for u, (a,) in found.items()}
    assert {key.rpartition(":")[0] for key in node.serving} == set(claims)
    await stage.restart()
    await stage.settled(0.3)
    assert await stage.addresses() == found


async def test_a_standby_takes_over_and_writes_nothing(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await at_rest(stage)
    generation = stage.manager.partitions.fleet.generation
    first = stage.running
    stage.start("manager-2")
    await stage.until(lambda: stage.manager.is_synced)
    await stage.settled()
    assert not stage.manager.leadership.acting
    assert first is not None
    first.cancel()
    await stage.acting()
    await stage.settled(1.3)
    assert stage.manager.partitions.fleet.generation > generation
    assert not stage.writes
    seen = len(node.seen)
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 2)
    assert len(node.seen) == seen + 1


async def test_what_a_manager_without_the_lease_published_is_published_over(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    stale = VirtualServerDesired(key=node.seen[0].key, generation=1, revision=10**6, owner=node.seen[0].owner)
    await FakeBus(stage.server).publish(subjects.desired("default", stale.key), codec.encode(stale), message_id="stale")
    await stage.until(lambda: node.seen[-1].revision > 10**6)
    assert node.seen[-1].server == node.seen[0].server
