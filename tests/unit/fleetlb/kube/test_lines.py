import itertools
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.kube.lines import LineSplitter, decode_event, decode_sketch, ends_initial_events


def split(chunks: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\n"], [b"a"]),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"\n"], [b"a"]),
        ([b"a", b"b", b"c\nd", b"e\n"], [b"abc", b"de"]),
        ([b"a\nb"], [b"a"]),
        ([b"\n\r\n \na\n"], [b"a"]),
        ([b"\xc3", b"\xa9\n"], [b"\xc3\xa9"]),
        ([b"", b"a\n", b""], [b"a"]),
    ],
    ids=["one", "two", "end apart", "pieces", "no end", "blank lines", "split rune", "empty chunks"],
)
def test_lines_are_put_together(chunks: list[bytes], lines: list[bytes]) -> None:
    assert split(chunks) == lines


@given(st.lists(st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\n", b"x") + b"!")), st.data())
def test_any_cut_gives_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    edges = [0, *cuts, len(whole)]
    assert split([whole[a:b] for a, b in itertools.pairwise(edges)]) == lines


def test_a_line_of_16_mib_in_small_pieces_is_linear() -> None:
    pieces = [b"x" * 1024] * (16 * 1024)
    started = time.process_time()
    (line,) = split([*pieces, b"\n"])
    assert len(line) == 16 * 2**20
    assert time.process_time() - started < 1.0


def test_an_event_leaves_its_object_alone() -> None:
    event = decode_event(b'{"type": "ADDED", "extra": 1, "object": {"metadata": {"name": 7}}}')
    assert (event.type, bytes(event.object)) == ("ADDED", b'{"metadata": {"name": 7}}')


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"\xff", b'{"type": "ADDED"}', b"{" * 100_000])
def test_nonsense_is_no_event(line: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        decode_event(line)


@pytest.mark.parametrize(
    ("metadata", "ends"),
    [
        ('{"annotations": {"k8s.io/initial-events-end": "true"}}', True),
        ('{"annotations": {"k8s.io/initial-events-end": "false"}}', False),
        ('{"annotations": null}', False),
        ("{}", False),
    ],
)
def test_the_end_of_the_initial_events_is_marked(metadata: str, ends: bool) -> None:
    assert ends_initial_events(decode_sketch(f'{{"metadata": {metadata}}}'.encode())) is ends
