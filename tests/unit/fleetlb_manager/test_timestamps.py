import pytest

from fleetlb_manager.timestamps import to_exact_text, to_seconds, to_text


def test_times_are_written_and_read_back() -> None:
    assert to_text(1_800_000_000.75) == "2027-01-15T08:00:00Z"
    assert to_exact_text(1_800_000_000.75) == "2027-01-15T08:00:00.750000Z"
    assert to_seconds(to_exact_text(1_800_000_000.75)) == 1_800_000_000.75


@pytest.mark.parametrize("text", ["", "yesterday", "2027-01-15T08:00:00", "2027-13-45T08:00:00Z"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert to_seconds(text) is None
