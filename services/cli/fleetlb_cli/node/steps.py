"""How far a node is with being emptied or taken out of its group, out of what is said of it and by it. Pure."""

import enum
from typing import NamedTuple

from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.capabilities import EngineName


class Step(enum.StrEnum):
    """What was reached, in order."""

    ASKED = "asked"
    HEARD = "heard"
    WITHDRAWN = "withdrawn"
    EMPTY = "empty"
    REMOVED = "removed"
    RELEASED = "released"


class Progress(NamedTuple):
    """A step, and a sentence on what it waits for or what it came to."""

    step: Step
    text: str
    is_last: bool = False


def progress_of(group: BalancerGroup, node: str, said: NodeRealized | None) -> Progress:
    """Of a node that is to be emptied."""
    others = [each for each in group.spec.nodes if each not in group.spec.draining]
    if said is None:
        return Progress(Step.ASKED, f"{node} has never said anything; is its programmer running?")
    if not said.draining:
        return Progress(Step.ASKED, f"{node} has not heard of it yet")
    if said.announced:
        who = "the others have not taken over" if others else f"no node of group {group.metadata.name} is left to"
        return Progress(Step.HEARD, f"{node} still announces {count(said.announced, 'VIP')}: {who}")
    if said.connections is None and said.engine == EngineName.ENVOY:
        return Progress(Step.WITHDRAWN, f"{node} announces no VIP; its engine does not count connections", True)
    if said.connections is None:
        return Progress(Step.WITHDRAWN, f"{node} announces no VIP; its connections are being counted")
    if said.connections:
        return Progress(Step.WITHDRAWN, f"{node} announces no VIP; {count(said.connections, 'connection')} left")
    return Progress(Step.EMPTY, f"{node} announces no VIP, and no connection is left", True)


def back_again(node: str, said: NodeRealized | None) -> Progress:
    """Of a node that is to take part again."""
    if said is None or said.draining:
        return Progress(Step.ASKED, f"{node} has not heard of it yet")
    return Progress(Step.HEARD, f"{node} takes part again", True)


def draining_after(group: BalancerGroup, node: str, *, drains: bool) -> dict[str, tuple[str, ...]]:
    """What of the group's spec is to be changed. Raises ValueError for a node that is not of the group."""
    if node not in group.spec.nodes:
        names = ", ".join(group.spec.nodes)
        raise ValueError(f"{node} is no node of group {group.metadata.name}: it has {names}; name another --group?")
    rest = _without(node, group.spec.draining)
    wanted = (*rest, node) if drains else rest
    return {} if wanted == group.spec.draining else {"draining": wanted}


def freed_of(group: BalancerGroup, node: str, left: int) -> Progress:
    """Of a node that is to be out of its group: `left` addresses that were being given back when that was asked for
    still are. Whoever mistyped a name sees by the others' that it is another that is waited for."""
    names = ", ".join(group.spec.nodes)
    if left:
        return Progress(
            Step.REMOVED, f"{node} is waited for no more, but {names}; {count(left, 'address', 'es')} being given back"
        )
    return Progress(
        Step.RELEASED, f"{node} is waited for no more, but {names}; no address that was being given back is", True
    )


def removal_of(group: BalancerGroup, node: str, *, is_alive: bool, is_confirmed: bool) -> dict[str, tuple[str, ...]]:
    """What of the group's spec is to be changed so that nobody waits for a node any more; nothing, if nobody does.

    Raises ValueError, with the cure: a group has one node at least, and one that is alive and not emptied may still
    have clients whose addresses others would get.
    """
    if node not in group.spec.nodes:
        return {}
    if group.spec.nodes == (node,):
        raise ValueError(f"{node} is the only node of group {group.metadata.name}: name another in spec.nodes first")
    if is_alive and node not in group.spec.draining and not is_confirmed:
        raise ValueError(
            f"{node} follows the hub, so it is alive: empty it first with `fleetlb node drain {node}`, or stop its"
            f" programmer and what announces for it and write --confirm {node}"
        )
    return {"nodes": _without(node, group.spec.nodes), "draining": _without(node, group.spec.draining)}


def _without(node: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in names if each != node)


def count(number: int, word: str, plural: str = "s") -> str:
    """As people write it."""
    return f"{number} {word}" if number == 1 else f"{number} {word}{plural}"
