"""What integrations have been told of one thing: the memory of whoever tells them, kept where it outlives him (ADR 12).

Events are the difference between two standings. While a record is `on_its_way`, those between `before` and `now` are
being told; whoever finds it so tells them again, under the same ids.
"""

import msgspec

from fleetlb.contracts.events import EventPort
from fleetlb.contracts.v1 import Message, Whole


class Standing(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a Service stands, as far as events tell of it."""

    cluster_uid: str = msgspec.field(name="clusterUID")
    namespace: str
    name: str
    held: dict[str, str] = {}
    """Address to the time when the Service got it (RFC 3339)."""
    hostname: str = ""
    ports: tuple[EventPort, ...] = ()
    pool: str = ""
    group: str = ""
    serving: bool = False
    reason: str = ""
    message: str = ""
    refusal: str = ""
    """Reason of the refusal in force."""
    refusal_message: str = ""
    backends: Whole = 0
    healthy: Whole | None = None
    gone: bool = False


class NodeStanding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a balancer node stands, as far as events tell of it."""

    engine: str = ""
    version: str = ""
    ready: bool = False
    repairs: Whole = 0
    """As the node counts them, from its start."""
    gone: bool = False


class Told(Message, frozen=True, kw_only=True):
    """The part that all records have."""

    generation: Whole
    """Fencing generation of whoever tells."""
    revision: Whole
    """Grows with every record of the subject, and is in the ids of its events."""
    at: str
    """The time of the events (RFC 3339)."""
    trace: str = ""
    """W3C trace context of the change that led there."""
    on_its_way: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Of two records of a subject the newer is greater; one that has arrived is newer than itself on its way."""
        return self.generation, self.revision * 2 + (not self.on_its_way)

    @property
    def is_over(self) -> bool:
        """Whether all has been told of something that is gone: the record has no use any more."""
        return False


class ServiceTold(Told, frozen=True, kw_only=True):
    """What was told of one Service."""

    before: Standing | None = None
    now: Standing

    @property
    def is_over(self) -> bool:
        """Whether the Service is gone, and that has been told."""
        return self.now.gone and not self.on_its_way


class NodeTold(Told, frozen=True, kw_only=True):
    """What was told of one balancer node."""

    before: NodeStanding | None = None
    now: NodeStanding

    @property
    def is_over(self) -> bool:
        """Whether the node is in its group no more, and that has been told."""
        return self.now.gone and not self.on_its_way
