"""What a ledger answers: what follows from a wish, and from an engine's outcome. Values alone."""

import enum

import msgspec

from fleetlb.contracts.v1 import VirtualServerDesired, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey

KEPT_TOKEN = 0
"""No wish has it: outcomes for what is merely kept are nobody's business."""
Order = tuple[int, int]
"""Generation, then revision."""


class Apply(msgspec.Struct, frozen=True):
    """The engine must be asked for this virtual server."""

    server: VirtualServer
    token: int


class Remove(msgspec.Struct, frozen=True):
    """The engine must be asked to let go of this key."""

    key: VirtualServerKey
    token: int


class Refused(msgspec.Struct, frozen=True):
    """This node will not serve the wish; what it served under the key before stays: `kept`."""

    message: str
    kept: VirtualServer | None = None
    is_served: bool = False
    """It was served before it could be judged: the engine must go back to `kept`, or let go of the key."""


class Ignored(enum.Enum):
    """Nothing changes."""

    DUPLICATE = "duplicate"
    STALE = "stale"


Decision = Apply | Remove | Refused | Ignored


class Next(enum.Enum):
    """What follows from an outcome."""

    NOTHING = enum.auto()
    TELL = enum.auto()
    PROBE = enum.auto()


def order_of(message: VirtualServerDesired | VirtualServerRealized) -> Order:
    """What is compared to find the standing wish."""
    return message.generation, message.revision


def word_for(decision: Decision) -> str:
    """What a wish led to, for a metric."""
    match decision:
        case Apply():
            return "apply"
        case Remove():
            return "remove"
        case Refused():
            return "refusal"
        case ignored:
            return ignored.value
