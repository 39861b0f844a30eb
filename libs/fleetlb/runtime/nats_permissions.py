"""What users of an account may say and hear there: a tenant's watcher, an integration, a balancer node. Pure.

The server holds them to it; how they become part of a user's JWT is `nats_accounts`.
"""

import msgspec

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import allowed_stream, announced_stream, desired_stream, events_stream, realized_stream
from fleetlb.contracts.subjects import ALL_EVENTS, LOCAL_CREDENTIALS, LOCAL_SNAPSHOT


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Subjects that a user may publish and subscribe; empty means every subject of its account."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


WATCHER_PERMISSIONS = Permissions(
    publish=("observed.>", LOCAL_SNAPSHOT, LOCAL_CREDENTIALS),
    subscribe=("reported.>", "resync.>", "renewal.>", "_INBOX.>"),
)

_EVENTS = events_stream().name
INTEGRATION_PERMISSIONS = Permissions(
    publish=(
        *(f"$JS.API.{verb}.{_EVENTS}" for verb in ("STREAM.INFO", "CONSUMER.CREATE", "CONSUMER.NAMES")),
        *(
            f"$JS.API.CONSUMER.{verb}.{_EVENTS}.>"
            for verb in ("CREATE", "DURABLE.CREATE", "INFO", "MSG.NEXT", "DELETE")
        ),
        f"$JS.ACK.{_EVENTS}.>",
        f"$JS.FC.{_EVENTS}.>",
    ),
    subscribe=(ALL_EVENTS, "_INBOX_integration.>"),
)
"""A user of the hub's account that reads events and their history, and nothing else: others' inboxes neither."""


def node_permissions(group: str, node: str) -> Permissions:
    """A user of the hub's account that is one balancer node: it reads what its group should serve and may have, and
    which of its nodes announce what, and says what it makes of it, under its own name alone."""
    read = (
        (desired_stream(group).name, subjects.desired_of(group)),
        (allowed_stream(group).name, subjects.allowed_of(group)),
        (realized_stream(group).name, subjects.realized_by(group, node)),
        (announced_stream(group).name, subjects.announced_of(group)),
        (announced_stream(group).name, subjects.instructed(group)),
    )
    names = dict.fromkeys(stream for stream, _ in read)
    return Permissions(
        publish=(
            subjects.realized_by(group, node),
            subjects.announced_by(group, node),
            *(f"$JS.API.CONSUMER.CREATE.{stream}.*.{matching}" for stream, matching in read),
            *(f"$JS.API.CONSUMER.{verb}.{stream}.*" for stream in names for verb in ("MSG.NEXT", "DELETE")),
        ),
        subscribe=(f"{subjects.node_inbox(group, node)}.>",),
    )
