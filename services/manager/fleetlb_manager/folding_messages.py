"""Messages of the streams, folded into memory as they arrive, and what each marks.

Synchronous; decides nothing. A tenant's message that cannot be read is parked and counted, and changes nothing else.
"""

from collections.abc import Callable

import structlog

from fleetlb.contracts import codec
from fleetlb.contracts.objects import AddressClaim
from fleetlb.contracts.v1 import (
    GroupInstructed,
    NodeRealized,
    Owner,
    TenantAllowed,
    VirtualServerDesired,
    VirtualServerRealized,
)
from fleetlb.domain.bars import is_late
from fleetlb.domain.errors import Poison
from fleetlb.domain.routing import peers_up
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.runtime.bus import Message
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb_manager.claims import is_wanted
from fleetlb_manager.identities import AllowanceKey, ServiceKey, Slot
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.observations import NodesChanged, ServiceChanged
from fleetlb_manager.parking import Parking
from fleetlb_manager.shares import live_shares, owner_at, service_of

log = structlog.get_logger(__name__)


class MessageFolding:
    """From messages to memory and marks."""

    def __init__(
        self,
        memory: Memory,
        marks: Marks,
        parking: Parking,
        monotonic: Callable[[], float],
        *,
        is_ours: Callable[[bytes], bool],
    ) -> None:
        """`marks` hears of everything that changed; `is_ours`: whether a message is signed as this manager signs."""
        self._is_ours = is_ours
        self._memory = memory
        self._marks = marks
        self._parking = parking
        self._monotonic = monotonic

    def observed(self, tenant: str, account: str, message: Message) -> None:
        """A tenant's watcher said something. Whose stream it is says who speaks."""
        try:
            said = self._memory.observations.fold(
                tenant, message.subject, message.data, self._monotonic(), message.trace
            )
        except Poison as problem:
            self._parking.put(tenant, account, message.stream_sequence, message.data, str(problem))
            return
        if isinstance(said, ServiceChanged):
            self._service_changed(said.key)
        elif isinstance(said, NodesChanged):
            self._marks.cluster(said.cluster)
        else:
            self._marks.cluster(said.cluster)

    def desired(self, group: str, message: Message) -> None:
        """The echo of what this manager, or one before it, published."""
        try:
            said = codec.decode(VirtualServerDesired, message.data)
        except Poison as problem:
            self._unreadable("desired", problem)
            return
        slot = Slot(group, said.key)
        claim = self._memory.claims.at(said.key.address)
        if not self._memory.desired.note_message(slot, said, message.stream_sequence):
            log.warning("a manager without the lease overwrote a virtual server", slot=str(slot))
            self._marks.service(_service_of(said.owner))
        bars = self._memory.allowances.bars(AllowanceKey(group, said.owner.tenant))
        if is_late(bars, said.generation, message.stream_sequence):
            self._owner_looks(slot, claim)
        if said.server is None or not is_wanted(claim, slot):
            self._marks.slot(slot)
            self._owner_looks(slot, claim)

    def allowed(self, group: str, message: Message) -> None:
        """The same about tenants. What a node would not believe is said again."""
        try:
            said = codec.decode(TenantAllowed, message.data)
        except Poison as problem:
            self._unreadable("allowed", problem)
            return
        key, is_ours = AllowanceKey(group, said.tenant), self._is_ours(message.data)
        if is_ours:
            self._memory.desired.see(said.revision)
        before = self._memory.allowances.get(key)
        if not self._memory.allowances.note_message(key, said, is_ours=is_ours):
            log.warning("somebody else said what a tenant may have", tenant=said.tenant[:64], group=group)
        if not self._memory.allowances.is_current(key):
            self._marks.allowance(key)
        if before is not None and before.bars != self._memory.allowances.bars(key):
            for service in list(self._memory.load_balancers.of_tenant(key.tenant)):
                self._marks.service(service)

    def instructed(self, group: str, message: Message) -> None:
        """The same about what a group's nodes must know of it."""
        try:
            said = codec.decode(GroupInstructed, message.data)
        except Poison as problem:
            self._unreadable("instructed", problem)
            said = None
        if said is not None and said.group == group and self._is_ours(message.data):
            self._memory.desired.see(said.revision)
            self._memory.instructions.note(said)
        else:
            log.warning("somebody else said what a group's nodes are to do", group=group)
            self._memory.instructions.spoil(group)
        self._marks.status(StatusKey("group", group))

    def realized(self, group: str, message: Message) -> None:
        """A balancer node said what it serves, or what it is."""
        try:
            if message.subject.endswith(".node"):
                self._node_realized(group, codec.decode(NodeRealized, message.data))
                return
            said = codec.decode(VirtualServerRealized, message.data)
        except Poison as problem:
            self._unreadable("realized", problem)
            return
        self._memory.desired.see(said.revision)
        slot = self._memory.realized.note(group, said, message.stream_sequence)
        published = self._memory.desired.get(slot)
        if published is None or published.removed:
            self._marks.slot(slot)
        elif said.generation > published.generation or self._is_awaited(slot):
            self._owner_looks(slot, self._memory.claims.at(said.key.address))

    def _is_awaited(self, slot: Slot) -> bool:
        """Whether an address can go on to another group, or must not, by what a node says."""
        claim = self._memory.claims.at(slot.key.address)
        return claim is not None and claim.spec.is_moving

    def _owner_looks(self, slot: Slot, claim: AddressClaim | None) -> None:
        """What stands in a slot may not be what its owner wants there."""
        if claim is not None and is_wanted(claim, slot) and (owner := owner_at(claim, slot)) is not None:
            self._marks.service(owner)

    def _service_changed(self, key: ServiceKey) -> None:
        absences = self._memory.absences.get(key.cluster_key)
        said = self._memory.observations.service(key)
        if absences is not None and said is not None and said.service is not None:
            absences.appeared(key.uid)
        if self._memory.is_orphan(key):
            self._memory.adoption.note(key, self._monotonic())
        self._marks.service(key)

    def _node_realized(self, group: str, said: NodeRealized) -> None:
        before, known = self._memory.capabilities(group), self._memory.realized.nodes(group).get(said.node)
        if not self._memory.realized.note_node(group, said):
            return
        self._marks.status(StatusKey("group", group))
        for name, pool in self._memory.pools.items():
            if pool.spec.group == group and pool.spec.announcement is not Announcement.NONE:
                self._marks.status(StatusKey("pool", name))
        if self._memory.capabilities(group) != before:
            for key in self._memory.wanting():
                self._marks.service(key)
            for address in self._memory.claims.of_pools.elsewhere():
                self._marks.claim(address)
        if known is None or peers_up(known.sessions) != peers_up(said.sessions):
            self._look_at_moving()

    def _look_at_moving(self) -> None:
        """Services whose addresses are on their way to another group look whether they may follow. O(those)."""
        found = (self._memory.claims.at(address) for address in self._memory.claims.of_pools.elsewhere())
        for claim in [claim for claim in found if claim is not None and claim.spec.is_moving]:
            for share in live_shares(claim.spec):
                self._marks.service(service_of(share.owner))

    def _unreadable(self, stream: str, problem: Poison) -> None:
        UNREADABLE.labels(stream).inc()
        log.error("a message cannot be read", stream=stream, problem=str(problem)[:256])


def _service_of(owner: Owner) -> ServiceKey:
    return ServiceKey(owner.tenant, owner.cluster_uid, owner.service_uid)
