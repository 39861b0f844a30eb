"""How the page's server answers: the headers of everything, and every failure as JSON with a cure."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb_status.ui.admitting import TurnedAway

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOT_KEPT = {"Cache-Control": "no-store"}

log = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True):
    """Why there is no other answer."""

    error: str
    field: str
    cure: str


def as_json(value: object, status: int = 200, **headers: str) -> web.Response:
    """A value; nobody keeps it."""
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=NOT_KEPT | headers)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Never a traceback, never without the headers."""
    try:
        answer = await handler(request)
    except web.HTTPException as problem:
        if problem.status < 400:
            problem.headers.update(HEADERS)
            raise
        answer = _refused(problem)
    except TurnedAway as problem:
        answer = as_json(Problem(problem.problem, problem.field, problem.cure), problem.status)
    except FleetlbError as problem:
        after = problem.retry_after if isinstance(problem, Transient) and problem.retry_after else 2
        answer = as_json(Problem(str(problem), "", "try again"), 503, **{"Retry-After": f"{after:g}"})
    except ConnectionResetError:
        raise
    except Exception:
        log.exception("a request failed", path=request.path[:200])
        answer = as_json(Problem("it failed here", "", "see the log of the status service"), 500)
    if not answer.prepared:
        answer.headers.update(HEADERS)
    return answer


def _refused(problem: web.HTTPException) -> web.Response:
    if isinstance(problem, web.HTTPMethodNotAllowed):
        answer = as_json(Problem("the page only reads", "method", "use GET"), problem.status)
        answer.headers["Allow"] = problem.headers["Allow"]
        return answer
    return as_json(Problem(problem.reason.lower(), "path", "begin at /ui/"), problem.status)
