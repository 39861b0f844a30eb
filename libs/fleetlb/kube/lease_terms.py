"""Who may hold a Lease: the decision alone, from what was read and how long ago it last changed.

Invariants. A generation is never used twice: every new term has a higher one than any before it, also when the Lease
was deleted or put back to an older state in between (none is below the current time in seconds, which terms would have
to outrun at more than one a second) and when the same identity comes back after a restart. Nobody compares clocks: a
Lease has expired when *we* have watched it unchanged for its duration.
Pure: no clock, no requests.
"""

import datetime
import enum
from typing import Any, NamedTuple

import msgspec

GENERATION = "fleetlb.dev/generation"
"""Annotation on the Lease: the fencing generation of the present or last term."""


UNSTATED_DURATION_SECONDS = 15
"""For a Lease whose holder did not say how long to wait."""


class LeaseMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The metadata that a decision needs."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class LeaseSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """coordination.k8s.io/v1 LeaseSpec."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A Lease as far as it is used; fields of others are kept by writing patches only."""

    metadata: LeaseMeta
    spec: LeaseSpec = LeaseSpec()

    @property
    def generation(self) -> int:
        """The generation of the present or last term; 0 if it was never written or cannot be read."""
        text = self.metadata.annotations.get(GENERATION, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0

    @property
    def version(self) -> int:
        """Of the store when the Lease was last written; 0 if it is not in the API server's form."""
        text = self.metadata.resource_version
        return int(text) if text.isascii() and text.isdecimal() else 0

    @property
    def beat(self) -> tuple[str | None, str | None, int]:
        """What its holder changes at every renewal."""
        return self.spec.holder_identity, self.spec.renew_time, self.generation


class Verb(enum.Enum):
    """What to do about a Lease."""

    CREATE = "create"
    ACQUIRE = "acquire"
    RENEW = "renew"
    RAISE = "raise"
    """Go on with the present term, under a higher generation."""
    WAIT = "wait"


class Action(NamedTuple):
    """The verb, and the generation to write with it (0 when waiting)."""

    verb: Verb
    generation: int = 0


class Past(NamedTuple):
    """This process's own history with the Lease."""

    held: int = 0
    """The generation being held now; 0: none."""
    tried: int = 0
    """The highest generation this process ever wrote or tried to write, since a write's outcome may be unknown."""
    floor: int = 0
    """The highest generation that somebody is known to have used."""


def decide_lease(
    lease: Lease | None, identity: str, past: Past, *, observed_at: float, now: float, epoch_seconds: int
) -> Action:
    """What to do about a Lease that was first seen in this state at `observed_at` on the clock that says `now`.

    `epoch_seconds`, the wall clock, is only a floor of generations.
    """
    if lease is None:
        return Action(Verb.CREATE, max(epoch_seconds, past.tried + 1, past.floor + 1))
    holder = lease.spec.holder_identity
    if holder == identity and past.held and lease.generation == past.held:
        if past.floor >= past.held:
            return Action(Verb.RAISE, next_generation(lease, past, epoch_seconds))
        return Action(Verb.RENEW, past.held)
    if not holder or _is_our_own(lease, identity, past) or _has_expired(lease, observed_at, now):
        return Action(Verb.ACQUIRE, next_generation(lease, past, epoch_seconds))
    return Action(Verb.WAIT)


def next_generation(lease: Lease, past: Past, epoch_seconds: int) -> int:
    """A generation above every one that this Lease or this process has seen, and that a lost store may have seen."""
    return max(lease.generation, past.tried, past.floor, epoch_seconds) + 1


def _is_our_own(lease: Lease, identity: str, past: Past) -> bool:
    """Left by this process or by its forerunner of the same name.

    A generation above all that we tried, once we have tried any, is a living namesake: it must expire like anybody's.
    """
    return lease.spec.holder_identity == identity and (past.tried == 0 or lease.generation <= past.tried)


def _has_expired(lease: Lease, observed_at: float, now: float) -> bool:
    return now - observed_at >= (lease.spec.lease_duration_seconds or UNSTATED_DURATION_SECONDS)


def new_lease(namespace: str, name: str, identity: str, action: Action, *, duration: int, epoch: float) -> Lease:
    """The Lease to create."""
    now = micro_time(epoch)
    return Lease(
        metadata=LeaseMeta(namespace=namespace, name=name, annotations={GENERATION: str(action.generation)}),
        spec=LeaseSpec(
            holder_identity=identity,
            lease_duration_seconds=duration,
            acquire_time=now,
            renew_time=now,
            lease_transitions=0,
        ),
    )


def term_patch(lease: Lease, identity: str, action: Action, *, duration: int, epoch: float) -> dict[str, Any]:
    """MERGE: begin, prolong or raise a term, if the Lease is still as it was read."""
    now = micro_time(epoch)
    metadata: dict[str, Any] = {"resourceVersion": lease.metadata.resource_version}
    spec: dict[str, Any] = {"holderIdentity": identity, "leaseDurationSeconds": duration, "renewTime": now}
    if action.verb is not Verb.RENEW:
        metadata["annotations"] = {GENERATION: str(action.generation)}
    if action.verb is Verb.ACQUIRE:
        spec |= {"acquireTime": now, "leaseTransitions": (lease.spec.lease_transitions or 0) + 1}
    return {"metadata": metadata, "spec": spec}


def release_patch(lease: Lease, *, epoch: float) -> dict[str, Any]:
    """MERGE: end a term at once; the generation stays, for the next holder to count on."""
    return {
        "metadata": {"resourceVersion": lease.metadata.resource_version},
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(epoch)},
    }


def micro_time(epoch: float) -> str:
    """metav1.MicroTime."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
