"""What cannot be set up is told with its cause; the rest needs root and is an integration test."""

from pathlib import Path

import pytest

from fleetlb_cli.local.routes import LocalRanges, RoutesError


def test_a_malformed_range_is_told_and_nothing_is_switched(tmp_path: Path) -> None:
    setting = tmp_path / "ip_nonlocal_bind"
    setting.write_text("0\n")
    ranges = LocalRanges(setting=setting)
    with pytest.raises(RoutesError, match="ip"):
        ranges.add(["not-a-range"])
    ranges.remove()
    assert setting.read_text() == "0\n"
