import pytest

from fleetlb.domain.virtual_servers import parse_key
from fleetlb_dataplane_programmer.ipvs.auditing import Block, Watch, key_of, name_of, read_blocks

TABLE = b"""IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C0000201:01BB lc \n\
  -> 0A000001:7918      Masq    1      0          0         \n\
  -> 0A000002:7918      Masq    3      12         7         \n\
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr persistent 300000 FFFFFFFF
  -> [2001:0db8:0001:0000:0000:0000:0000:0001]:7918      Tunnel  1      0          0         \n\
FWM  00000005 rr \n\
"""
WEB, DNS = parse_key("192.0.2.1:443/tcp"), parse_key("[2001:db8::1]:53/udp")


def watching(table: bytes = TABLE) -> Watch:
    watch = Watch()
    watch.expect(WEB)
    watch.expect(DNS)
    for block in watch.suspects(read_blocks(table)):
        watch.accept(block)
    return watch


def test_names_translate_both_ways() -> None:
    assert [key_of(block.name) for block in read_blocks(TABLE)] == [WEB, DNS, None]
    assert [block.name for block in read_blocks(TABLE)][:2] == [name_of(WEB), name_of(DNS)]


def test_connections_come_and_go_without_suspicion() -> None:
    busy = TABLE.replace(b"12         7 ", b"99999      1 ")
    assert busy != TABLE
    assert watching().suspects(read_blocks(busy)) == []


def test_the_order_of_destinations_means_nothing() -> None:
    lines = TABLE.splitlines(keepends=True)
    lines[4], lines[5] = lines[5], lines[4]
    assert watching().suspects(read_blocks(b"".join(lines))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Masq    3 ", b"Masq    4 "),
        (b"Masq    3 ", b"Route   3 "),
        (b"01BB lc ", b"01BB rr "),
        (b"  -> 0A000002:7918      Masq    3      12         7         \n", b""),
        (b"0A000002:7918", b"0A000003:7918"),
    ],
)
def test_whatever_somebody_changed_is_suspected(old: bytes, new: bytes) -> None:
    changed = TABLE.replace(old, new)
    assert changed != TABLE
    assert [key_of(block.name) for block in watching().suspects(read_blocks(changed))] == [WEB]


def test_a_table_that_was_cleared_is_missed_in_every_part() -> None:
    empty = b"".join(TABLE.splitlines(keepends=True)[:3])
    assert watching().suspects(read_blocks(empty)) == [Block(name_of(WEB), 0), Block(name_of(DNS), 0)]


def test_what_was_programmed_is_looked_at_once_and_then_believed() -> None:
    watch = watching()
    watch.expect(WEB)
    (block,) = watch.suspects(read_blocks(TABLE))
    assert key_of(block.name) == WEB
    watch.accept(block)
    assert watch.suspects(read_blocks(TABLE)) == []


def test_what_is_not_ours_is_nobodys_business() -> None:
    watch = watching()
    watch.forget(DNS)
    assert watch.suspects(read_blocks(TABLE.replace(b"0035 rr", b"0035 lc"))) == []
