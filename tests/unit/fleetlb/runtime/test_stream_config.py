from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.streams import StreamSpec
from fleetlb.runtime.stream_config import (
    StreamInfo,
    complaint,
    differences,
    forbidden_features,
    must_be_remade,
    state_of,
    stream_config,
    updated_config,
)

SPEC = StreamSpec(name="S", subjects=("s.>",), max_bytes=1000, max_message_bytes=100)
LIMITED = StreamSpec(
    name="L", subjects=("l.>",), max_bytes=1000, max_message_bytes=100, discard_new=False, compacted=False,
    max_age_seconds=60.0,
)  # fmt: skip


def test_a_compacted_stream_keeps_one_message_per_subject_and_refuses_when_full() -> None:
    config = stream_config(SPEC)
    assert (config["max_msgs_per_subject"], config["discard"], config["max_age"]) == (1, "new", 0)
    assert (config["allow_rollup_hdrs"], config["allow_msg_ttl"], config["allow_direct"]) == (False, False, False)


def test_a_limited_stream_forgets_the_oldest() -> None:
    config = stream_config(LIMITED)
    assert (config["max_msgs_per_subject"], config["discard"], config["max_age"]) == (-1, "old", 60_000_000_000)


def test_a_limited_stream_may_bound_each_subject() -> None:
    bounded = msgspec.structs.replace(LIMITED, max_messages_per_subject=7)
    assert stream_config(bounded)["max_msgs_per_subject"] == 7


@pytest.mark.parametrize("spec", [SPEC, LIMITED])
def test_a_stream_made_as_wished_does_not_differ(spec: StreamSpec) -> None:
    assert differences(spec, stream_config(spec)) == {}


def test_what_the_server_leaves_out_counts_as_zero_or_false() -> None:
    actual = {name: value for name, value in stream_config(SPEC).items() if value not in (False, 0)}
    assert differences(SPEC, actual) == {}


@pytest.mark.parametrize(
    ("name", "value"), [("max_bytes", 1), ("subjects", ["t.>"]), ("discard", "old"), ("allow_rollup_hdrs", True)]
)
def test_every_difference_is_seen(name: str, value: object) -> None:
    assert list(differences(SPEC, {**stream_config(SPEC), name: value})) == [name]


def test_a_compacted_stream_is_kept_in_memory_and_any_other_on_disk() -> None:
    assert stream_config(SPEC)["storage"] == "memory"
    assert stream_config(LIMITED)["storage"] == "file"


@pytest.mark.parametrize(
    ("spec", "change", "remade"),
    [
        (SPEC, {"storage": "file"}, True),
        (SPEC, {"max_bytes": 1}, False),
        (LIMITED, {"storage": "memory"}, False),
    ],
    ids=["compacted-on-disk", "compacted-of-another-size", "limited-in-memory"],
)
def test_only_what_is_said_again_is_remade(spec: StreamSpec, change: dict[str, Any], remade: bool) -> None:
    assert must_be_remade(spec, stream_config(spec) | change) is remade


def test_an_update_keeps_what_an_operator_set_beside_ours() -> None:
    beside = {"num_replicas": 3, "placement": {"tags": ["a"]}}
    assert updated_config(SPEC, {**beside, "max_bytes": 1}) == {**stream_config(SPEC), **beside}


def test_copies_are_added_and_never_taken_away() -> None:
    wished = msgspec.structs.replace(SPEC, replicas=3)
    for actual, difference in ((1, {"num_replicas": 3}), (3, {}), (5, {})):
        assert differences(wished, {**stream_config(wished), "num_replicas": actual}) == difference


def test_forbidden_features_are_named() -> None:
    assert forbidden_features(stream_config(SPEC)) == ()
    assert forbidden_features({"allow_rollup_hdrs": True, "allow_msg_ttl": True}) == (
        "allow_rollup_hdrs",
        "allow_msg_ttl",
    )


@pytest.mark.parametrize(
    "setting",
    [{"mirror": {"name": "X"}}, {"sources": [{"name": "X"}]}, {"republish": {"src": ">", "dest": "x.>"}},
     {"subject_transform": {"src": ">", "dest": "x.>"}}, {"sealed": True}, {"deny_purge": True}, {"no_ack": True},
     {"allow_atomic": True}, {"allow_batched": True}, {"allow_msg_counter": True}, {"allow_msg_schedules": True},
     {"allow_rollup_hdrs": True}, {"allow_msg_ttl": True}, {"allow_direct": True}, {"mirror_direct": True},
     {"storage": "file"}, {"retention": "workqueue"}, {"discard": "old"}],
    ids=lambda setting: next(iter(setting)),
)  # fmt: skip
def test_what_must_not_be_is_named_once_and_taken_out_by_an_update(setting: dict[str, Any]) -> None:
    actual = {**stream_config(SPEC), "num_replicas": 3, **setting}
    text = complaint(SPEC, actual)
    assert text.count(next(iter(setting))) == 1
    assert "stream S has settings that must not be: " in text
    assert "remove it (nats stream rm S): it is made anew, what it held is said again" in text
    assert complaint(SPEC, updated_config(SPEC, actual)) == ""
    assert updated_config(SPEC, actual)["num_replicas"] == 3


def test_nothing_is_complained_of_without_a_reason() -> None:
    assert complaint(SPEC, {**stream_config(SPEC), "num_replicas": 3, "placement": {"tags": ["a"]}}) == ""


def test_the_cure_does_not_hide_that_it_costs_what_nobody_can_say_again() -> None:
    assert "what it holds is lost, so read it before" in complaint(LIMITED, {**stream_config(LIMITED), "sealed": True})


def test_the_servers_answer_is_read() -> None:
    answer = (
        b'{"type":"x","created":"2026-01-02T03:04:05.123456Z",'
        b'"config":{"name":"S"},"state":{"messages":3,"bytes":5,"last_seq":9}}'
    )
    state = state_of(msgspec.json.decode(answer, type=StreamInfo))
    assert (state.messages, state.last_sequence) == (3, 9)
    assert state.created_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
