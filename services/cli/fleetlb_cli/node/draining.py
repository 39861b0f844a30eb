"""Has a node emptied, or take part again: writes its group's spec, and tells each step that the node comes to.

Begun anew after whatever interrupted it, it goes on where the node is.
"""

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
from fleetlb_cli.node.telling import tell_steps
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.whereabouts import USAGE, Whereabouts, complain

NAME = "fleetlb-node"

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
            return await tell_steps(lambda: _look(bus, wanted, node, judge), timeout)

    return answer(where, NAME, work)


def _judge_back(group: BalancerGroup, node: str, said: NodeRealized | None) -> Progress:
    return back_again(node, said)


async def _look(bus: Bus, group: BalancerGroup, node: str, judge: Judge) -> Progress:
    name = group.metadata.name
    kept = await last_message(bus, realized_stream(name).name, subjects.realized_node(name, node))
    return judge(group, node, codec.decode(NodeRealized, kept.data) if kept is not None else None)
