"""The manager against a real API server: how an address is let go of, and how it is proven that a Service is gone."""

import asyncio
import random

import pytest
from msgspec.structs import replace

from fleetlb.contracts import codec, streams, subjects
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS
from fleetlb.testkit.fake_bus import FakeBus
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec

pytestmark = pytest.mark.integration

DESIRED = streams.desired_stream("default").name


async def test_a_release_waits_for_every_node_and_then_for_the_quarantine(stage: Stage) -> None:
    await stage.set_up("acme", pool="192.0.2.9/32", nodes=("node-1", "node-2"), quarantine=30)
    slow, quick = stage.add_node("node-1"), stage.add_node("node-2")
    stage.start()
    watcher = await stage.watcher()
    await watcher.say("u1", a_wish())
    await stage.until(lambda: slow.serving and quick.serving)
    slow.answering = False
    await watcher.say("u1", None)
    await stage.until(lambda: not quick.serving)
    await stage.settled()
    assert (await stage.claims())["192.0.2.9"].spec.phase is ClaimPhase.RELEASING
    assert "u1" in await stage.load_balancers()
    assert not stage.released
    await slow.answer_all()
    await stage.until(lambda: stage.released)
    assert (await stage.claims())["192.0.2.9"].spec.phase is ClaimPhase.QUARANTINED
    assert not await stage.load_balancers()
    assert not stage.server.streams[DESIRED].messages
    await watcher.say("u2", a_wish("next"))
    await stage.until_addresses({"u2": ()})
    await stage.settled(1.3)
    pool = await stage.cluster.get(ADDRESS_POOLS, "default")
    assert (pool.status.ipv4.used, pool.status.ipv4.quarantined, pool.status.ipv4.free) == (0, 1, 0)
    stage.clock.ahead += 31
    await stage.restart()
    await stage.until_addresses({"u2": ("192.0.2.9",)})


async def test_a_node_that_is_taken_out_frees_its_addresses_and_lets_go_if_it_comes_back(stage: Stage) -> None:
    """Its operator says that it is dead. If it was only cut off, what it says on its return has it told to let go."""
    await stage.set_up("acme", nodes=("node-1", "node-2"), quarantine=0)
    dead, quick = stage.add_node("node-1"), stage.add_node("node-2")
    stage.start()
    watcher = await stage.watcher()
    await watcher.say("u1", a_wish())
    await stage.until(lambda: dead.serving and quick.serving)
    dead.answering = False
    await watcher.say("u1", None)
    await stage.until(lambda: not quick.serving)
    await stage.settled()
    assert await stage.claims()
    assert not stage.released
    await edit_spec(stage.cluster, BALANCER_GROUPS, "default", nodes=["node-2"])
    await stage.until(lambda: stage.released)
    await stage.until(lambda: is_without_claims(stage))
    assert not stage.server.streams[DESIRED].messages
    asked = len(dead.seen)
    await dead.say_again()
    await stage.until(lambda: len(dead.seen) > asked and dead.seen[-1].server is None)
    await dead.answer_all()
    await stage.until(lambda: not dead.serving and not stage.server.streams[DESIRED].messages)


async def is_without_claims(stage: Stage) -> bool:
    return not await stage.claims()


async def test_a_release_is_said_again_to_who_asks_again(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",)})
    await watcher.say("u1", None)
    await stage.until(lambda: len(stage.released) == 1)
    await watcher.say("u1", None)
    await stage.until(lambda: len(stage.released) >= 2)
    assert stage.released[0] == subjects.released(watcher.account, "cluster-1", "u1")


async def test_wished_again_during_the_release_it_is_released_and_then_served(stage: Stage) -> None:
    node, watcher = await begin(stage, pool="192.0.2.8-192.0.2.9")
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    node.answering = False
    await watcher.say("u1", None)
    await stage.until(lambda: node.seen[-1].server is None)
    await watcher.say("u1", a_wish())
    await stage.settled()
    assert not stage.released
    await node.answer_all()
    await stage.until(lambda: node.serving)
    (address,) = await stage.claims()
    assert list(node.serving) == [f"{address}:443/tcp"]


@pytest.mark.parametrize("cut", range(1, 5))
async def test_killed_at_any_write_of_a_release_nothing_is_left(stage: Stage, cut: int) -> None:
    node, watcher = await begin(stage, quarantine=0)
    await watcher.say("u1", a_wish(ports=(80, 443)))
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 3)
    await at_rest(stage)
    done = 0

    def kill_at(what: str) -> None:
        nonlocal done
        done += 1
        if done == cut and stage.running is not None:
            asyncio.get_running_loop().call_later(random.random() * 0.002, stage.running.cancel)

    stage.counting.before_write = kill_at
    await watcher.say("u1", None)
    await stage.until(lambda: done >= min(cut, 3))
    stage.counting.before_write = lambda what: None
    await stage.restart()
    await stage.until(lambda: stage.released)
    await stage.settled(0.3)
    assert list(await stage.load_balancers()) == ["u2"]
    assert len(await stage.claims()) == 1
    assert len(node.serving) == 1
    assert len(stage.server.streams[DESIRED].messages) == 1


async def test_two_inventories_prove_that_a_service_is_gone(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish("u1"))
    await watcher.say("u2", a_wish("u2"))
    await stage.until(lambda: len(node.serving) == 2)
    del watcher.services["u1"]
    await watcher.say_inventory()
    await stage.settled()
    stage.clock.ahead += 5
    await watcher.say_inventory()
    await stage.settled()
    assert len(node.serving) == 2
    stage.clock.ahead += 6
    await watcher.say_inventory()
    await stage.until(lambda: len(node.serving) == 1)
    await stage.until_addresses({"u2": ("192.0.2.1",)})
    name = streams.observed_stream(watcher.account).name
    await stage.until(lambda: not any("u1" in subject for subject in stage.server.streams[name].messages))
    await stage.restart()
    await stage.settled()
    assert list(await stage.load_balancers()) == ["u2"]


async def test_an_inventory_with_an_unknown_service_asks_for_everything_again(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say_inventory({"unheard-of": "digest"})
    await stage.settled()
    assert watcher.resyncs == 0
    stage.clock.ahead += 3
    await watcher.say_inventory({"unheard-of": "digest"})
    stage.clock.ahead += 3
    await watcher.say_inventory({"unheard-of": "digest"})
    stage.clock.ahead += 3
    await stage.until(lambda: watcher.resyncs >= 1)


async def test_what_nobody_owns_is_let_go(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    wish = node.seen[0]
    assert wish.server is not None
    await stage.kill()
    orphan = subjects.desired("default", wish.key).replace("_443_", "_444_")
    key = type(wish.key)(wish.key.address, 444, wish.key.protocol)
    message = replace(wish, key=key, server=replace(wish.server, key=key))
    await FakeBus(stage.server).publish(orphan, codec.encode(message), message_id="orphan")
    await stage.until(lambda: len(node.serving) == 2)
    stage.start()
    await stage.until(lambda: len(node.serving) == 1)
    await stage.until(lambda: len(stage.server.streams[DESIRED].messages) == 1)
