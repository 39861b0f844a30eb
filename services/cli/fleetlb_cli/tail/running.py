"""Follows a fleet's messages, and prints them."""

import os
import sys

from fleetlb_cli.answering import answer
from fleetlb_cli.naming import wanted_of
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.tail.choosing import Choice
from fleetlb_cli.tail.entries import as_json, as_line
from fleetlb_cli.tail.following import Listener, listening
from fleetlb_cli.whereabouts import USAGE, WELL, Whereabouts, complain

NAME = "fleetlb-tail"
FORMS = {"text": as_line, "json": as_json}


def run(
    where: Whereabouts, tenant: str, service: str | None, kinds: frozenset[str], limit: int | None, output: str
) -> int:
    """Returns the exit code."""
    try:
        choice = Choice(tenant, wanted_of(service) if service is not None else None, kinds)
    except ValueError as problem:
        return complain(f"--service {problem}", USAGE)

    async def work(target: Target) -> int:
        async with connected(target, NAME) as (cluster, bus):
            bus.on_reconnect(lambda: _note("NATS was away; what was sent meanwhile is not shown"))
            async with listening(cluster, bus, choice) as listener:
                _note("following; Ctrl-C ends it")
                await _show(listener, limit, output)
        return WELL

    return answer(where, NAME, work, interrupted=WELL)


async def _show(listener: Listener, limit: int | None, output: str) -> None:
    """Until the limit, or until nobody reads any more what is printed."""
    shown = dropped = 0
    while limit is None or shown < limit:
        entry = await listener.next()
        try:
            print(FORMS[output](entry), flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
            return
        shown += 1
        if listener.dropped > dropped:
            _note(f"{listener.dropped - dropped} messages were not shown: they came faster than they were read")
            dropped = listener.dropped


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
