"""The nodes of the tenant cluster, and which of them load balancers may use (KEP-3458, NOD-1 to NOD-10).

Whether a node is Ready or cordoned does not matter: health is checked where connections come from. A taint of the
autoscaler is no reason to tell the hub: it is told with whatever is news next, of nodes or of a Service's wish. Once it
was told, that it is gone is a reason, or the node would stay out. A node's providerID is not read: a backend is an
address, and a node that is made anew under its name is followed by that. Knows nothing of what a tenant may use: the
hub judges addresses.
"""

import enum
from collections.abc import Iterable

import msgspec

from fleetlb.domain.addresses import Family, family_of, parse_address
from fleetlb.domain.services import TenantNode
from fleetlb_tenant_watcher.kube_objects import Node, NodeAddress, NodeMeta

DOOMED_TAINT = "ToBeDeletedByClusterAutoscaler"


class AddressType(enum.StrEnum):
    """Which of a node's addresses are addresses at all, as in its `status.addresses[].type`."""

    INTERNAL = "InternalIP"
    EXTERNAL = "ExternalIP"


ADDRESS_TYPES = (AddressType.INTERNAL, AddressType.EXTERNAL)
MAX_ADDRESSES = 8
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's strconv.ParseBool takes for false; anything else, also nonsense, excludes (NOD-1)."""


class _Known(msgspec.Struct, gc=False):
    node: TenantNode
    doomed: bool
    told_doomed: bool = False


class Nodes:
    """Every node as last seen."""

    def __init__(self, address_types: Iterable[AddressType] = ADDRESS_TYPES) -> None:
        """`address_types`: which addresses are told, the preferred ones first."""
        self._address_types = tuple(address_types)
        self._known: dict[str, _Known] = {}
        self._held_back: set[str] = set()

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._known)

    @property
    def holds_back(self) -> bool:
        """Whether a taint is known that goes with whatever is news next."""
        return bool(self._held_back)

    def put(self, node: Node) -> bool:
        """Fold a node; whether the hub should hear of it. Heartbeats are no news (NOD-7)."""
        seen = observe_node(node, self._address_types)
        doomed = any(taint.key == DOOMED_TAINT for taint in node.spec.taints or ())
        known = self._known.get(seen.name)
        told_doomed = known is not None and known.told_doomed
        self._known[seen.name] = _Known(seen, doomed, told_doomed)
        self._held_back.discard(seen.name)
        if doomed and not told_doomed:
            self._held_back.add(seen.name)
        return known is None or known.node != seen or (told_doomed and not doomed)

    def drop(self, name: str) -> bool:
        """A node is gone; whether that is news."""
        self._held_back.discard(name)
        return self._known.pop(name, None) is not None

    def tell(self) -> tuple[TenantNode, ...]:
        """Every node, in the order of names, for the hub to be told."""
        self._held_back.clear()
        told: list[TenantNode] = []
        for _, known in sorted(self._known.items()):
            known.told_doomed = known.doomed
            told.append(msgspec.structs.replace(known.node, eligible=False) if known.doomed else known.node)
        return tuple(told)


def observe_node(node: Node, address_types: Iterable[AddressType] = ADDRESS_TYPES) -> TenantNode:
    """Parse a node, its taints left aside."""
    addresses = node.status.addresses or ()
    return TenantNode(
        name=node.metadata.name,
        addresses=_addresses(addresses, address_types),
        eligible=node.metadata.deletion_timestamp is None and not _is_excluded(node.metadata),
    )


def _is_excluded(metadata: NodeMeta) -> bool:
    label = metadata.labels.excluded if metadata.labels else None
    return label is not None and label not in _FALSE


def _addresses(given: tuple[NodeAddress, ...], address_types: Iterable[AddressType]) -> tuple[str, ...]:
    """By the order of the types, then by that of the node; what is no address is left out.

    The hub takes the first that the tenant may use, for each family by itself: so the types fall back on one another
    where a node has none of a type in a family.
    """
    found: dict[str, None] = {}
    for kind in address_types:
        for entry in given:
            if entry.type == kind:
                try:
                    found[str(parse_address(entry.address))] = None
                except ValueError:
                    continue
    return _few(tuple(found))


def _few(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """No more than a message takes: of the family that has many, the last go first."""
    if len(addresses) <= MAX_ADDRESSES:
        return addresses
    by_family = [[address for address in addresses if family_of(address) is family] for family in Family]
    shorter = min(MAX_ADDRESSES // 2, *(len(part) for part in by_family))
    kept = {address for part in by_family for address in part[: MAX_ADDRESSES - shorter]}
    return tuple(address for address in addresses if address in kept)
