"""Changes the spec of a BalancerGroup, of which others may change something else at the same time."""

from collections.abc import Callable, Mapping

from fleetlb.contracts.objects import BalancerGroup
from fleetlb.domain.errors import Transient
from fleetlb.kube import patching
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import Conflict
from fleetlb.kube.fleet_objects import BALANCER_GROUPS

_ATTEMPTS = 5

Edit = Callable[[BalancerGroup], Mapping[str, tuple[str, ...]]]
"""The fields of a spec that are to be other than they are. Raises ValueError."""


async def edit(cluster: Cluster, name: str, fields_of: Edit) -> BalancerGroup:
    """The group as it stands then. Raises NotFound, Transient, and what `fields_of` raises."""
    for _ in range(_ATTEMPTS):
        group = await cluster.get(BALANCER_GROUPS, name)
        fields = fields_of(group)
        if not fields:
            return group
        try:
            body = patching.merge_at(group.metadata, spec=dict(fields))
            return await cluster.patch(BALANCER_GROUPS, name, body, kind=PatchKind.MERGE)
        except Conflict:
            continue
    raise Transient(f"group {name} is changed by others all the time")
