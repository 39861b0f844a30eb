import pytest

from fleetlb_dataplane_programmer.completing import Knowledge, may_complete


@pytest.mark.parametrize(
    ("remembered", "waited", "replayed", "strangers", "expected"),
    [
        pytest.param(True, 0.1, 0.0, 0, True, id="the usual start"),
        pytest.param(False, 0.1, 0.0, 0, True, id="a first start, or a lost disk and all explained by the stream"),
        pytest.param(True, 2.9, None, 0, False, id="the hub has three seconds to speak"),
        pytest.param(True, 3.0, None, 0, True, id="without the hub the memory serves"),
        pytest.param(False, 3.0, None, 0, True, id="nothing is known, and there is nothing to lose"),
        pytest.param(True, 3.0, None, None, True, id="no data plane yet"),
        pytest.param(False, 0.1, 0.0, None, True, id="no data plane yet, but a stream"),
        pytest.param(False, 9999.0, None, None, False, id="nothing is known of anything"),
        pytest.param(False, 9999.0, None, 7, False, id="no disk, no hub: what is there stays"),
        pytest.param(True, 9999.0, None, 1, False, id="nor does the memory alone end what it does not know"),
        pytest.param(False, 40.0, 29.9, 7, False, id="an emptied stream is not yet the truth"),
        pytest.param(True, 9999.0, 0.0, 1, False, id="a hub that returns has time to explain"),
        pytest.param(True, 40.0, 30.0, 1, True, id="a stranger that nobody explains goes"),
    ],
)
def test_when_it_is_safe(
    remembered: bool, waited: float, replayed: float | None, strangers: int | None, expected: bool
) -> None:
    known = Knowledge(has_remembered=remembered, waited_seconds=waited, replayed_seconds=replayed, strangers=strangers)
    assert may_complete(known) is expected
