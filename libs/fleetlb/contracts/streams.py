"""The streams of the hub account and their limits. A tenant has no JetStream API (ADR 2)."""

import msgspec

from fleetlb.contracts import subjects

MIB = 1024 * 1024


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one stream.

    `compacted` keeps the last message of each subject and nothing else, in the server's memory: whoever wrote it holds
    the truth and says it again to a server that has lost it (ADR 7). Others are kept on disk, and so is one that is
    `on_disk`: what nobody could say again.
    """

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    max_message_bytes: int
    discard_new: bool = True
    compacted: bool = True
    on_disk: bool = False
    max_age_seconds: float | None = None
    max_messages_per_subject: int | None = None
    """Of a stream that is not compacted: the oldest beyond go."""
    replicas: int = 1
    """How many servers of a cluster hold it, at least."""
    counts_on: bool = False
    """Where it is lost and made anew its sequences go on, far above those that were."""


def observed_stream(account: str) -> StreamSpec:
    """One per tenant, so that neither dedupe windows nor limits are shared between tenants."""
    return StreamSpec(
        name=f"FLEETLB_OBSERVED_{account}",
        subjects=(subjects.observed_of(account),),
        max_bytes=64 * MIB,
        max_message_bytes=MIB // 4,
    )


def desired_stream(group: str) -> StreamSpec:
    """What a group's nodes should serve. What is late there is late by its place (`fleetlb.domain.bars`), for good."""
    return StreamSpec(
        name=f"FLEETLB_DESIRED_{subjects.token(group)}",
        subjects=(subjects.desired_of(group),),
        max_bytes=1024 * MIB,
        max_message_bytes=MIB,
        counts_on=True,
    )


def allowed_stream(group: str) -> StreamSpec:
    """What each tenant may have on a group."""
    return StreamSpec(
        name=f"FLEETLB_ALLOWED_{subjects.token(group)}",
        subjects=(subjects.allowed_of(group),),
        max_bytes=64 * MIB,
        max_message_bytes=MIB,
    )


def realized_stream(group: str) -> StreamSpec:
    """What a group's nodes serve."""
    return StreamSpec(
        name=f"FLEETLB_REALIZED_{subjects.token(group)}",
        subjects=(subjects.realized_of(group),),
        max_bytes=1024 * MIB,
        max_message_bytes=MIB // 4,
    )


def announced_stream(group: str) -> StreamSpec:
    """What a group's nodes say of who announces which VIP: its one order of words is what keeps two from announcing the
    same (ADR 15). And what they must know of their group."""
    return StreamSpec(
        name=f"FLEETLB_ANNOUNCED_{subjects.token(group)}",
        subjects=(subjects.announced_of(group), subjects.instructed(group)),
        max_bytes=256 * MIB,
        max_message_bytes=MIB,
    )


PARKED_STREAM = StreamSpec(
    name="FLEETLB_PARKED",
    subjects=(f"{subjects.ROOT}.parked.>",),
    max_bytes=64 * MIB,
    max_message_bytes=MIB,
    discard_new=False,
    compacted=False,
    max_age_seconds=7 * 86400.0,
)

MARKS_STREAM = StreamSpec(
    name="FLEETLB_MARKS",
    subjects=(f"{subjects.ROOT}.marked.>",),
    max_bytes=MIB,
    max_message_bytes=MIB // 256,
    on_disk=True,
)
"""How far the management cluster's store had come: kept where a restore of that store does not reach."""

TOLD_STREAM = StreamSpec(
    name="FLEETLB_TOLD",
    subjects=(subjects.ALL_TOLD,),
    max_bytes=512 * MIB,
    max_message_bytes=MIB // 4,
    on_disk=True,
)
"""What integrations have been told: lost, all that stands is told again."""

EVENTS_DAYS = 90
EVENTS_MIB = 1024
_EVENTS_OF_A_KIND = 100_000
"""Of one tenant and type: one whose Services flap pushes out its own history first."""


def events_stream(*, days: int = EVENTS_DAYS, mib: int = EVENTS_MIB) -> StreamSpec:
    """Events for integrations: history, which ends with its age and its size."""
    return StreamSpec(
        name="FLEETLB_EVENTS",
        subjects=(subjects.ALL_EVENTS,),
        max_bytes=mib * MIB,
        max_message_bytes=MIB // 4,
        discard_new=False,
        compacted=False,
        max_age_seconds=days * 86400.0,
        max_messages_per_subject=_EVENTS_OF_A_KIND,
    )
