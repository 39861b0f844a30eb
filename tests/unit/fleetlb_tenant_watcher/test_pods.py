"""Pods as the hub is told of them: what of an EndpointSlice counts, and in which one form."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServicePort
from fleetlb_tenant_watcher.kube_objects import Endpoint, EndpointPort
from fleetlb_tenant_watcher.pods import group_pods, pods_of

HTTP = PodPort(name="http", port=8080)
WEB = ServicePort(port=80, name="http")


def group(*pods: str, ports: tuple[PodPort, ...] = (HTTP,)) -> PodGroup:
    return PodGroup(ports=ports, pods=tuple(Pod(address, "n1") for address in pods))


def test_endpoints_of_a_slice_in_canonical_form_and_order() -> None:
    endpoints = [
        Endpoint(addresses=("10.244.2.9",), node_name="b"),
        Endpoint(addresses=("FD00:0::7", "10.244.1.9"), node_name="a"),
        Endpoint(addresses=("10.244.2.9",), node_name="b"),
        Endpoint(addresses=("10.244.3.1",)),
        Endpoint(),
    ]
    assert pods_of(endpoints, [EndpointPort(name="http", protocol="TCP", port=8080)]) == PodGroup(
        ports=(HTTP,), pods=(Pod("10.244.1.9", "a"), Pod("10.244.2.9", "b"), Pod("10.244.3.1"), Pod("fd00::7", "a"))
    )


@pytest.mark.parametrize("address", ["db.example.com", "::ffff:10.0.0.1", "fe80::1%eth0", "010.0.0.1", ""])
def test_what_is_no_plain_address_is_passed_over(address: str) -> None:
    assert pods_of([Endpoint(addresses=(address, "10.244.0.1"))], ()).pods == (Pod("10.244.0.1"),)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (EndpointPort(port=8080), (PodPort(port=8080),)),
        (EndpointPort(name="dns", protocol="UDP", port=53), (PodPort(name="dns", protocol=Protocol.UDP, port=53),)),
        (EndpointPort(name="any"), ()),
        (EndpointPort(name="odd", protocol="DCCP", port=1), ()),
    ],
)
def test_ports_without_a_number_are_passed_over(port: EndpointPort, expected: tuple[PodPort, ...]) -> None:
    assert pods_of((), [port]).ports == expected


def test_a_named_target_port_may_be_another_number_in_every_slice() -> None:
    new = group("10.244.0.2", "10.244.0.3", ports=(PodPort(name="http", port=9090),))
    assert group_pods([new, group("10.244.0.1")], [WEB]) == (group("10.244.0.1"), new)


def test_a_port_is_found_by_name_and_protocol() -> None:
    dns = PodPort(name="dns", protocol=Protocol.UDP, port=5353)
    others = (dns, PodPort(name="http", protocol=Protocol.UDP, port=8080), PodPort(port=8080))
    assert group_pods([group("10.244.0.1", ports=others)], [WEB]) == ()
    wished = [WEB, ServicePort(port=53, name="dns", protocol=Protocol.UDP)]
    assert group_pods([group("10.244.0.1", ports=(*others, HTTP))], wished) == (group("10.244.0.1", ports=(dns, HTTP)),)


def test_a_pod_in_two_slices_is_one_pod() -> None:
    """Slices are rewritten one after the other, so that a pod may stand in two of them for a moment."""
    assert group_pods([group("10.244.0.1"), group("10.244.0.1", "10.244.0.2")], [WEB]) == (
        group("10.244.0.1", "10.244.0.2"),
    )
    metrics = PodPort(name="metrics", port=9)
    found = group_pods(
        [group("10.244.0.1", "10.244.0.2"), group("10.244.0.1", ports=(metrics,))],
        [WEB, ServicePort(port=9, name="metrics")],
    )
    assert found == (group("10.244.0.2"), group("10.244.0.1", ports=(HTTP, metrics)))


parts = st.lists(
    st.builds(
        lambda pods, ports: group(*sorted(pods), ports=tuple(sorted(ports))),
        st.sets(st.sampled_from([f"10.244.0.{n}" for n in range(6)])),
        st.sets(st.builds(PodPort, name=st.sampled_from(["http", "x"]), port=st.integers(1, 3))),
    ),
    max_size=5,
)


@given(parts, st.randoms(use_true_random=False))
def test_equal_slices_are_told_equally_in_whatever_order(many: list[PodGroup], chance: random.Random) -> None:
    told = group_pods(many, [WEB])
    chance.shuffle(many)
    assert group_pods(many, [WEB]) == told
    assert list(told) == sorted(told)
    assert all(list(one.pods) == sorted(set(one.pods)) and list(one.ports) == sorted(set(one.ports)) for one in told)
    pairs = {(pod, port) for one in many for pod in one.pods for port in one.ports if port.name == "http"}
    assert {(pod, port) for one in told for pod in one.pods for port in one.ports} == pairs
