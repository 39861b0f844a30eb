"""The archive: whole or not at all, for its owner alone, and nothing in it that is a secret."""

import stat
import tarfile
from pathlib import Path

import pytest

from fleetlb_cli.sysdump.packing import archive
from fleetlb_cli.sysdump.parts import File, as_json, as_json_lines
from fleetlb_cli.sysdump.process_parts import named_places
from fleetlb_cli.sysdump.secrecy import REMOVED, Secrecy


def test_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "dump.tar.gz"
    with archive(path, Secrecy(["the-password"])) as into:
        into.add(File("metrics.txt", b"password the-password\n"))
        into.add(as_json("one.json", {"a": 1}))
        into.add(as_json_lines("many.jsonl", [{"a": 1}, {"a": 2}]))
        assert not path.exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        found = {name: _content(tar, name) for name in tar.getnames()}
    assert found == {
        "dump/metrics.txt": b"password " + REMOVED + b"\n",
        "dump/one.json": b'{\n  "a": 1\n}\n',
        "dump/many.jsonl": b'{"a":1}\n{"a":2}\n',
    }


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def test_half_of_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "dump.tar.gz"
    path.write_text("an earlier one")

    def fail() -> None:
        with archive(path, Secrecy()) as into:
            into.add(File("a", b"a"))
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "an earlier one"
    assert list(tmp_path.iterdir()) == [path]


def test_processes_are_named_by_where_they_answer() -> None:
    assert named_places(("http://127.0.0.1:9101/",)) == {"127.0.0.1:9101": "http://127.0.0.1:9101"}
    for wrong in ("127.0.0.1:9101", "http://", "http://h/metrics", "ftp://h"):
        with pytest.raises(ValueError, match="write http://HOST:PORT"):
            named_places((wrong,))
