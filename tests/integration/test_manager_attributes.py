"""The manager against a real API server: what the routes of single pools carry, on its way to balancer nodes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.conditions import ANNOUNCED, Condition
from fleetlb.domain.routing import PoolAttributes, RouteAttributes
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, BALANCER_GROUPS
from fleetlb.runtime.bus import Bus, Message
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish, edit_spec

pytestmark = pytest.mark.integration
ROUTERS = {"asn": 65001, "peers": [{"name": f"tor-{n}", "address": f"10.0.0.{n}", "asn": 65000} for n in (1, 2)]}
TO_ONE = RouteAttributes(communities=("65000:7",), peers=("tor-2",))


@contextlib.asynccontextmanager
async def hearing(bus: Bus) -> AsyncIterator[list[GroupInstructed]]:
    """All that the group's nodes are told, until the end of the block."""
    heard: list[GroupInstructed] = []

    def hear(message: Message) -> None:
        heard.append(codec.decode(GroupInstructed, message.data))

    async with asyncio.TaskGroup() as tasks:
        stream, subject = announced_stream("default").name, subjects.instructed("default")
        following = bus.replay_and_follow(stream, subject, hear, on_replayed=lambda: None, on_restart=heard.clear)
        task = tasks.create_task(following)
        yield heard
        task.cancel()


async def announced(stage: Stage, name: str) -> Condition | None:
    """What a pool says of whether it can be announced as it asks."""
    conditions = (await stage.cluster.get(ADDRESS_POOLS, name)).status.conditions
    return next((each for each in conditions if each.type == ANNOUNCED), None)


async def until_said(stage: Stage, name: str, reason: str, words: str = "") -> None:
    """Until a pool says this of it."""

    async def is_said() -> bool:
        said = await announced(stage, name)
        return said is not None and said.reason == reason and words in said.message

    await stage.until(is_said)


async def test_what_a_pool_asks_for_reaches_nodes_once_for_all_and_what_is_wrong_harms_no_other(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await edit_spec(stage.cluster, BALANCER_GROUPS, "default", engine="ipvs", bgp=ROUTERS)
    await stage.create_pool("198.51.100.0/28", name="gold", announcement=Announcement.BGP, bgp=TO_ONE)
    await stage.create_pool("203.0.113.0/28", name="plain", announcement=Announcement.BGP)
    await node.say_capabilities("tcp", "bgp")
    async with hearing(node.bus) as heard:
        gold = PoolAttributes(pool="gold", attributes=TO_ONE)
        await stage.until(lambda: heard and heard[-1].pools == (gold,))
        for uid, pool in (("u1", "gold"), ("u2", "gold"), ("u3", "plain")):
            await watcher.say(uid, a_wish(uid, pool=pool))
        await stage.until(lambda: len(node.serving) == 3)
        assert sorted(server.attributes_pool for server in node.serving.values()) == ["", "gold", "gold"]
        await until_said(stage, "gold", "Complete")
        await at_rest(stage)

        seen, told = len(node.seen), len(heard)
        await edit_spec(stage.cluster, ADDRESS_POOLS, "gold", bgp={"communities": ["65000:8"], "peers": None})
        await stage.until(lambda: heard[-1].pools[0].attributes == RouteAttributes(communities=("65000:8",)))
        await at_rest(stage)
        assert (len(node.seen), len(heard)) == (seen, told + 1), "one word, and no virtual server's"

        await edit_spec(stage.cluster, ADDRESS_POOLS, "gold", bgp={"peers": ["tor-3"]})
        await edit_spec(stage.cluster, ADDRESS_POOLS, "plain", bgp={"communities": ["65000:9"]})
        await until_said(stage, "gold", "InvalidRouting", "spec.bgp.peers: there is no peer 'tor-3'; name one of tor-1")
        await until_said(stage, "plain", "Complete")
        await stage.until(lambda: len(heard[-1].pools) == 2)
        assert heard[-1].pools[0].attributes == RouteAttributes(communities=("65000:8",)), "as it was"
        await stage.create_pool(
            "192.0.2.128/28", name="new", announcement=Announcement.BGP, bgp=RouteAttributes(communities=("no",))
        )
        await until_said(stage, "new", "Withheld", "spec.bgp.communities: 'no' is no community; write A:B")
        third = {"name": "tor-3", "address": "10.0.0.3", "asn": 65000}
        await edit_spec(stage.cluster, BALANCER_GROUPS, "default", bgp=ROUTERS | {"peers": [*ROUTERS["peers"], third]})  # type: ignore[misc]
        await until_said(stage, "gold", "Complete")
        await stage.until(lambda: heard[-1].pools[0].attributes.peers == ("tor-3",))
        assert [each.pool for each in heard[-1].pools] == ["gold", "plain"]
        await at_rest(stage)
        told = len(heard)
        await stage.restart()
        await stage.settled(quiet=1.3)
        assert (len(heard), stage.writes) == (told, {})
