"""What to do about a virtual server that nobody may serve any more: a pure decision, safe to repeat at any point.

Invariant (A7): PURGE is answered only when every node of the group has acknowledged the removal that stands in
`desired`; whoever frees an address waits for that. A purge in this run is remembered by the caller; after a crash the
memory of it is gone, so the tombstone is written and acknowledged once more (`proof_needed`).
"""

import enum
from collections.abc import Iterable, Mapping

from fleetlb.contracts.v1 import RealizedState
from fleetlb_manager.virtual_server_tables import Acknowledged, Published


class Step(enum.Enum):
    """The next act for one slot."""

    NOTHING = "nothing"
    TOMBSTONE = "tombstone"
    WAIT = "wait"
    PURGE = "purge"


def decide_removal(
    published: Published | None,
    acknowledged: Mapping[str, Acknowledged],
    nodes: Iterable[str] | None,
    *,
    proof_needed: bool,
) -> Step:
    """The next step of letting go.

    `nodes`: every node of the group, None if the group is not known, which is never taken for an empty one;
    `proof_needed`: somebody waits for the word of every node, even if nothing seems to be left.
    """
    if published is None:
        if proof_needed or any(said.state is not RealizedState.REMOVED for said in acknowledged.values()):
            return Step.TOMBSTONE
        return Step.PURGE if acknowledged else Step.NOTHING
    if not published.removed or _stands_above(published, acknowledged):
        return Step.TOMBSTONE
    if nodes is None or missing_nodes(published, acknowledged, nodes):
        return Step.WAIT
    return Step.PURGE


def highest_generation(published: Published | None, acknowledged: Mapping[str, Acknowledged]) -> int:
    """The highest that is known to have been used about a slot; 0: none."""
    said = max((said.generation for said in acknowledged.values()), default=0)
    return max(said, published.generation if published is not None else 0)


def _stands_above(published: Published, acknowledged: Mapping[str, Acknowledged]) -> bool:
    """Whether a node serves by a wish of a higher generation than the tombstone's, which it will not hear of."""
    served = (said for said in acknowledged.values() if said.state is not RealizedState.REMOVED)
    return any(said.generation > published.generation for said in served)


def missing_nodes(published: Published, acknowledged: Mapping[str, Acknowledged], nodes: Iterable[str]) -> list[str]:
    """Nodes that have not let go yet."""
    return [node for node in nodes if (said := acknowledged.get(node)) is None or not said.let_go_of(published)]
