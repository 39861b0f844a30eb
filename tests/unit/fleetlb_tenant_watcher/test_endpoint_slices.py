"""Endpoints of a Service over all its slices, however they come, change owner and go."""

import random
from typing import Any

import msgspec
import pytest

from fleetlb.domain.services import MAX_PODS, Pod, PodGroup, PodPort, ServiceEndpoints, ServicePort
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
        ((UNREADY, ENDING, ENDED), ServiceEndpoints(ready=True, ending=True, nodes=("n3",))),
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
    assert slices.of(WEB) == ServiceEndpoints(ready=True, ending=True, nodes=("n3",))
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


PORTS = (ServicePort(port=443, name="https"),)
HTTPS = PodPort(name="https", port=8443)


def pods(*found: tuple[str, str], port: PodPort = HTTPS) -> tuple[PodGroup, ...]:
    return (PodGroup(ports=(port,), pods=tuple(Pod(address, node) for node, address in found)),)


def pod(node: str, address: str, **conditions: bool) -> Any:
    return an_endpoint(node, address=address, **conditions)


R1, R2 = pod("n1", "10.244.0.1", ready=True), pod("n2", "10.244.0.2", ready=True)
L3 = pod("n3", "10.244.0.3", ready=False, serving=True, terminating=True)


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([item()], ServiceEndpoints(pods=())),
        (
            [item(R2, R1)],
            ServiceEndpoints(ready=True, nodes=("n1", "n2"), pods=pods(("n1", "10.244.0.1"), ("n2", "10.244.0.2"))),
        ),
        ([item(R1, L3, UNREADY, ENDED)], ServiceEndpoints(ready=True, nodes=("n1",), pods=pods(("n1", "10.244.0.1")))),
        (
            [item(L3, UNREADY, ENDED)],
            ServiceEndpoints(ready=True, ending=True, nodes=("n3",), pods=pods(("n3", "10.244.0.3"))),
        ),
        (
            [item(L3), item(R1, name="b")],
            ServiceEndpoints(ready=True, nodes=("n1",), pods=pods(("n1", "10.244.0.1"))),
        ),
        (
            [item(R1), item(pod("n1", "fd00::1", ready=True), name="b", family="IPv6")],
            ServiceEndpoints(ready=True, nodes=("n1",), pods=pods(("n1", "10.244.0.1"), ("n1", "fd00::1"))),
        ),
        ([item(R1, ports=())], ServiceEndpoints(ready=True, nodes=("n1",), pods=())),
    ],
    ids=["none", "ready", "beside a ready one", "only ending", "ready elsewhere", "two families", "no port"],
)
def test_ETP_8_pods_that_are_ready_or_else_those_that_end_and_serve(
    slices: list[EndpointSlice], expected: ServiceEndpoints
) -> None:
    found = EndpointSlices(with_pods=True)
    for one in slices:
        found.put(one)
    assert found.of(WEB, PORTS) == expected


def test_where_pods_are_told_their_addresses_are_news() -> None:
    slices = EndpointSlices(with_pods=True)
    assert slices.put(item(R1)) == [WEB]
    assert slices.put(item(R1, UNREADY, version=2)) == []
    assert slices.put(item(pod("n1", "10.244.0.9", ready=True), version=3)) == [WEB]
    assert slices.put(item(R1, ports=({"name": "https", "port": 9443, "protocol": "TCP"},), version=4)) == [WEB]


@pytest.mark.parametrize(("number", "crowded"), [(MAX_PODS, False), (MAX_PODS + 1, True)])
def test_of_too_many_pods_none_is_told_and_that_is_said(number: int, crowded: bool) -> None:
    slices = EndpointSlices(with_pods=True)
    for start in range(0, number, 100):
        many = [pod("n1", f"10.244.{n // 250}.{n % 250}", ready=True) for n in range(start, min(start + 100, number))]
        slices.put(item(*many, name=f"web-{start}"))
    found = slices.of(WEB, PORTS)
    assert found is not None
    assert (found.ready, found.nodes, found.crowded, found.pods is None) == (True, ("n1",), crowded, crowded)
    assert sum(len(group.pods) for group in found.pods or ()) == (0 if crowded else number)
    slices.drop("shop", "web-0")
    found = slices.of(WEB, PORTS)
    assert found is not None
    assert not found.crowded


def test_random_histories_end_like_a_fresh_start() -> None:
    chance = random.Random(7)
    choices = [(), (READY,), (UNREADY,), (ENDING,), (READY, ENDING)]
    slices, last = EndpointSlices(with_pods=True), dict[str, EndpointSlice]()
    for _ in range(500):
        name = chance.choice("abcd")
        if chance.random() < 0.3:
            slices.drop("shop", name)
            last.pop(name, None)
        else:
            last[name] = item(*chance.choice(choices), name=name, service=chance.choice(["web", "api"]))
            slices.put(last[name])
        fresh = EndpointSlices(with_pods=True)
        for one in last.values():
            fresh.put(one)
        for service in ("web", "api"):
            assert slices.of(("shop", service), PORTS) == fresh.of(("shop", service), PORTS)
