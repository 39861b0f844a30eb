"""One fleet per folder, nothing of a crashed one."""

import subprocess
import sys
from pathlib import Path

import pytest

from fleetlb_cli.local import layout, leftovers
from fleetlb_cli.local.layout import Layout
from fleetlb_cli.local.leftovers import AlreadyUpError, Record
from fleetlb_cli.local.processes import Mark, start_time


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    place = Layout(tmp_path / "state")
    with leftovers.locked(place), pytest.raises(AlreadyUpError, match="already running"), leftovers.locked(place):
        pass
    with leftovers.locked(place):
        pass


def test_only_recorded_processes_are_ended(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as ours,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as reused,
    ):
        children = (Mark(ours.pid, start_time(ours.pid) or 0), Mark(reused.pid, 1))
        record = Record(supervisor=Mark(1, 1), children=children, sockets=str(sockets))
        layout.write_json(place.record, record)
        place.environment.write_text("{}")
        assert leftovers.running(place) is None
        assert leftovers.clean(place) == 1
        assert ours.wait(10) == -9
        assert reused.poll() is None
        reused.kill()
    assert list(tmp_path.iterdir()) == []
    assert leftovers.clean(place) == 0


def test_down_without_a_fleet_says_so(tmp_path: Path) -> None:
    assert "no fleet runs" in leftovers.bring_down(Layout(tmp_path))


def test_sockets_go_where_their_paths_are_short(tmp_path: Path) -> None:
    assert leftovers.sockets_folder(str(tmp_path), Path("/tmp")) in (tmp_path, Path("/tmp"))
    assert leftovers.sockets_folder("/run/" + "x" * 80, tmp_path / "missing") == Path("/tmp")
    assert leftovers.sockets_folder(None, Path("/tmp")) == Path("/tmp")
