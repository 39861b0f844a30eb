"""Quantiles by nearest rank, and raw samples in a file."""

from pathlib import Path

import msgspec
import pytest

from fleetlb_cli.bench.samples import Series, ratio, write_raw


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)])
def test_nearest_rank(share: float, expected: float) -> None:
    assert Series("x", 0, tuple(float(n) for n in range(100, 0, -1))).quantile(share) == expected


def test_one_sample_is_every_quantile() -> None:
    assert Series("x", 0, (7.0,)).describe() == "7.0 / 7.0 / 7.0"


def test_ratio_is_of_medians() -> None:
    assert ratio([2.0, 4.0, 90.0], [1.0, 2.0, 3.0]) == 2.0


def test_raw_samples_are_all_kept(tmp_path: Path) -> None:
    series = [Series("a", 0, (1.0, 2.0)), Series("b", 5, (3.0,))]
    write_raw(tmp_path / "new" / "raw.jsonl", series)
    lines = (tmp_path / "new" / "raw.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Series) for line in lines] == series
