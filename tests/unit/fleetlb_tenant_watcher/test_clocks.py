from fleetlb_tenant_watcher.clocks import SYSTEM_CLOCKS, timestamp


class _Fixed:
    def now(self) -> float:
        return 0.0

    def micros(self) -> int:
        return 1_800_000_000_999_999


def test_timestamps_are_as_kubernetes_writes_them() -> None:
    assert timestamp(_Fixed()) == "2027-01-15T08:00:00Z"


def test_the_system_clocks_go_forward() -> None:
    before = SYSTEM_CLOCKS.now(), SYSTEM_CLOCKS.micros()
    assert (SYSTEM_CLOCKS.now(), SYSTEM_CLOCKS.micros()) >= before
