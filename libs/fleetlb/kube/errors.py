"""What an API server may answer instead of an object. Foreign failures become these at the edge, cause chained.

ApiError (FleetlbError)         anything the server refused that has no name below (405, 413, 415, …)
├── Invalid                     400, 422: the object or request is wrong; trying again is useless
├── Unauthorized                401: the credentials are unknown or expired
├── Forbidden                   403: the namespace is terminating (`causes` says)
│   └── NoRight (Transient)     403: no role lets it, as far as the server knows roles; or a quota is used up
├── NotFound                    404: no such object, or no such kind
├── AlreadyExists               409: the name is taken
├── Conflict                    409, or 422 about metadata.uid: a precondition failed: read again, decide again
├── Gone                        410: the resourceVersion or continue token is too old: list again
├── TooManyRequests (Transient) 429: not done; `retry_after` when the server said it
├── Unavailable (Transient)     5xx, connection errors, timeouts: the OUTCOME IS UNKNOWN, a write may have happened
├── NotPermitted (Transient)    never sent: this process has lost the right to write (see `Cluster.writing_while`)
└── Undecodable (Poison)        the answer does not fit the struct asked for

StoreWentBack (FleetlbError)    no refusal, but what answers show: the store was put back to an older state

Must not know which request was sent beyond the words given for the message.
"""

from collections.abc import Mapping

import msgspec

from fleetlb.domain.errors import FleetlbError, Poison, Transient


class ApiError(FleetlbError):
    """An API server's refusal; `status` is 0 when no answer came at all."""

    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        causes: tuple[str, ...] = (),
        retry_after: float | None = None,
        said: str = "",
    ) -> None:
        """`reason`, `causes` and `said` are the server's own words; the reason is one such as NamespaceTerminating."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.retry_after = retry_after
        self.said = said


class Invalid(ApiError):
    """The request can never succeed as it is."""


class Unauthorized(ApiError):
    """The server does not know us."""


class Forbidden(ApiError):
    """The server knows us and says no."""


class NoRight(Forbidden, Transient):
    """Not let, now: a server that has just begun has read no roles yet, and a role can be granted at any time."""


class NotFound(ApiError):
    """There is no such object, or no such kind of object."""


class AlreadyExists(ApiError):
    """The name is taken."""


class Conflict(ApiError):
    """The object is not the one, or not the version, that the request was meant for."""


class Gone(ApiError):
    """The asked-for version is no longer kept."""


class TooManyRequests(ApiError, Transient):
    """The server wants us to slow down; nothing was done."""


class Unavailable(ApiError, Transient):
    """No verdict: the write may or may not have happened."""


class NotPermitted(ApiError, Transient):
    """Not sent: this process has lost the right to write."""


class Undecodable(ApiError, Poison):
    """The answer does not fit the struct asked for."""


DECODE_PROBLEMS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_KINDS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class StoreWentBack(FleetlbError):
    """The API server's store is older than it was: what this process knows is of a future that did not happen."""

    def __init__(self, what: str, once: int, now: int) -> None:
        """`once`, `now`: versions that were read before and are read now, of the same thing."""
        super().__init__(f"the store went back in time: {what} once had version {once}, and now has {now}")
        self.once = once
        self.now = now


class _Cause(msgspec.Struct):
    reason: str = ""
    field: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct):
    """The part of metav1.Status that decides anything."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_decoder = msgspec.json.Decoder(_Status)


def error_from(what: str, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ApiError:
    """The error for an answer; a status of 0 is taken from the body (as in a watch's ERROR event)."""
    answer = _read_status(body)
    status = status or answer.code or 500
    details = answer.details or _Details()
    text = answer.message or body[:200].decode(errors="replace").strip() or "no message"
    return _kind(status, answer.reason, details)(
        f"{what}: {status} {answer.reason or 'refused'}: {text}",
        status=status,
        reason=answer.reason,
        causes=tuple(cause.reason for cause in details.causes or ()),
        retry_after=_retry_after(headers, details.retry_after_seconds),
        said=text,
    )


def no_verdict(what: str, problem: BaseException) -> Unavailable:
    """The error for a request that got no answer."""
    return Unavailable(f"{what}: {type(problem).__name__}: {problem}".rstrip(": "))


def _kind(status: int, reason: str, details: _Details) -> type[ApiError]:
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if status == 422 and any(cause.field == "metadata.uid" for cause in details.causes or ()):
        return Conflict  # how a patch meant for another object of this name is refused
    if status == 403 and not details.causes:
        return NoRight
    if status >= 500:
        return Unavailable
    return _KINDS.get(status, ApiError)


def _read_status(body: bytes) -> _Status:
    try:
        return _decoder.decode(body)
    except DECODE_PROBLEMS:
        return _Status()


def _retry_after(headers: Mapping[str, str] | None, detail: float | None) -> float | None:
    asked = (headers or {}).get("Retry-After", "")
    return float(asked) if asked.isdecimal() else detail
