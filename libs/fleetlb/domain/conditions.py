"""What a tenant is told: condition types, reason codes, refusals. One table for log, metric, Event and `kubectl`.

The types and reasons follow KEP-4631, which is unmerged: its names stand here and nowhere else.
"""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from fleetlb.domain.traces import unmarked

PROVISIONED = "fleetlb.dev/Provisioned"
SERVING = "fleetlb.dev/Serving"
READY = "Ready"
REMOVED = "Removed"
"""Of a Tenant that is deleted: False, and what it waits for; one that is removed says nothing any more."""
ADDRESSES_OUTSIDE = "AddressesOutside"
"""Of an AddressPool: addresses are in use that it would not give out any more, as its ranges lost or exclude them."""

MOVED = "Moved"
"""Of an AddressPool: False while another group than it names carries addresses of it, alone or beside that one."""

ANNOUNCED = "Announced"
"""Of an AddressPool that asks for it: whether every node of its group can make its addresses known to the network."""
WITHHELD = "Withheld"
"""Reason of that: its attributes were never right, and no node announces it before they are."""


class Reason(enum.StrEnum):
    """Stable codes; texts beside them are free."""

    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    SERVING = "ProbeAnswered"
    UNSUPPORTED = "Unsupported"
    INVALID = "InvalidWish"
    ANNOTATION_NOT_ALLOWED = "AnnotationNotAllowed"
    POOL_EXHAUSTED = "PoolExhausted"
    QUOTA_EXCEEDED = "QuotaExceeded"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    SHARING_CONFLICT = "SharingConflict"
    BACKEND_NOT_ALLOWED = "BackendNotAllowed"
    NO_ELIGIBLE_NODE = "NoEligibleNode"
    NO_READY_BACKEND = "NoReadyBackend"
    NO_NODE_PORT = "NoNodePort"
    DATAPLANE_REJECTED = "DataplaneRejected"
    PROBE_UNANSWERED = "ProbeUnanswered"
    NOT_ANNOUNCED = "NotAnnounced"
    NOT_REACHABLE = "NotReachable"
    HUB_UNREACHABLE = "HubUnreachable"
    RELEASE_PENDING = "ReleasePending"
    TENANT_NOT_READY = "TenantNotReady"
    OVERLAP = "Overlap"


WAITING_REASONS = frozenset(
    {Reason.POOL_EXHAUSTED, Reason.QUOTA_EXCEEDED, Reason.ADDRESS_IN_USE, Reason.SHARING_CONFLICT}
)
"""Refusals that end by themselves when somebody else gives something back."""


class Status(enum.StrEnum):
    """A condition's status, as in metav1.Condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """A "no" as a value: it reaches log, metric, condition and Event unchanged."""

    reason: Reason
    message: str


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """metav1.Condition. `observed_generation` stays 0 on a tenant's Service, which has no generation."""

    type: str
    status: Status
    reason: str
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


def transition(previous: Iterable[Condition], wanted: Condition, now: str) -> Condition:
    """`wanted` with the time of its last change of status: kept from `previous` unless the status flips (STA-11)."""
    since = next((c.last_transition_time for c in previous if c.type == wanted.type and c.status == wanted.status), "")
    return msgspec.structs.replace(wanted, last_transition_time=since or now)


def all_say_the_same(some: Sequence[Condition], others: Sequence[Condition]) -> bool:
    """Whether two lists of conditions tell a reader the same, in the same order."""
    return len(some) == len(others) and all(map(says_the_same, some, others))


def says_the_same(one: Condition, other: Condition) -> bool:
    """Whether two conditions tell a reader the same, whenever they were written and whichever change led to them."""
    return (one.type, one.status, one.reason, one.observed_generation, unmarked(one.message)) == (
        other.type,
        other.status,
        other.reason,
        other.observed_generation,
        unmarked(other.message),
    )
