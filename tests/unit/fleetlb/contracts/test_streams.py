import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import (
    PARKED_STREAM,
    TOLD_STREAM,
    StreamSpec,
    allowed_stream,
    desired_stream,
    events_stream,
    observed_stream,
    realized_stream,
)

COMPACTED = [
    observed_stream("AACCOUNT"),
    desired_stream("default"),
    allowed_stream("default"),
    realized_stream("default"),
    TOLD_STREAM,
]


@pytest.mark.parametrize("spec", COMPACTED, ids=lambda spec: spec.name)
def test_state_is_kept_for_ever_and_refused_rather_than_forgotten(spec: StreamSpec) -> None:
    assert spec.compacted
    assert spec.discard_new
    assert spec.max_age_seconds is None
    assert spec.max_message_bytes <= spec.max_bytes


def test_names_and_subjects() -> None:
    assert {spec.name: spec.subjects for spec in (*COMPACTED, PARKED_STREAM)} == {
        "FLEETLB_OBSERVED_AACCOUNT": (subjects.observed_of("AACCOUNT"),),
        "FLEETLB_DESIRED_default": ("fleetlb.v1.desired.default.>",),
        "FLEETLB_ALLOWED_default": ("fleetlb.v1.allowed.default.>",),
        "FLEETLB_REALIZED_default": ("fleetlb.v1.realized.default.>",),
        "FLEETLB_TOLD": ("fleetlb.v1.told.>",),
        "FLEETLB_PARKED": ("fleetlb.v1.parked.>",),
    }
    assert subjects.parked("A", "1").startswith(PARKED_STREAM.subjects[0].removesuffix(">"))


def test_a_groups_name_is_one_token() -> None:
    assert desired_stream("rack-1.default").name == "FLEETLB_DESIRED_rack-1_default"
    with pytest.raises(ValueError, match="subject token"):
        realized_stream("a b")


def test_parked_messages_are_many_and_end() -> None:
    assert not PARKED_STREAM.compacted
    assert not PARKED_STREAM.discard_new
    assert PARKED_STREAM.max_age_seconds == 7 * 86400


def test_what_was_told_outlives_the_server_and_events_are_a_history_that_ends() -> None:
    assert TOLD_STREAM.on_disk
    events = events_stream(days=2, mib=3)
    assert (events.name, events.subjects) == ("FLEETLB_EVENTS", ("fleetlb.v1.events.>",))
    assert not events.compacted
    assert not events.discard_new
    assert (events.max_age_seconds, events.max_bytes) == (2 * 86400, 3 * 1024 * 1024)
    assert events.max_messages_per_subject == 100_000
