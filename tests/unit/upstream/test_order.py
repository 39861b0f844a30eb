"""What `make test-upstream` makes of its variables."""

from pathlib import Path

import pytest

from fleetlb.domain.capabilities import EngineName
from tests.upstream import order
from tests.upstream.order import OrderError

LEAST = {"KUBECONFIG": "/k", "E2E_TEST": "/e2e.test", "RANGE": "10.9.0.0/24"}


def problems(**variables: str) -> str:
    with pytest.raises(OrderError) as caught:
        order.read(LEAST | variables)
    return str(caught.value)


def test_three_variables_are_enough() -> None:
    read = order.read(LEAST)
    assert (read.kubeconfig, read.e2e_test, read.ranges) == (Path("/k"), Path("/e2e.test"), ("10.9.0.0/24",))
    assert (read.engine, read.ginkgo, read.client, read.focus) == (EngineName.ENVOY, None, (), order.FOCUS)


def test_everything_can_be_said() -> None:
    read = order.read(
        {
            "KUBECONFIG": "/k",
            "E2E_TEST": "/e2e.test",
            "RANGE": "10.9.0.0/24, fd09::/112",
            "PODS": "10.244.0.0/16",
            "ENGINE": "ipvs",
            "FORWARDING": "ipip",
            "GINKGO": "/ginkgo",
            "PROCS": "6",
            "FOCUS": "one spec",
            "CLIENT": "ip netns exec client",
            "OUTPUT": "/out",
        }
    )
    assert read.ranges == ("10.9.0.0/24", "fd09::/112")
    assert (read.engine, read.ginkgo, read.processes) == (EngineName.IPVS, Path("/ginkgo"), 6)
    assert (read.focus, read.client) == ("one spec", ("ip", "netns", "exec", "client"))
    assert (read.pods, read.folder) == (("10.244.0.0/16",), Path("/out/ipvs-ipip-pods"))


def test_pods_as_the_nodes_say() -> None:
    read = order.read(LEAST | {"PODS": "auto"})
    assert (read.pods, read.name) == ((order.AUTO,), "envoy-pods")


def test_empty_variables_count_as_not_set() -> None:
    assert order.read(LEAST | {"ENGINE": "", "PROCS": "", "FOCUS": "", "OUTPUT": "", "PODS": ""}) == order.read(LEAST)


def test_all_problems_are_told_together() -> None:
    with pytest.raises(OrderError) as caught:
        order.read({"ENGINE": "haproxy", "PROCS": "0", "FORWARDING": "pigeon"})
    told = str(caught.value)
    unset = [f"{variable} is not set" for variable in ("KUBECONFIG", "E2E_TEST", "RANGE")]
    for variable in (*unset, "ENGINE=haproxy", "PROCS=0", "FORWARDING=pigeon"):
        assert variable in told


def test_pods_ask_with_less_and_answer_beside_the_suite() -> None:
    least = {"KUBECONFIG": "/k", "RANGE": "10.9.0.0/24", "OUTPUT": "/out"}
    read = order.read_in_cluster(least | {"ENGINE": "ipvs", "FORWARDING": "direct"})
    assert (read.image, read.folder) == (order.IMAGE, Path("/out/in-cluster-ipvs-direct"))
    assert order.read_in_cluster(least | {"IMAGE": "mine", "PODS": "auto"}).image == "mine"
    with pytest.raises(OrderError, match="KUBECONFIG is not set"):
        order.read_in_cluster({"RANGE": "10.9.0.0/24"})


@pytest.mark.parametrize("text", ["10.9.0.1/24", "here", "10.9.0.0/24,10.9.0.0/40"])
def test_networks_must_be_networks(text: str) -> None:
    assert "RANGE: " in problems(RANGE=text)
    assert "PODS: " in problems(PODS=text)


@pytest.mark.parametrize(
    ("addresses", "networks"),
    [
        (["10.250.0.11", "10.250.0.12"], ("10.250.0.8/29",)),
        (["10.250.0.11"], ("10.250.0.11/32",)),
        (["10.244.1.0/24", "10.244.2.0/24"], ("10.244.0.0/22",)),
        (["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"], ("10.0.0.0/30", "fd00::/126")),
        (["0.0.0.1", "255.0.0.1"], ("0.0.0.0/0",)),
        (["10.0.0.0/24", "10.0.0.7"], ("10.0.0.0/24",)),
    ],
)
def test_the_smallest_network_that_covers(addresses: list[str], networks: tuple[str, ...]) -> None:
    assert order.covering(addresses) == networks
    assert order.covering(reversed(addresses)) == networks
