"""The kernel's list of IPVS connections."""

from pathlib import Path

import pytest

from tests.upstream import passages
from tests.upstream.passages import Passage

TABLE = """\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0AF40205 A1B2 0AFA0101 0050 0AFA000B 7530 FIN_WAIT        118
TCP fd00:0000:0000:0000:0000:0000:0000:0007 0400 fd09:0000:0000:0000:0000:0000:0000:0001 0050 fd00:: 0050 NONE 1
"""


def test_every_connection_is_read(tmp_path: Path) -> None:
    file = tmp_path / "ip_vs_conn"
    file.write_text(TABLE)
    both = {Passage("10.244.2.5", 0xA1B2, "10.250.1.1"), Passage("fd00::7", 1024, "fd09::1")}
    assert passages.read(file) == both


def test_an_empty_table_is_empty_and_none_is_an_error(tmp_path: Path) -> None:
    assert passages.parse(TABLE.splitlines()[0]) == frozenset()
    with pytest.raises(FileNotFoundError):
        passages.read(tmp_path / "ip_vs_conn")
