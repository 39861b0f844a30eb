"""Tests on a real kernel with IPVS: each in network namespaces of its own, none without the kernel."""

import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.stage.balancer_group import NODES, BalancerGroup, Running, running_group, vip

_SECONDS = 60.0


@pytest.fixture
def fresh() -> Iterator[Namespace]:
    """A network namespace of the test's own, with nothing in it but `lo`; the test's thread is in it."""
    with Namespace("node") as namespace, namespace.entered():
        yield namespace


@pytest.fixture
def network() -> Iterator[BalancerGroup]:
    """The namespaces of a group on layer 2; the test's thread is at the hub."""
    with BalancerGroup() as network:
        yield network


@pytest.fixture
async def group(network: BalancerGroup, tmp_path: pathlib.Path) -> AsyncIterator[Running]:
    """Three nodes that serve `vip(1)`, with an owner."""
    address = vip(1)
    async with running_group(network, tmp_path) as group:
        await group.wish(address)
        # Until all of them carry it, it may be another's for a moment.
        first = max(NODES, key=lambda node: weight(node, address))
        await eventually(lambda: len(group.said) == len(NODES) and group.owners(address) == [first], _SECONDS)
        yield group
