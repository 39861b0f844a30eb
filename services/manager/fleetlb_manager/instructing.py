"""The only writer of `instructed`: tells the nodes of a balancer group what its spec wants of them.

Which of them are to be emptied, and what all say by BGP, of single pools too, signed. It is said of every group, also
that nothing is wanted: nodes go on with what they heard last, and may have missed what took it back. What routers must
not be told is not passed on: until it is mended, what was said last stands, and a condition of the group or the pool
says why.
"""

from collections.abc import Callable
from typing import Protocol

from fleetlb.contracts import subjects
from fleetlb.contracts.v1 import GroupInstructed
from fleetlb.domain.errors import Transient
from fleetlb.runtime.bus import Ack, StreamMissing
from fleetlb_manager.balancer_groups import routing_problems
from fleetlb_manager.pool_attributes import decide_attributes
from fleetlb_manager.publishing import RAISE_SECONDS, Signer
from fleetlb_manager.workbench import Workbench


class Sayer(Protocol):
    """What is needed of a bus."""

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> Ack:
        """Put a message into its stream. Raises Transient."""


class Instructing:
    """Keeps what is said equal to the specs."""

    def __init__(
        self, bench: Workbench, bus: Sayer, *, sign: Signer, on_stream_missing: Callable[[], None] = lambda: None
    ) -> None:
        """`on_stream_missing`: a stream must be made before anything can be said."""
        self._memory = bench.memory
        self._authority = bench.authority
        self._bus = bus
        self._sign = sign
        self._on_stream_missing = on_stream_missing

    async def reconcile(self, name: str) -> None:
        """Say of one group what is not said yet. Raises Transient."""
        group = self._memory.groups.get(name)
        if group is None or not self._authority.acting or name not in self._memory.instructions.read:
            return
        known = self._memory.instructions.of(name)
        is_right = not routing_problems(group.spec)
        if known is None and not is_right:
            return  # nodes may go on with what was right before, which is not known here
        bgp = group.spec.bgp if known is None or is_right else known.bgp
        told = known.pools if known is not None else ()
        leaving = {each.pool for each in told if self._memory.claims.of_pools.of(each.pool).elsewhere}
        pools = decide_attributes(self._memory.pools.values(), name, bgp, told, leaving)
        draining = tuple(node for node in group.spec.nodes if node in group.spec.draining)
        wanted = (draining, bgp, group.spec.nodes, pools)
        is_said = known is not None and wanted == (known.draining, known.bgp, known.nodes, known.pools)
        if is_said and self._memory.instructions.stands(name):
            return
        if known is not None and known.generation > self._authority.generation:
            self._authority.rise_above(known.generation)
            raise Transient(f"{name}: generation {known.generation} stands there", retry_after=RAISE_SECONDS)
        message = GroupInstructed(
            group=name,
            generation=self._authority.generation,
            revision=self._memory.desired.next_revision(),
            nodes=group.spec.nodes,
            draining=draining,
            bgp=bgp,
            pools=pools,
        )
        self._memory.instructions.note(message)  # before it is awaited: what others say meanwhile spoils it
        try:
            await self._say(message)
        except BaseException:
            self._memory.instructions.spoil(name)
            raise

    async def _say(self, message: GroupInstructed) -> None:
        identity = f"instructed-{message.group}-{message.generation}-{message.revision}"
        try:
            await self._bus.publish(subjects.instructed(message.group), self._sign(message), message_id=identity)
        except StreamMissing:
            self._on_stream_missing()
            raise
