import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetlb.contracts.channels import MESSAGES, name_of
from fleetlb.contracts.codec import MAX_BYTES, decode, encode
from fleetlb.contracts.v1 import (
    Hop,
    InventoryObserved,
    Message,
    NodeRealized,
    ServiceObserved,
    ServiceReleased,
    ServiceReported,
    SnapshotAnswered,
    VirtualServerRealized,
)
from fleetlb.domain.errors import Poison

EXAMPLES = Path(__file__).resolve().parents[4] / "proto-schemas" / "v1" / "examples"
KINDS: dict[str, type[Message]] = {name_of(kind): kind for kind in MESSAGES}
FULL = json.loads((EXAMPLES / "service_observed.full.json").read_bytes())


def reads(kind: type[Message], data: bytes) -> Message | None:
    """The message, None if it is Poison; anything else that is raised fails the test."""
    said = ""
    try:
        return decode(kind, data)
    except Poison as problem:
        said = str(problem)
    assert 0 < len(said) < 512
    return None


def refused(data: bytes, kind: type[Message] = ServiceObserved) -> bool:
    return reads(kind, data) is None


def test_what_was_written_is_read() -> None:
    report = ServiceReported(generation=1, revision=2, released=True, hops=(Hop("report", 3),))
    data = encode(report)
    assert data == (
        b'{"type":"dev.fleetlb.v1.service_reported","generation":1,"revision":2,'
        b'"released":true,"hops":[{"name":"report","at":3}]}'
    )
    assert decode(ServiceReported, data) == report


@pytest.mark.parametrize("name", KINDS)
def test_the_type_is_demanded_and_must_be_the_right_one(name: str) -> None:
    body = json.loads(next(EXAMPLES.glob(f"{name}.*.json")).read_bytes())
    kind = KINDS[name]
    assert not refused(json.dumps(body).encode(), kind)
    untyped = {key: value for key, value in body.items() if key != "type"}
    last = untyped | {"type": body["type"]}
    assert not refused(json.dumps(last).encode(), kind)
    assert refused(json.dumps(untyped).encode(), kind)
    for other in ["", "-", name, "dev.fleetlb.v2." + name, "dev.fleetlb.v1.unknown", body["type"].upper(), None, 1, []]:
        assert refused(json.dumps(body | {"type": other}).encode(), kind)
    for another in MESSAGES:
        if another is not kind:
            assert refused(json.dumps(body).encode(), another)


PREFIX = b'{"type":"dev.fleetlb.v1.service_released",'
HANDMADE = {
    "empty": b"",
    "one byte": b"{",
    "a blank": b" ",
    "not UTF-8": PREFIX + b'"generation":1,"x":"\xff\xfe"',
    "UTF-16": '{"type":"dev.fleetlb.v1.service_released"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"type":"dev.fleetlb.v1.service_released"}',
    "NUL behind": PREFIX + b'"generation":1}\x00',
    "trailing data": PREFIX + b'"generation":1}{}',
    "null": b"null",
    "a list": b"[]",
    "a string": b'"dev.fleetlb.v1.service_released"',
    "a number": b"1",
    "NaN": PREFIX + b'"generation":NaN}',
    "Infinity": PREFIX + b'"generation":Infinity}',
    "-Infinity": PREFIX + b'"generation":-Infinity}',
    "1e400": PREFIX + b'"generation":1e400}',
    "-1": PREFIX + b'"generation":-1}',
    "2^53 + 1": PREFIX + b'"generation":9007199254740993}',
    "2^63": PREFIX + b'"generation":9223372036854775808}',
    "2^64": PREFIX + b'"generation":18446744073709551616}',
    "10^5 digits": PREFIX + b'"generation":' + b"9" * 100_000 + b"}",
    "a fraction": PREFIX + b'"generation":1.5}',
    "a whole float": PREFIX + b'"generation":1.0}',
    "a bool": PREFIX + b'"generation":true}',
    "a string for a number": PREFIX + b'"generation":"1"}',
    "null for a number": PREFIX + b'"generation":null}',
    "leading zero": PREFIX + b'"generation":01}',
    "hexadecimal": PREFIX + b'"generation":0x1}',
    "comment": PREFIX + b'/* */"generation":1}',
    "single quotes": b"{'type':'dev.fleetlb.v1.service_released'}",
    "trailing comma": PREFIX + b"}",
    "hops as an object": PREFIX + b'"hops":{"name":"x","at":1}}',
    "33 hops": PREFIX + b'"hops":[' + b",".join([b'{"name":"x","at":1}'] * 33) + b"]}",
    "a hop in the far future": PREFIX + b'"hops":[{"name":"x","at":99999999999999999999}]}',
    "a hop with a long name": PREFIX + b'"hops":[{"name":"' + b"x" * 33 + b'","at":1}]}',
    "lists 10^2 deep in an unknown field, unclosed": PREFIX + b'"x":' + b"[" * 100,
    "lists 10^5 deep": PREFIX + b'"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 10^5 deep": PREFIX + b'"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "lists 10^6 deep": PREFIX + b'"x":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "lists 10^6 deep and nothing else": b"[" * 1_000_000,
    "too long": PREFIX + b'"x":"' + b"x" * MAX_BYTES + b'"}',
}


@pytest.mark.parametrize("data", HANDMADE.values(), ids=HANDMADE)
def test_garbage_is_poison(data: bytes) -> None:
    assert refused(data, ServiceReleased)


HARMLESS = {
    "bare": b'{"type":"dev.fleetlb.v1.service_released"}',
    "blanks": b' {\n "type" : "dev.fleetlb.v1.service_released" } \r\n',
    "escaped": b'{"\\u0074ype":"dev.fleetlb.v1.service\\u005freleased"}',
    "minus zero": PREFIX + b'"generation":-0}',
    "2^53": PREFIX + b'"generation":9007199254740992}',
    "unknown fields": PREFIX + b'"x":{"y":[1,2.5,null,"\\ud83d\\ude00"]},"constructor":1}',
    "10^4 unknown keys": PREFIX + b",".join(b'"k%d":%d' % (n, n) for n in range(10_000)) + b"}",
    "a key twice": PREFIX + b'"generation":1,"generation":2}',
    "lists 10^2 deep in an unknown field": PREFIX + b'"x":' + b"[" * 100 + b"]" * 100 + b"}",
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_what_is_odd_but_clear_is_read(data: bytes) -> None:
    assert isinstance(reads(ServiceReleased, data), ServiceReleased)


def test_the_limit_counts_bytes() -> None:
    frame = PREFIX + b'"x":""}'
    filled = frame.replace(b'""', b'"' + b"x" * (MAX_BYTES - len(frame)) + b'"')
    assert len(filled) == MAX_BYTES
    assert not refused(filled, ServiceReleased)
    assert refused(filled + b" ", ServiceReleased)


@pytest.mark.parametrize("name", KINDS)
def test_truncated_at_every_byte(name: str) -> None:
    data = encode(decode(KINDS[name], next(EXAMPLES.glob(f"{name}.*.json")).read_bytes()))
    for length in range(len(data)):
        assert refused(data[:length], KINDS[name]), data[:length]


def places_of(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON document: a container and the key or index in it."""
    for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(child, dict | list):
            yield from places_of(child)


ODDITIES: list[Any] = [None, True, -1, 0, 1.5, 2**63, 2**64, "", "x" * 300, [], {}, [None], {"a": None}, "\x00", "‮"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_something_odd_at_every_place(path: Path) -> None:
    kind = KINDS[path.name.split(".")[0]]
    text = path.read_text()
    for index in range(len(list(places_of(json.loads(text))))):
        for oddity in ODDITIES:
            body = json.loads(text)
            container, key = list(places_of(body))[index]
            container[key] = oddity
            message = reads(kind, json.dumps(body).encode())
            if message is not None:
                assert decode(kind, encode(message)) == message


PORTS = [{"port": 80, "nodePort": 30080}]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ServiceObserved, FULL | {"digest": None}),
        (ServiceObserved, {k: v for k, v in FULL.items() if k != "digest"}),
        (ServiceObserved, FULL | {"digest": "x" * 33}),
        (ServiceObserved, FULL | {"service": {}}),
        (ServiceObserved, FULL | {"service": FULL["service"] | {"ports": PORTS * 251}}),
        (ServiceObserved, FULL | {"service": FULL["service"] | {"ports": [PORTS]}}),
        (ServiceObserved, FULL | {"service": FULL["service"] | {"ports": {}}}),
        (ServiceObserved, FULL | {"endpoints": {"ready": "yes"}}),
        (ServiceObserved, FULL | {"endpoints": {"nodes": [1]}}),
        (InventoryObserved, {"services": {"u": "x" * 33}}),
        (InventoryObserved, {"services": {f"u{n}": "d" for n in range(5001)}}),
        (InventoryObserved, {"services": []}),
        (NodeRealized, {"node": "n", "group": "g"}),
        (VirtualServerRealized, {"node": "n", "key": "192.0.2.7:443/tcp"}),
        (SnapshotAnswered, {"reports": "3"}),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value)[-40:],
)
def test_messages_out_of_bounds_are_poison(kind: type[Message], body: dict[str, Any]) -> None:
    assert refused(json.dumps(body | {"type": f"dev.fleetlb.v1.{name_of(kind)}"}).encode(), kind)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200), st.sampled_from(MESSAGES))
def test_no_bytes_make_decoding_fail_otherwise(data: bytes, kind: type[Message]) -> None:
    reads(kind, data)


@settings(max_examples=150)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_json_makes_decoding_fail_otherwise(name: str, data: st.DataObject) -> None:
    body = json.loads(data.draw(st.sampled_from(sorted(EXAMPLES.glob(f"{name}.*.json")))).read_bytes())
    for container, key in data.draw(st.lists(st.sampled_from(list(places_of(body))), min_size=1, max_size=3)):
        container[key] = data.draw(json_values)
    message = reads(KINDS[name], json.dumps(body).encode())
    if message is not None:
        assert decode(KINDS[name], encode(message)) == message


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(sorted(EXAMPLES.glob("*.json"))))
def test_one_changed_byte_is_read_or_poison(position: int, byte: int, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] = byte
    reads(KINDS[path.name.split(".")[0]], bytes(data))
