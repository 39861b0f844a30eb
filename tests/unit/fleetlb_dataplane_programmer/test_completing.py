import pytest

from fleetlb_dataplane_programmer.completing import Knowledge, may_complete


@pytest.mark.parametrize(
    ("remembered", "replayed", "strangers", "waited", "expected"),
    [
        pytest.param(True, True, 0, 0.0, True, id="the usual start"),
        pytest.param(False, True, 0, 0.0, True, id="first start, or a lost disk and all explained by the stream"),
        pytest.param(True, False, 0, 2.9, False, id="the hub has three seconds to speak"),
        pytest.param(True, False, 0, 3.0, True, id="without the hub the memory serves"),
        pytest.param(False, False, 0, 3.0, True, id="nothing is known, and there is nothing to lose"),
        pytest.param(True, False, None, 3.0, True, id="no data plane yet"),
        pytest.param(False, True, None, 0.0, True, id="no data plane yet, but a stream"),
        pytest.param(False, False, None, 9999.0, False, id="nothing is known of anything"),
        pytest.param(False, False, 7, 9999.0, False, id="no disk, no hub: what is there stays for ever"),
        pytest.param(False, True, 7, 29.9, False, id="an emptied stream is not yet the truth"),
        pytest.param(True, True, 1, 29.9, False, id="the hub has time to explain a stranger"),
        pytest.param(True, True, 1, 30.0, True, id="a stranger that nobody explains goes"),
        pytest.param(True, False, 1, 30.0, True, id="nor does one that the memory does not know stay for ever"),
    ],
)
def test_when_it_is_safe(
    remembered: bool, replayed: bool, strangers: int | None, waited: float, expected: bool
) -> None:
    known = Knowledge(has_remembered=remembered, has_replayed=replayed, strangers=strangers, waited_seconds=waited)
    assert may_complete(known) is expected
