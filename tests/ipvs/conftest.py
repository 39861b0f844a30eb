"""Tests on a real kernel with IPVS: each in network namespaces of its own, none without the kernel."""

from collections.abc import Iterator

import pytest

from fleetlb.testkit.namespaces import Namespace


@pytest.fixture
def fresh() -> Iterator[Namespace]:
    """A network namespace of the test's own, with nothing in it but `lo`; the test's thread is in it."""
    with Namespace("node") as namespace, namespace.entered():
        yield namespace
