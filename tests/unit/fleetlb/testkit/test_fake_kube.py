"""What only the fake can play; its semantics are in tests/integration/test_kube_contract.py."""

import asyncio

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Gone
from fleetlb.kube.resources import Resource
from fleetlb.kube.watching import Reflector
from fleetlb.testkit.fake_kube import FakeKube, Place
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.virtual_time import run_virtually

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


def test_late_events_keep_their_order() -> None:
    """Also where they are due at one moment: a loop's timers of one moment ring in any order."""
    run_virtually(_late_events_keep_their_order())


async def _late_events_keep_their_order() -> None:
    kube, seen = FakeKube(), list[str]()

    def on_set(node: Node) -> None:
        seen.append(node.metadata.labels["step"])

    steps = "abcdefghijkl"
    late = list[float]()
    kube.lag = lambda: late.pop() if late else 0.0
    async with asyncio.TaskGroup() as tasks:
        cluster = Cluster(FakeWire(kube), "test")
        watching = tasks.create_task(Reflector(cluster, NODES, on_set=on_set, on_gone=print).run())
        await asyncio.sleep(1)
        assert kube.watchers
        late.append(0.02)
        for step in steps:
            _label(kube, step)
        await asyncio.sleep(1)
        assert "".join(seen) == steps
        watching.cancel()


def _label(kube: FakeKube, step: str) -> None:
    if NODE not in kube.objects:
        kube.create(NODE, {"metadata": {"labels": {"step": step}}})
    else:
        kube.change(NODE, lambda item: {**item, "metadata": {**item["metadata"], "labels": {"step": step}}})
