import asyncio

import pytest

from fleetlb.contracts.streams import StreamSpec
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Message, TooLarge
from fleetlb.testkit.fake_streams import FakeStream, subject_matches

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=10, max_message_bytes=6)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b.>", "a.b.c", True),
        (">", "a", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_wildcards(pattern: str, subject: str, expected: bool) -> None:
    assert subject_matches(pattern, subject) is expected


def test_a_compacted_stream_keeps_the_last_of_each_subject_in_its_order() -> None:
    stream = FakeStream(SPEC)
    for subject, body in (("s.a", b"1"), ("s.b", b"2"), ("s.a", b"3")):
        stream.store(subject, body, "")
    assert [(m.subject, m.data) for m in stream.last_per_subject("s.>")] == [("s.b", b"2"), ("s.a", b"3")]
    assert (stream.state.last_sequence, stream.state.messages) == (3, 2)


def test_an_uncompacted_stream_keeps_all() -> None:
    stream = FakeStream(StreamSpec(name="P", subjects=("p",), max_bytes=99, max_message_bytes=9, compacted=False))
    stream.store("p", b"1", "")
    stream.store("p", b"2", "")
    assert stream.state.messages == 2


def test_limits_are_kept() -> None:
    stream = FakeStream(SPEC)
    with pytest.raises(TooLarge):
        stream.store("s.a", b"1234567", "")
    stream.store("s.a", b"123456", "")
    with pytest.raises(Transient, match="maximum bytes"):
        stream.store("s.b", b"12345", "")


def test_an_id_is_stored_once() -> None:
    stream = FakeStream(SPEC)
    assert not stream.store("s.a", b"1", "m").duplicate
    again = stream.store("s.a", b"2", "m")
    assert (again.duplicate, again.sequence, stream.last_sequence) == (True, 1, 1)


async def test_followers_get_what_matches_and_learn_of_an_interruption() -> None:
    stream = FakeStream(SPEC)
    queue: asyncio.Queue[Message | None] = asyncio.Queue()
    stream.followers[queue] = "s.a"
    stream.store("s.b", b"1", "")
    stream.store("s.a", b"2", "")
    stream.interrupt()
    first = queue.get_nowait()
    assert first is not None
    assert first.data == b"2"
    assert queue.get_nowait() is None


def test_a_stream_of_the_same_name_made_later_is_told_apart() -> None:
    assert FakeStream(SPEC).created_at < FakeStream(SPEC).created_at
