"""Tests on a real kernel with IPVS: each in network namespaces of its own, none without the kernel."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetlb.testkit.namespaces import Namespace

HERE = Path(__file__).parent
SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is marked, and may take longer than a unit test."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("ipvs")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session", autouse=True)
def kernel_with_ipvs() -> None:
    """Ends the whole session, as failed, where these tests could prove nothing."""
    if not Path("/proc/net/ip_vs").exists():
        pytest.exit("this kernel has no ip_vs: run `make ipvs`", returncode=1)
    if os.geteuid():
        pytest.exit("the IPVS tests need root: run `make ipvs`", returncode=1)


@pytest.fixture
def fresh() -> Iterator[Namespace]:
    """A network namespace of the test's own, with nothing in it but `lo`; the test's thread is in it."""
    with Namespace("node") as namespace, namespace.entered():
        yield namespace
