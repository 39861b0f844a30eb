"""The nodes of the tenant cluster, and which of them load balancers may use (KEP-3458, NOD-1 to NOD-9).

Whether a node is Ready or cordoned does not matter. A taint of the autoscaler counts whenever the nodes are told for
another reason, and is no reason itself. Knows nothing of what a tenant may use: the hub judges addresses.
"""

import msgspec

from fleetlb.domain.addresses import parse_address
from fleetlb.domain.services import TenantNode
from fleetlb_tenant_watcher.kube_objects import Node, NodeAddress, NodeMeta

DOOMED_TAINT = "ToBeDeletedByClusterAutoscaler"
ADDRESS_TYPES = ("InternalIP", "ExternalIP")
MAX_ADDRESSES = 8
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's strconv.ParseBool takes for false; anything else, also nonsense, excludes (NOD-1)."""


class _Known(msgspec.Struct, gc=False):
    node: TenantNode
    doomed: bool


class Nodes:
    """Every node as last seen."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._known)

    def put(self, node: Node) -> bool:
        """Fold a node; whether the hub should hear of it. Heartbeats are no news (NOD-7)."""
        seen = observe_node(node)
        doomed = any(taint.key == DOOMED_TAINT for taint in node.spec.taints or ())
        known = self._known.get(seen.name)
        self._known[seen.name] = _Known(seen, doomed)
        return known is None or known.node != seen

    def drop(self, name: str) -> bool:
        """A node is gone; whether that is news."""
        return self._known.pop(name, None) is not None

    def tell(self) -> tuple[TenantNode, ...]:
        """Every node, in the order of names."""
        return tuple(
            msgspec.structs.replace(known.node, eligible=False) if known.doomed else known.node
            for _, known in sorted(self._known.items())
        )


def observe_node(node: Node) -> TenantNode:
    """Parse a node, its taints left aside."""
    addresses = node.status.addresses or ()
    return TenantNode(
        name=node.metadata.name,
        addresses=_addresses(addresses),
        eligible=node.metadata.deletion_timestamp is None and not _is_excluded(node.metadata),
    )


def _is_excluded(metadata: NodeMeta) -> bool:
    label = metadata.labels.excluded if metadata.labels else None
    return label is not None and label not in _FALSE


def _addresses(given: tuple[NodeAddress, ...]) -> tuple[str, ...]:
    """InternalIPs first, then ExternalIPs, in the order of the node; what is no address is left out."""
    found: dict[str, None] = {}
    for kind in ADDRESS_TYPES:
        for entry in given:
            if entry.type == kind:
                try:
                    found[str(parse_address(entry.address))] = None
                except ValueError:
                    continue
    return tuple(found)[:MAX_ADDRESSES]
