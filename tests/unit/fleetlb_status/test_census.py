"""Counting Services by state."""

from collections.abc import Iterator

import pytest

from fleetlb_status.census import SERVICES, Census


def shown() -> dict[tuple[str, str], float]:
    """The metric's lines."""
    (family,) = SERVICES.collect()
    return {(sample.labels["tenant"], sample.labels["state"]): sample.value for sample in family.samples}


@pytest.fixture
def census() -> Iterator[Census]:
    counted = Census()
    yield counted
    counted.clear()
    assert shown() == {}


def test_every_service_counts_once_under_its_present_state(census: Census) -> None:
    one, two = ("tenant-acme", "1"), ("tenant-acme", "2")
    census.note(one, "acme", "InProgress")
    census.note(two, "acme", "InProgress")
    census.note(one, "acme", "InProgress")
    assert shown() == {("acme", "InProgress"): 2}
    census.note(one, "acme", "ProbeAnswered")
    assert shown() == {("acme", "InProgress"): 1, ("acme", "ProbeAnswered"): 1}
    census.forget(two)
    census.forget(two)
    assert shown() == {("acme", "ProbeAnswered"): 1}


def test_tenants_are_counted_apart(census: Census) -> None:
    census.note(("tenant-acme", "1"), "acme", "InProgress")
    census.note(("tenant-globex", "1"), "globex", "InProgress")
    assert shown() == {("acme", "InProgress"): 1, ("globex", "InProgress"): 1}
    census.clear()
    assert shown() == {}
