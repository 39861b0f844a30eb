"""Files are whole or as they were, and nobody reads them but their owner and BIRD."""

import os
import pathlib

import pytest

from fleetlb_dataplane_programmer.bgp.files import outlives_reboot, read_text, write_text


def test_a_file_is_replaced_and_removed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.conf"
    assert read_text(path) is None
    for text in ("one", "two"):
        write_text(path, text)
        assert read_text(path) == text
    write_text(path, None)
    write_text(path, None)
    assert os.listdir(tmp_path) == []


def test_others_do_not_read_it(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path / "a.conf", "secret")
    assert (tmp_path / "a.conf").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.conf").stat().st_gid == tmp_path.stat().st_gid


def test_one_that_cannot_be_written_is_as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.conf"
    write_text(path, "one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "two")
    assert read_text(path) == "one"
    assert os.listdir(tmp_path) == ["a.conf"]


def test_bird_includes_no_half_written_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(tmp_path.glob("*.conf")))
    seen: list[pathlib.Path] = []
    write_text(tmp_path / "a.conf", "one")
    assert seen == []


MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/vda2 /run/kept ext4 rw 0 0
/dev/vda3 /var ext4 rw 0 0
tmpfs /var tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("directory", "outlives"),
    [
        ("/etc/bird/fleetlb", True),
        ("/run/fleetlb-bird", False),
        ("/run/kept/bird", True),
        ("/runner/bird", True),
        ("/var/bird", False),
    ],
)
def test_where_files_outlive_a_reboot(directory: str, outlives: bool) -> None:
    assert outlives_reboot(pathlib.Path(directory), MOUNTS) is outlives
