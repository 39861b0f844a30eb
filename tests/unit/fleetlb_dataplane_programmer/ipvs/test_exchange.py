"""Conversations with the kernel: whose failure it was, when all is said, and that no bytes are too strange."""

import contextlib
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb_dataplane_programmer.ipvs import wire
from fleetlb_dataplane_programmer.ipvs.entries import Timeouts
from fleetlb_dataplane_programmer.ipvs.exchange import BATCH, Batch, Failure, Query
from fleetlb_dataplane_programmer.ipvs.netlink import GENL_ID_CTRL, Flag, Malformed, family_number
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation
from tests.unit.fleetlb_dataplane_programmer.ipvs.golden_bytes import FAMILY, REPLIES, REQUESTS, SEQUENCE
from tests.unit.fleetlb_dataplane_programmer.ipvs.test_wire import TCP

CHANGE = Operation(Command.FLUSH)


def answer(sequence: int, error: int = 0) -> bytes:
    """As the kernel answers a change: the errno, and the header of the request."""
    return struct.pack("=IHHIIi", 36, 2, Flag.CAPPED, sequence, 1, -error) + struct.pack(
        "=IHHII", 20, FAMILY, 5, sequence, 0
    )


def feed(conversation: Batch | Query[object], *datagrams: bytes) -> None:
    for datagram in datagrams:
        assert not conversation.is_done
        conversation.feed(memoryview(datagram))


def ask(
    command: Command, decode: Callable[[memoryview], object], sequence: int, *, is_dump: bool = True
) -> Query[object]:
    return Query(FAMILY, sequence, command, decode, is_dump=is_dump)


def test_failures_of_a_recorded_batch() -> None:
    batch = Batch(FAMILY, SEQUENCE, [CHANGE] * 8)
    feed(batch, *REPLIES["batch"])
    assert batch.is_done
    assert batch.failures == [
        Failure(0, 17),
        Failure(1, 2),
        Failure(2, 3),
        Failure(4, 34),
        Failure(5, 22),
        Failure(6, 2),
    ]


def test_the_last_operation_may_fail() -> None:
    batch = Batch(FAMILY, 1, [CHANGE] * 2)
    feed(batch, answer(2, error=3))
    assert (batch.is_done, batch.failures) == (True, [Failure(1, 3)])


def test_the_kernel_explains_a_failure() -> None:
    batch = Batch(FAMILY, 18, [CHANGE])
    feed(batch, *REPLIES["refused with a text"])
    assert batch.failures == [Failure(0, 34, "Attribute failed policy validation")]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[int, int, dict[int, int], list[list[bytes]]]:
    """The first sequence number, how many changes, the errno of each that failed, and the datagrams that came back."""
    first = draw(st.integers(1000, 0x80000040))
    count = draw(st.integers(1, BATCH))
    errors = draw(st.dictionaries(st.integers(0, count - 1), st.integers(1, 133), max_size=20))
    refusals = [answer(first + index, errors[index]) for index in errors if index != count - 1]
    stale = [answer(first - back, error) for back, error in draw(st.lists(_STALE, max_size=5))]
    stale.extend(answer(first + count + ahead, 1) for ahead in draw(st.lists(st.integers(0, 9), max_size=2)))
    replies = [*draw(st.permutations(refusals + stale)), answer(first + count - 1, errors.get(count - 1, 0))]
    cuts = sorted(draw(st.sets(st.integers(1, len(replies)), max_size=4)) | {len(replies)})
    return first, count, errors, [replies[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


_STALE = st.tuples(st.integers(1, 999), st.sampled_from([0, 17]))


@given(conversations())
def test_a_failure_is_its_operations(found: tuple[int, int, dict[int, int], list[list[bytes]]]) -> None:
    first, count, errors, datagrams = found
    batch = Batch(FAMILY, first, [CHANGE] * count)
    feed(batch, *map(b"".join, datagrams))
    assert batch.is_done
    assert {failure.index: failure.error for failure in batch.failures} == errors
    assert len(batch.failures) == len(errors)


def test_only_the_last_of_a_batch_asks_to_be_acknowledged() -> None:
    request = Batch(FAMILY, 1, [CHANGE] * 3).request
    assert [struct.unpack_from("=H", request, start + 6)[0] for start in (0, 20, 40)] == [1, 1, 5]


@pytest.mark.parametrize(
    ("golden", "command", "attributes", "is_dump"),
    [
        ("dump services", Command.GET_SERVICE, b"", True),
        ("dump destinations", Command.GET_DESTINATION, wire.encode_service(TCP), True),
        ("get service", Command.GET_SERVICE, wire.encode_service(TCP), False),
        ("get info", Command.GET_INFO, b"", False),
        ("get timeouts", Command.GET_CONFIG, b"", False),
        ("set timeouts", Command.SET_CONFIG, wire.encode_timeouts(Timeouts(tcp=901, udp=30)), False),
    ],
)
def test_questions_are_the_bytes_of_the_header(golden: str, command: Command, attributes: bytes, is_dump: bool) -> None:
    query = Query(FAMILY, SEQUENCE, command, bytes, attributes, is_dump=is_dump)
    assert query.request == REQUESTS[golden]


def test_a_dump_ends_with_its_last_message() -> None:
    entries, end = REPLIES["services"]
    query = ask(Command.GET_SERVICE, wire.decode_service, 10)
    query.feed(memoryview(entries))
    assert (len(query.entries), query.parts, query.is_done) == (5, 1, False)
    query.feed(memoryview(end))
    assert (query.parts, query.is_done, query.is_interrupted, query.error) == (1, True, False, 0)


def test_a_dump_may_come_in_one_datagram() -> None:
    query = ask(Command.GET_SERVICE, wire.decode_service, 10)
    feed(query, b"".join(REPLIES["services"]))
    assert (len(query.entries), query.parts, query.is_done) == (5, 1, True)


def test_parts_of_a_dump_are_counted() -> None:
    entries, end = REPLIES["services"]
    query = ask(Command.GET_SERVICE, wire.decode_service, 10)
    feed(query, entries, entries, end)
    assert (len(query.entries), query.parts) == (10, 2)


def test_an_empty_dump_has_no_parts() -> None:
    query = ask(Command.GET_DESTINATION, wire.decode_destination, 12)
    feed(query, *REPLIES["destinations of none"])
    assert (query.entries, query.parts, query.is_done) == ([], 0, True)


@pytest.mark.parametrize("datagram", [0, 1], ids=["an entry", "the end"])
def test_an_interrupted_dump_is_told(datagram: int) -> None:
    replies = [bytearray(reply) for reply in REPLIES["services"]]
    replies[datagram][6] |= Flag.DUMP_INTERRUPTED
    query = ask(Command.GET_SERVICE, wire.decode_service, 10)
    feed(query, *map(bytes, replies))
    assert (query.is_done, query.is_interrupted) == (True, True)


def test_replies_to_earlier_questions_are_passed_over() -> None:
    query = ask(Command.GET_SERVICE, wire.decode_service, 11)
    feed(query, *REPLIES["services"])
    assert (query.entries, query.parts, query.is_done) == ([], 0, False)


def test_what_comes_after_the_end_is_passed_over() -> None:
    entries, end = REPLIES["services"]
    query = ask(Command.GET_SERVICE, wire.decode_service, 10)
    feed(query, end + entries)
    assert (query.entries, query.is_done) == ([], True)


def test_an_entry_that_decodes_to_nothing_is_left_out() -> None:
    query = ask(Command.GET_SERVICE, lambda body: None, 10)
    feed(query, *REPLIES["services"])
    assert (query.entries, query.parts, query.is_done) == ([], 1, True)


def test_a_single_answer_ends_with_its_acknowledgement() -> None:
    query = ask(Command.GET_INFO, wire.decode_info, 15, is_dump=False)
    feed(query, *REPLIES["info"])
    assert query.is_done
    assert len(query.entries) == 1


def test_a_refused_question_has_the_kernels_number() -> None:
    query = ask(Command.GET_SERVICE, wire.decode_service, 14, is_dump=False)
    feed(query, *REPLIES["no service"])
    assert (query.is_done, query.error, query.entries) == (True, 3, [])


LISTENERS: dict[str, Callable[[], Batch | Query[object]]] = {
    "family": lambda: Query(GENL_ID_CTRL, 1, Command.GET_INFO, family_number, is_dump=False),
    "services": lambda: ask(Command.GET_SERVICE, wire.decode_service, 10),
    "destinations": lambda: ask(Command.GET_DESTINATION, wire.decode_destination, 11),
    "info": lambda: ask(Command.GET_INFO, wire.decode_info, 15, is_dump=False),
    "timeouts": lambda: ask(Command.GET_CONFIG, wire.decode_timeouts, 16, is_dump=False),
    "refused with a text": lambda: Batch(FAMILY, 18, [CHANGE]),
    "batch": lambda: Batch(FAMILY, SEQUENCE, [CHANGE] * 8),
}


# Lengths, kinds and errors are small numbers: what is near them breaks more than noise.
NEAR = (0, 1, 3, 4, 5, 15, 16, 20, 0x7F, 0x80, 0xFF)


def mutate(recorded: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, a piece cut out or put in twice, the end cut off, or not."""
    data = bytearray(recorded)
    for _ in range(chance.randrange(4)):
        data[chance.randrange(len(data))] = chance.choice((*NEAR, chance.randrange(256)))
    start, end = sorted(chance.choices(range(len(data)), k=2))
    pieces = chance.choice((1, 1, 1, 0, 2))
    whole = bytes(data[:start] + data[start:end] * pieces + data[end:])
    return whole[: chance.choice((len(whole), chance.randrange(len(whole) + 1)))]


@settings(max_examples=2000)
@given(st.sampled_from(sorted(LISTENERS)), st.integers(0, 1 << 32))
def test_a_damaged_reply_is_read_or_malformed(name: str, seed: int) -> None:
    chance = random.Random(seed)
    for recorded in REPLIES[name]:
        try:
            LISTENERS[name]().feed(memoryview(mutate(recorded, chance)))
        except Malformed:
            continue


@settings(max_examples=500)
@given(st.sampled_from(sorted(LISTENERS)), st.binary(max_size=200))
def test_no_bytes_are_too_strange(name: str, datagram: bytes) -> None:
    with contextlib.suppress(Malformed):
        LISTENERS[name]().feed(memoryview(datagram))


def test_a_reply_cut_anywhere_is_malformed_or_not_yet_the_end() -> None:
    for name, listener in LISTENERS.items():
        whole = b"".join(REPLIES[name])
        for end in range(len(whole)):
            conversation = listener()
            try:
                conversation.feed(memoryview(whole[:end]))
            except Malformed:
                continue
            assert not conversation.is_done, (name, end)
