"""The manager against a real API server: what others spoil, in objects and on the bus, comes back as it was."""

import pytest
from prometheus_client import REGISTRY

from fleetlb.contracts import streams, subjects
from fleetlb.kube import patching
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import (
    ADDRESS_CLAIMS,
    LOAD_BALANCERS,
    TENANT_CLUSTERS,
)
from tests.integration.manager_beginning import at_rest, begin
from tests.integration.manager_stage import Stage, a_wish

pytestmark = pytest.mark.integration

DESIRED = streams.desired_stream("default").name


async def test_a_load_balancer_deleted_by_hand_comes_back_with_its_address(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    before = (await stage.load_balancers())["u1"]
    await stage.cluster.delete(LOAD_BALANCERS, "u1", "tenant-acme")
    await stage.until(stage.load_balancers)
    after = (await stage.load_balancers())["u1"]
    assert after.spec.says_the_same(before.spec)
    assert after.metadata.uid != before.metadata.uid
    await stage.until(lambda: node.seen[-1].load_balancer and node.seen[-1].load_balancer.uid == after.metadata.uid)
    assert all(wish.server is not None for wish in node.seen)


async def test_an_operators_edit_of_a_load_balancer_is_undone(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until_addresses({"u1": ("192.0.2.0",)})
    item = (await stage.load_balancers())["u1"]
    body = patching.merge(item.metadata.uid, spec={"addresses": ["192.0.2.66"]})
    await stage.cluster.patch(LOAD_BALANCERS, "u1", body, kind=PatchKind.MERGE, namespace="tenant-acme")
    await stage.until_addresses({"u1": ("192.0.2.0",)})


@pytest.mark.parametrize("which", ["desired", "realized", "observed"])
async def test_a_deleted_stream_is_made_and_filled_again(stage: Stage, which: str) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await at_rest(stage)
    name = {
        "desired": DESIRED,
        "realized": streams.realized_stream("default").name,
        "observed": streams.observed_stream(watcher.account).name,
    }[which]
    stage.server.delete_stream(name)
    await stage.until(lambda: name in stage.server.streams)
    if which == "desired":
        await stage.until(lambda: stage.server.streams[DESIRED].messages)
        assert node.seen[-1].server == node.seen[0].server
    await watcher.say("u2", a_wish("other"))
    await stage.until(lambda: len(node.serving) == 2)
    assert stage.writes["create addressclaims"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"d","service":{"namespace":"a b","name":"n","ports":[]}}',
        b'{"type":"dev.fleetlb.v2.service_observed","digest":"d"}',
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"d","wish":"',
        b'{"type":"dev.fleetlb.v1.service_observed","digest":"' + b"x" * 200_000 + b'"}',
    ],
    ids=["empty", "no text", "nested", "no label", "unknown version", "truncated", "oversized"],
)
async def test_what_cannot_be_read_is_parked_and_neighbours_are_served(stage: Stage, body: bytes) -> None:
    node, watcher = await begin(stage)
    before = REGISTRY.get_sample_value("fleetlb_parked_messages_total", {"tenant": "acme"}) or 0.0
    await watcher.put(subjects.local_observed_service("cluster-1", "bad"), body)
    await watcher.put("observed.cluster-1.nonsense.here", body)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    parked = [body for subject, body in stage.parked if subject.startswith(f"fleetlb.v1.parked.{watcher.account}.")]
    assert parked == [body[:65536]] * 2
    assert REGISTRY.get_sample_value("fleetlb_parked_messages_total", {"tenant": "acme"}) == before + 2
    assert list(await stage.load_balancers()) == ["u1"]


async def test_a_cluster_object_deleted_by_hand_comes_back(stage: Stage) -> None:
    _, _ = await begin(stage)
    await stage.cluster.delete(TENANT_CLUSTERS, "cluster-1", "tenant-acme")
    await stage.until(lambda: stage.writes["create tenantclusters"])
    await stage.until(stage.clusters)
    assert (await stage.clusters())["cluster-1"].spec.nodes[0].name == "node-a"


async def test_a_claim_deleted_by_hand_is_made_again_if_the_address_is_free(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", a_wish())
    await stage.until(lambda: node.serving)
    await stage.cluster.delete(ADDRESS_CLAIMS, "192.0.2.0")
    await stage.until(lambda: stage.writes["create addressclaims"] == 2)
    await stage.settled()
    assert await stage.addresses() == {"u1": ("192.0.2.0",)}
    with pytest.raises(NotFound):
        await stage.cluster.get(ADDRESS_CLAIMS, "192.0.2.1")
    assert list(node.serving) == ["192.0.2.0:443/tcp"]
