"""Endpoints of a Service over all its slices, however they come, change owner and go."""

import random
from typing import Any

import msgspec
import pytest

from fleetlb.domain.services import ServiceEndpoints
from fleetlb.testkit.tenant_objects import a_slice, an_endpoint
from fleetlb_tenant_watcher.endpoint_slices import EndpointSlices
from fleetlb_tenant_watcher.kube_objects import EndpointSlice

WEB = ("shop", "web")
READY = an_endpoint("n1", ready=True, serving=True, terminating=False)
UNREADY = an_endpoint("n2", ready=False, serving=False, terminating=False)
ENDING = an_endpoint("n3", ready=False, serving=True, terminating=True)
ENDED = an_endpoint("n4", ready=False, serving=False, terminating=True)


def item(*endpoints: Any, **given: Any) -> EndpointSlice:
    return msgspec.convert(a_slice(*endpoints, **given), EndpointSlice)


def folded(*items: EndpointSlice) -> EndpointSlices:
    slices = EndpointSlices()
    for one in items:
        slices.put(one)
    return slices


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ((), ServiceEndpoints()),
        ((READY,), ServiceEndpoints(ready=True, nodes=("n1",))),
        ((an_endpoint("n9"),), ServiceEndpoints(ready=True, nodes=("n9",))),
        (({"addresses": ["10.0.0.1"], "nodeName": "n8"},), ServiceEndpoints(ready=True, nodes=("n8",))),
        ((an_endpoint(None, ready=True),), ServiceEndpoints(ready=True)),
        ((UNREADY, ENDED), ServiceEndpoints()),
        ((UNREADY, ENDING, ENDED), ServiceEndpoints(ready=True, nodes=("n3",))),
        ((READY, ENDING), ServiceEndpoints(ready=True, nodes=("n1",))),
        ((READY, READY, an_endpoint("n0", ready=True)), ServiceEndpoints(ready=True, nodes=("n0", "n1"))),
    ],
)
def test_what_one_slice_says(endpoints: tuple[Any, ...], expected: ServiceEndpoints) -> None:
    assert folded(item(*endpoints)).of(WEB) == expected


def test_no_slice_is_not_the_same_as_an_empty_one() -> None:
    assert EndpointSlices().of(WEB) is None


def test_slices_are_summed_and_a_ready_pod_anywhere_silences_ending_ones() -> None:
    slices = folded(item(ENDING, name="a"), item(READY, name="b"), item(an_endpoint("n7", ready=True), name="c"))
    assert slices.of(WEB) == ServiceEndpoints(ready=True, nodes=("n1", "n7"))
    slices.drop("shop", "b")
    slices.drop("shop", "c")
    assert slices.of(WEB) == ServiceEndpoints(ready=True, nodes=("n3",))
    assert slices.drop("shop", "a") == [WEB]
    assert slices.of(WEB) is None
    assert slices.drop("shop", "a") == []


def test_a_slice_that_says_the_same_is_no_news() -> None:
    slices = EndpointSlices()
    assert slices.put(item(READY)) == [WEB]
    assert slices.put(item(an_endpoint("n1", address="10.244.9.9", ready=True), version=2)) == []


def test_a_slice_may_change_its_service() -> None:
    slices = folded(item(READY))
    assert slices.put(item(READY, service="api", version=2)) == [WEB, ("shop", "api")]
    assert slices.of(WEB) is None
    assert slices.of(("shop", "api")) == ServiceEndpoints(ready=True, nodes=("n1",))
    assert slices.drop("shop", "web-1") == [("shop", "api")]


def test_a_slice_may_lose_its_label() -> None:
    slices = folded(item(READY))
    bare = a_slice(READY, version=2)
    del bare["metadata"]["labels"]
    assert slices.put(msgspec.convert(bare, EndpointSlice)) == [WEB]
    assert slices.of(WEB) is None


def test_random_histories_end_like_a_fresh_start() -> None:
    chance = random.Random(7)
    choices = [(), (READY,), (UNREADY,), (ENDING,), (READY, ENDING)]
    slices, last = EndpointSlices(), dict[str, EndpointSlice]()
    for _ in range(500):
        name = chance.choice("abcd")
        if chance.random() < 0.3:
            slices.drop("shop", name)
            last.pop(name, None)
        else:
            last[name] = item(*chance.choice(choices), name=name, service=chance.choice(["web", "api"]))
            slices.put(last[name])
        fresh = folded(*last.values())
        for service in ("web", "api"):
            assert slices.of(("shop", service)) == fresh.of(("shop", service))
