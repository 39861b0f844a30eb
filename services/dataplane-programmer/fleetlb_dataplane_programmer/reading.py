"""What a message says, if it can be believed: it is about what its subject names, and signed where that is asked."""

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import TenantAllowed, VirtualServerDesired
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Message
from fleetlb.runtime.signing import is_signed


def read_wish(message: Message) -> VirtualServerDesired:
    """The wish in a message. Raises Poison."""
    desired = codec.decode(VirtualServerDesired, message.data)
    key = subjects.parse_key_token(message.subject.rpartition(".")[2])
    if desired.key != key or (desired.server is not None and desired.server.key != key):
        raise Poison(f"it is about {str(desired.key)[:80]!r}")
    return desired


def read_allowance(message: Message, group: str, operator_key: str) -> TenantAllowed:
    """The allowance in a message for a group, signed by this key unless it is empty. Raises Poison."""
    said = codec.decode(TenantAllowed, message.data)
    if operator_key and not is_signed(message.data, operator_key):
        raise Poison(f"it is not signed by the operator {operator_key}")
    try:
        subject = subjects.allowed(said.group, said.tenant)
    except ValueError as problem:
        raise Poison(str(problem)) from None
    if subject != message.subject or said.group != group:
        raise Poison(f"it is about {said.tenant[:64]!r} in {said.group[:64]!r}")
    return said
