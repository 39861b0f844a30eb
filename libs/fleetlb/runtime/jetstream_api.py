"""Asks the server's JetStream API, and turns its error codes into our kinds of failure, in one place."""

from typing import Any, TypeVar

import msgspec

from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import REQUEST_SECONDS, Misconfigured, StreamMissing, TooLarge
from fleetlb.runtime.session import NobodyAnswers, Session

T = TypeVar("T")

API = "$JS.API"

_STREAM_NOT_FOUND = 10059
_NO_MESSAGE_FOUND = 10037
_NOT_FOUND = (_STREAM_NOT_FOUND, 10060, _NO_MESSAGE_FOUND)
_TOO_LARGE = (10054, 10097)
_INVALID_CONFIG = 10052
_STORE_FAILED = 10077
"""The stream is full, or its disk failed: a later attempt may succeed."""


class ApiError(msgspec.Struct):
    """The server's own description of a failure."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Envelope(msgspec.Struct):
    error: ApiError | None = None


async def call(session: Session, subject: str, body: Any, kind: type[T], *, timeout: float = REQUEST_SECONDS) -> T:
    """One request of the API. Raises StreamMissing, TooLarge, Transient, or Misconfigured (the request is wrong)."""
    payload = msgspec.json.encode(body) if body is not None else b""
    try:
        answer = await session.request(subject, payload, timeout)
    except NobodyAnswers:
        raise Transient("this account has no JetStream, or the server has not started it yet") from None
    return read(answer.data, kind)


def read(answer: bytes, kind: type[T]) -> T:
    """The answer, or the failure that it tells of."""
    try:
        error = msgspec.json.decode(answer, type=_Envelope).error
        if error is None:
            return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as problem:
        raise Transient(f"unreadable answer of a stream: {problem}") from None
    raise failure_of(error)


def failure_of(error: ApiError) -> FleetlbError:
    """Our kind for the server's error."""
    text = f"{error.description or 'unknown error'} ({error.err_code})"
    if error.err_code in _NOT_FOUND:
        return StreamMissing(text)
    if error.err_code in _TOO_LARGE:
        return TooLarge(text)
    if error.err_code == _INVALID_CONFIG or (error.code == 400 and error.err_code != _STORE_FAILED):
        return Misconfigured(text)
    return Transient(text)
