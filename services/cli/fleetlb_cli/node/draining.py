"""Has a node emptied, or take part again: writes its group's spec, and tells each step that the node comes to.

Begun anew after whatever interrupted it, it goes on where the node is.
"""

import asyncio
import time
from collections.abc import Callable

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.streams import realized_stream
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.kube.errors import NotFound
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.reading import last_message
from fleetlb_cli.answering import answer
from fleetlb_cli.node.editing import edit
from fleetlb_cli.node.steps import Progress, back_again, draining_after, progress_of
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.whereabouts import USAGE, WELL, WRONG, Whereabouts, complain

NAME = "fleetlb-node"
LOOK_SECONDS = 0.5

Judge = Callable[[BalancerGroup, str, NodeRealized | None], Progress]


def run(node: str, group: str, where: Whereabouts, *, drains: bool, timeout: float) -> int:
    """Returns the exit code."""

    async def work(target: Target) -> int:
        async with connected(target, NAME) as (cluster, bus):
            try:
                wanted = await edit(cluster, group, lambda seen: draining_after(seen, node, drains=drains))
            except (NotFound, ValueError) as problem:
                return complain(str(problem), USAGE)
            judge = progress_of if drains else _judge_back
            return await _tell(bus, wanted, node, judge, timeout)

    return answer(where, NAME, work)


def _judge_back(group: BalancerGroup, node: str, said: NodeRealized | None) -> Progress:
    return back_again(node, said)


async def _tell(bus: Bus, group: BalancerGroup, node: str, judge: Judge, timeout: float) -> int:
    ends_at, told = time.monotonic() + timeout, ""
    stream, subject = realized_stream(group.metadata.name).name, subjects.realized_node(group.metadata.name, node)
    while True:
        kept = await last_message(bus, stream, subject)
        progress = judge(group, node, codec.decode(NodeRealized, kept.data) if kept is not None else None)
        line = f"{progress.step}: {progress.text}"
        if line != told:
            told = line
            print(line, flush=True)
        if progress.is_last:
            return WELL
        if time.monotonic() >= ends_at:
            return complain(f"not done after {timeout:g} s; it goes on: call again to see how far", WRONG)
        await asyncio.sleep(LOOK_SECONDS)
