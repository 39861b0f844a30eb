import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.conditions import (
    PROVISIONED,
    SERVING,
    WAITING_REASONS,
    Condition,
    Reason,
    Refusal,
    Status,
    says_the_same,
    transition,
)

conditions = st.builds(
    Condition,
    type=st.sampled_from([PROVISIONED, SERVING]),
    status=st.sampled_from(Status),
    reason=st.sampled_from(Reason),
    message=st.sampled_from(["", "text"]),
    last_transition_time=st.sampled_from(["", "2026-01-01T00:00:00Z"]),
    observed_generation=st.integers(0, 3),
)


def a_condition(**changes: object) -> Condition:
    """A condition that is true, with changes."""
    base = Condition(type=SERVING, status=Status.TRUE, reason="Fine", last_transition_time="then")
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ([], "now"),
        ([a_condition()], "then"),
        ([a_condition(reason="Other", message="other", observed_generation=7)], "then"),
        ([a_condition(status=Status.FALSE)], "now"),
        ([a_condition(type=PROVISIONED)], "now"),
        ([a_condition(last_transition_time="")], "now"),
        ([a_condition(type=PROVISIONED, last_transition_time="else"), a_condition()], "then"),
    ],
    ids=["first", "same", "same status, other words", "flipped", "another type", "no time known", "among others"],
)
def test_time_moves_only_when_the_status_flips(previous: list[Condition], expected: str) -> None:
    wanted = a_condition(last_transition_time="")
    assert transition(previous, wanted, "now") == a_condition(last_transition_time=expected)


@given(st.lists(conditions, max_size=3), conditions)
def test_a_transition_changes_the_time_alone_and_is_idempotent(previous: list[Condition], wanted: Condition) -> None:
    once = transition(previous, wanted, "now")
    assert says_the_same(once, wanted)
    assert once.last_transition_time
    assert transition([once], wanted, "later") == once


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"last_transition_time": "another"}, True),
        ({"type": PROVISIONED}, False),
        ({"status": Status.UNKNOWN}, False),
        ({"reason": "Other"}, False),
        ({"message": "other"}, False),
        ({"observed_generation": 1}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_a_reader_is_told(change: dict[str, object], same: bool) -> None:
    assert says_the_same(a_condition(), a_condition(**change)) is same


def test_reason_codes_are_stable() -> None:
    assert {reason.name: reason.value for reason in Reason} == {
        "IN_PROGRESS": "InProgress",
        "COMPLETE": "Complete",
        "SERVING": "ProbeAnswered",
        "UNSUPPORTED": "Unsupported",
        "INVALID": "InvalidWish",
        "ANNOTATION_NOT_ALLOWED": "AnnotationNotAllowed",
        "POOL_EXHAUSTED": "PoolExhausted",
        "QUOTA_EXCEEDED": "QuotaExceeded",
        "ADDRESS_IN_USE": "AddressInUse",
        "ADDRESS_NOT_ALLOWED": "AddressNotAllowed",
        "SHARING_CONFLICT": "SharingConflict",
        "BACKEND_NOT_ALLOWED": "BackendNotAllowed",
        "NO_ELIGIBLE_NODE": "NoEligibleNode",
        "NO_READY_BACKEND": "NoReadyBackend",
        "NO_NODE_PORT": "NoNodePort",
        "DATAPLANE_REJECTED": "DataplaneRejected",
        "PROBE_UNANSWERED": "ProbeUnanswered",
        "NOT_ANNOUNCED": "NotAnnounced",
        "NOT_REACHABLE": "NotReachable",
        "HUB_UNREACHABLE": "HubUnreachable",
        "RELEASE_PENDING": "ReleasePending",
        "TENANT_NOT_READY": "TenantNotReady",
        "OVERLAP": "Overlap",
    }
    assert set(Reason) > WAITING_REASONS


def test_a_condition_is_written_as_kubernetes_writes_it() -> None:
    condition = a_condition(observed_generation=4)
    assert msgspec.to_builtins(condition) == {
        "type": "fleetlb.dev/Serving",
        "status": "True",
        "reason": "Fine",
        "lastTransitionTime": "then",
        "observedGeneration": 4,
    }


def test_a_refusal_is_written_as_code_and_sentence() -> None:
    refusal = Refusal(Reason.INVALID, "spec.ports: none")
    assert msgspec.json.encode(refusal) == b'{"reason":"InvalidWish","message":"spec.ports: none"}'
