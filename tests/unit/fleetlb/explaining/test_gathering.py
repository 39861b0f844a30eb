"""What is read of a Service in the hub, and what is not."""

from collections.abc import Mapping

import msgspec
import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import announced_stream
from fleetlb.contracts.v1 import GroupInstructed, NodePresent, VipCarried
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.explaining.gathering import Place, situation_of
from fleetlb.explaining.situation import Carrying, Presence, Situation
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import BALANCER_GROUPS
from fleetlb.kube.holding import Held, Holders
from fleetlb.runtime.jetstream_api import API
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import ADDRESS, CLUSTER, SERVICE, a_load_balancer, a_tenant
from tests.unit.fleetlb.explaining.test_announcing import BOTH, WEB, a_pair, answering, present, wish

ASKED = f"{API}.STREAM.MSG.GET."
STREAM = announced_stream("default").name
LEASES = Holders((Held("fleetlb-manager", "m-1", True),), Held("fleetlb-status", "s-1", True))


async def gathered(
    held: Mapping[str, bytes], announcement: Announcement, pool: str = ""
) -> tuple[Situation, list[str]]:
    """What is known of a Service of a group of two, and which subjects were asked for in the stream of announcements.

    `held`: what that stream holds, by subject.
    """
    asked: list[str] = []
    wished = {subjects.desired("default", WEB): codec.encode(wish(announcement, pool=pool))}

    async def kept(subject: str, body: bytes) -> bytes:
        name = msgspec.json.decode(body)["last_by_subj"]
        if subject == f"{ASKED}{STREAM}":
            asked.append(name)
        found = (wished if name in wished else held).get(name)
        if found is None:
            return msgspec.json.encode({"error": {"code": 404, "err_code": 10037, "description": "no message found"}})
        return msgspec.json.encode({"message": {"time": "2027-01-15T08:00:00Z", "data": found}})

    bus = FakeBus()
    await bus.serve(f"{ASKED}*", kept)
    cluster = Cluster(FakeWire(FakeKube()), "test")
    await cluster.create(BALANCER_GROUPS, a_pair())
    place = Place(a_tenant(), CLUSTER, SERVICE, "shop", "web", a_load_balancer())
    return await situation_of(cluster, bus, place, LEASES), asked


async def test_what_nodes_announce_is_read_one_message_for_each_node_and_address_and_one_for_each_node() -> None:
    carried: VipCarried = answering("node-2").word
    there: NodePresent = present("node-2").word
    held = {
        subjects.carried("default", "node-2", ADDRESS): codec.encode(carried),
        subjects.present("default", "node-2"): codec.encode(there),
        subjects.carried("default", "node-1", ADDRESS): b"not to be read",
        subjects.present("default", "node-1"): b"",
    }
    seen, asked = await gathered(held, Announcement.LAYER2)
    assert seen.carried == {"node-2": {ADDRESS: Carrying(carried, 1_800_000_000.0)}}
    assert seen.present == {"node-2": Presence(there, 1_800_000_000.0)}
    assert sorted(asked) == sorted(
        [subjects.carried("default", node, ADDRESS) for node in BOTH]
        + [subjects.present("default", node) for node in BOTH]
    )


@pytest.mark.parametrize("announcement", [Announcement.NONE, Announcement.BGP])
async def test_nothing_is_asked_of_what_is_not_announced_on_layer_2(announcement: Announcement) -> None:
    seen, asked = await gathered({}, announcement)
    assert (asked, seen.carried, seen.present) == ([], {}, {})
    assert seen.desired.keys() == {WEB}


async def test_what_nodes_were_told_is_read_where_a_pool_has_attributes_of_its_own() -> None:
    told = GroupInstructed(group="default", generation=1, revision=1)
    held = {subjects.instructed("default"): codec.encode(told)}
    seen, asked = await gathered(held, Announcement.BGP, pool="gold")
    assert (asked, seen.instructed) == ([subjects.instructed("default")], told)
