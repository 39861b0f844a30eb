"""What only the fake can play; its semantics are in tests/integration/test_kube_contract.py."""

import asyncio

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Gone
from fleetlb.kube.resources import Resource
from fleetlb.kube.watching import Reflector
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_kube import FakeKube, Place
from fleetlb.testkit.fake_wire import FakeWire

NODE = Place("nodes", "", "node-a")


class Node(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


NODES = Resource("", "v1", "nodes", Node, namespaced=False)


def test_nobody_resumes_from_what_is_compacted() -> None:
    kube = FakeKube()
    before = kube.version
    kube.create(NODE, {})
    assert [entry.place for entry in kube.since(before)] == [NODE]
    kube.compact()
    with pytest.raises(Gone):
        kube.since(before)


def test_listeners_hear_of_every_change() -> None:
    kube, heard = FakeKube(), list[tuple[str, bool]]()
    kube.listeners.append(lambda kind, item, gone: heard.append((item["metadata"]["name"], gone)))
    kube.create(NODE, {})
    kube.change(NODE, lambda item: item)
    kube.delete(NODE)
    assert heard == [("node-a", False), ("node-a", True)]


async def test_late_events_keep_their_order() -> None:
    kube, seen = FakeKube(), list[str]()

    def on_set(node: Node) -> None:
        seen.append(node.metadata.labels["step"])

    steps = "abcdefghijkl"
    late = iter((0.02, *(0.0 for _ in steps)))
    async with asyncio.TaskGroup() as tasks:
        cluster = Cluster(FakeWire(kube), "test")
        watching = tasks.create_task(Reflector(cluster, NODES, on_set=on_set, on_gone=print).run())
        await eventually(lambda: kube.watchers)
        kube.lag = lambda: next(late)
        for step in steps:
            _label(kube, step)
        await eventually(lambda: len(seen) == len(steps))
        assert "".join(seen) == steps
        watching.cancel()


def _label(kube: FakeKube, step: str) -> None:
    if NODE not in kube.objects:
        kube.create(NODE, {"metadata": {"labels": {"step": step}}})
    else:
        kube.change(NODE, lambda item: {**item, "metadata": {**item["metadata"], "labels": {"step": step}}})
