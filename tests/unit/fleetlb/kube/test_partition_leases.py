import pytest

from fleetlb.kube.lease_terms import Lease, LeaseMeta
from fleetlb.kube.partition_leases import PARTITIONS, lease_name, partitions_of, partitions_patch


def a_lease(**annotations: str) -> Lease:
    return Lease(metadata=LeaseMeta(name="fleetlb-manager", resource_version="7", annotations=annotations))


def test_the_first_lease_keeps_the_name_that_one_manager_had() -> None:
    assert [lease_name(partition) for partition in range(3)] == [
        "fleetlb-manager",
        "fleetlb-manager-1",
        "fleetlb-manager-2",
    ]


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "two", "1e1", "٣", "1000000000000"])
def test_a_number_that_cannot_be_one_is_one(text: str) -> None:
    assert partitions_of(a_lease(**{PARTITIONS: text})) == 1


def test_the_number_is_read_where_it_was_written() -> None:
    assert partitions_of(None) == partitions_of(a_lease()) == 1
    patch = partitions_patch(a_lease(), 4)
    assert patch == {"metadata": {"resourceVersion": "7", "annotations": {PARTITIONS: "4"}}}
    assert partitions_of(a_lease(**{PARTITIONS: "4"})) == 4
