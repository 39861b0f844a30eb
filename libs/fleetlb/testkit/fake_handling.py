"""How `fleetlb.testkit.fake_bus` calls handlers and responders: a bug in one is its own trouble. Keeps nothing."""

import asyncio
from collections.abc import Callable

import structlog

from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Responder


def guarded(call: Callable[..., None], *arguments: object) -> None:
    """Call it; what it raises is logged, and nothing more."""
    try:
        call(*arguments)
    except Exception:
        structlog.get_logger("fleetlb.bus").exception("a handler failed; going on")


async def answered(responder: Responder, turn: asyncio.Lock, question: tuple[str, bytes], timeout: float) -> bytes:
    """What a responder says, one question at a time. Raises Transient."""
    try:
        async with asyncio.timeout(timeout), turn:
            answer = await responder(*question)
    except TimeoutError:
        raise Transient(f"no answer on {question[0]} in {timeout:g} s: outcome unknown") from None
    except Exception as problem:
        structlog.get_logger("fleetlb.bus").exception("a request could not be answered")
        raise Transient(f"no answer on {question[0]}: outcome unknown") from problem
    if answer is None:
        raise Transient(f"no answer on {question[0]} in {timeout:g} s: outcome unknown")
    return answer
