from collections import Counter

from fleetlb.domain.partitions import FLEET, partition_of


def test_a_partition_is_for_ever() -> None:
    assert [partition_of(name, 8) for name in ("acme", "globex", "initech")] == [6, 2, 0]
    assert partition_of("acme", 1) == FLEET


def test_tenants_spread_over_all_partitions() -> None:
    sizes = Counter(partition_of(f"tenant-{number}", 8) for number in range(8000))
    assert set(sizes) == set(range(8))
    assert max(sizes.values()) < 1.2 * min(sizes.values())
