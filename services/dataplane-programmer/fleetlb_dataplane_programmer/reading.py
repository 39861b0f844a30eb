"""What a message says, if it can be believed: it is about what its subject names, and signed where that is asked."""

from collections.abc import Callable
from typing import TypeVar

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import GroupInstructed, TenantAllowed, VirtualServerDesired
from fleetlb.domain.errors import Poison
from fleetlb.runtime.bus import Message
from fleetlb.runtime.signing import is_signed

S = TypeVar("S", TenantAllowed, GroupInstructed)


def read_wish(message: Message) -> VirtualServerDesired:
    """The wish in a message. Raises Poison."""
    desired = codec.decode(VirtualServerDesired, message.data)
    key = subjects.parse_key_token(message.subject.rpartition(".")[2])
    if desired.key != key or (desired.server is not None and desired.server.key != key):
        raise Poison(f"it is about {str(desired.key)[:80]!r}")
    return desired


def read_allowance(message: Message, group: str, operator_key: str) -> TenantAllowed:
    """The allowance in a message for a group, signed by this key unless it is empty. Raises Poison."""
    return _vouched(TenantAllowed, message, group, operator_key, lambda said: subjects.allowed(said.group, said.tenant))


def read_instruction(message: Message, group: str, operator_key: str) -> GroupInstructed:
    """What the nodes of this group are told in a message, signed likewise. Raises Poison."""
    return _vouched(GroupInstructed, message, group, operator_key, lambda said: subjects.instructed(said.group))


def _vouched(kind: type[S], message: Message, group: str, operator_key: str, subject_of: Callable[[S], str]) -> S:
    said = codec.decode(kind, message.data)
    if operator_key and not is_signed(message.data, operator_key):
        raise Poison(f"it is not signed by the operator {operator_key}")
    try:
        subject = subject_of(said)
    except ValueError as problem:
        raise Poison(str(problem)) from None
    if subject != message.subject or said.group != group:
        raise Poison(f"it belongs on {subject[:256]!r}")
    return said
