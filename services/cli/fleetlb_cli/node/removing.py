"""Takes a node out of its group for good, and tells when what waited for it has been given back.

Begun anew after whatever interrupted it, it goes on where the group is.
"""

from fleetlb.contracts.objects import AddressClaim, BalancerGroup, ClaimPhase
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_CLAIMS, BALANCER_GROUPS
from fleetlb_cli.answering import answer
from fleetlb_cli.following import following_nodes
from fleetlb_cli.node.editing import edit
from fleetlb_cli.node.steps import Progress, freed_of, removal_of
from fleetlb_cli.node.telling import tell_steps
from fleetlb_cli.reaching import Target, connected
from fleetlb_cli.whereabouts import USAGE, Whereabouts, complain

NAME = "fleetlb-node"


def run(node: str, group: str, where: Whereabouts, *, is_confirmed: bool, timeout: float) -> int:
    """Returns the exit code."""

    async def work(target: Target) -> int:
        async with connected(target, NAME) as (cluster, bus):
            try:
                alive = await following_nodes(bus, await cluster.get(BALANCER_GROUPS, group))
                changed = await edit(
                    cluster,
                    group,
                    lambda seen: removal_of(seen, node, is_alive=node in alive, is_confirmed=is_confirmed),
                )
            except (NotFound, ValueError) as problem:
                return complain(str(problem), USAGE)
            return await _tell(cluster, changed, node, timeout)

    return answer(where, NAME, work)


async def _tell(cluster: Cluster, group: BalancerGroup, node: str, timeout: float) -> int:
    name = group.metadata.name
    waited_for = await _given_back(cluster, name)

    async def look() -> Progress:
        nonlocal waited_for
        waited_for &= await _given_back(cluster, name)
        return freed_of(group, node, len(waited_for))

    return await tell_steps(look, timeout)


async def _given_back(cluster: Cluster, group: str) -> set[str]:
    """Addresses of which nodes still have to let go."""
    return {claim.spec.address for claim in await cluster.list(ADDRESS_CLAIMS) if is_given_back_by(claim, group)}


def is_given_back_by(claim: AddressClaim, group: str) -> bool:
    """Whether an address waits for the word of a group's nodes that they let go of it: released, left, or moved."""
    is_leaving = claim.spec.phase is ClaimPhase.RELEASING or bool(claim.spec.leaving)
    return claim.spec.withdrawn_from == group or (group in claim.spec.groups and is_leaving)
