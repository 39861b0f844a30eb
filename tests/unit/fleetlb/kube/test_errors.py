import json

import pytest

from fleetlb.domain.errors import FleetlbError, Poison, Transient
from fleetlb.kube import errors
from fleetlb.kube.errors import error_from, no_verdict


def body(**status: object) -> bytes:
    return json.dumps({"kind": "Status", **status}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.NoRight),
        (404, "NotFound", errors.NotFound),
        (405, "MethodNotAllowed", errors.ApiError),
        (408, "", errors.Unavailable),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (410, "Gone", errors.Gone),
        (413, "RequestEntityTooLarge", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.Unavailable),
        (502, "", errors.Unavailable),
        (503, "ServiceUnavailable", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
        (599, "", errors.Unavailable),
    ],
)
def test_status_codes_become_kinds(status: int, reason: str, kind: type[errors.ApiError]) -> None:
    error = error_from("GET /x", status, body(reason=reason, message="why"))
    assert type(error) is kind
    assert (error.status, error.reason) == (status, reason)
    assert str(error) == f"GET /x: {status} {reason or 'refused'}: why"


def test_only_the_environments_failures_are_transient() -> None:
    transient = {kind.__name__ for kind in vars(errors).values() if _is_api_error(kind) and issubclass(kind, Transient)}
    assert transient == {"NoRight", "TooManyRequests", "Unavailable", "NotPermitted"}
    assert issubclass(errors.Undecodable, Poison)
    assert issubclass(errors.ApiError, FleetlbError)


def test_what_a_namespace_that_ends_refuses_is_refused_for_good() -> None:
    causes = {"causes": [{"reason": "NamespaceTerminating"}]}
    error = error_from("POST /x", 403, body(reason="Forbidden", details=causes))
    assert type(error) is errors.Forbidden
    assert not isinstance(error, Transient)


def _is_api_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.ApiError)


def test_an_error_event_carries_its_own_code() -> None:
    assert type(error_from("watch", 0, body(code=410, reason="Expired"))) is errors.Gone


def test_an_error_event_without_a_code_is_no_verdict() -> None:
    assert type(error_from("watch", 0, b"{}")) is errors.Unavailable


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({"Retry-After": "7"}, {"retryAfterSeconds": 3}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, None),
        ({}, {}, None),
    ],
    ids=["header", "header first", "details", "a date is ignored", "nothing"],
)
def test_the_time_to_wait_is_kept(headers: dict[str, str], details: dict[str, object], expected: float | None) -> None:
    assert error_from("x", 429, body(details=details), headers).retry_after == expected


def test_causes_are_kept() -> None:
    details = {"causes": [{"reason": "NamespaceTerminating", "message": "m", "field": "metadata.namespace"}]}
    assert error_from("x", 403, body(details=details)).causes == ("NamespaceTerminating",)


@pytest.mark.parametrize(
    ("field", "kind"), [("metadata.uid", errors.Conflict), ("spec.ports", errors.Invalid)], ids=["uid", "other"]
)
def test_a_patch_meant_for_another_object_is_a_conflict(field: str, kind: type[errors.ApiError]) -> None:
    details = {"causes": [{"reason": "FieldValueInvalid", "message": "field is immutable", "field": field}]}
    assert type(error_from("x", 422, body(reason="Invalid", details=details))) is kind


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no message"),
        (b"404 page not found\n", "404 page not found"),
        (b"<html>\xff</html>", "<html>\ufffd</html>"),
        (b'{"code": "text"}', '{"code": "text"}'),
        (b"x" * 5000, "x" * 200),
        (b"[" * 100_000, "[" * 200),
    ],
    ids=["empty", "plain", "not utf-8", "wrong type", "long", "deep"],
)
def test_any_body_gives_an_error(content: bytes, text: str) -> None:
    assert str(error_from("x", 404, content)) == f"x: 404 refused: {text}"


def test_no_answer_says_which_failure() -> None:
    error = no_verdict("PATCH /x", ConnectionResetError("reset by peer"))
    assert (str(error), error.status, error.retry_after) == ("PATCH /x: ConnectionResetError: reset by peer", 0, None)
    assert str(no_verdict("GET /x", TimeoutError())) == "GET /x: TimeoutError"
