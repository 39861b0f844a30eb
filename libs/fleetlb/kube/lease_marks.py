"""Whether the API server's store has gone back in time, as after a restore of an older backup: the decision alone.

A mark is how far the holder of a Lease had seen the store come; it is kept outside of the store. Only holders write
their Lease, and they write it every few seconds: a Lease whose version is below its mark is an older state of it,
however much others have written since. What was found out is written on the Lease itself, so that nobody forgets it
before an operator has accepted it. Pure: no clock, no requests.
"""

from fleetlb.contracts.v1 import StoreMarked
from fleetlb.kube.lease_terms import Lease

WENT_BACK = "fleetlb.dev/store-went-back"
"""Annotation on a Lease: a version that the store once had, and has not any more. Whoever holds it does nothing."""
ACCEPTED = "fleetlb.dev/restore-accepted"
"""Annotation on a Lease: an operator knows that the store once had this version."""


def has_gone_back(lease: Lease | None, mark: StoreMarked | None, cluster_uid: str, *, store_version: int) -> bool:
    """Whether this store is an older state of the one that the mark speaks of.

    `store_version`: of the whole store, which counts where somebody has deleted the Lease. Another cluster is another
    store, which has nothing to go back to; without a mark nothing is known.
    """
    if mark is None or mark.cluster_uid != cluster_uid:
        return False
    if lease is None:
        return store_version < mark.version
    if lease.metadata.annotations.get(ACCEPTED) == str(mark.version):
        return False
    return lease.version < mark.version


def is_known_since(mark: StoreMarked | None, generation: int) -> bool:
    """Whether what a process has seen of the future is of the past already: after it somebody went on with the store as
    it is now. `generation`: the highest of which the process knew. To be asked where the store has not gone back
    behind the mark."""
    return mark is not None and mark.generation > generation


def objection_of(lease: Lease | None) -> str:
    """Why the holder of a Lease must do nothing, and the cure; empty: nothing is in its way."""
    once = lease.metadata.annotations.get(WENT_BACK, "") if lease is not None else ""
    if not once:
        return ""
    return (
        f"the management cluster's store went back in time: it once had version {once[:20]}. Nothing is allocated or"
        " released, and what is served is served on. See what differs with `fleetlb restore show`, then accept it with"
        " `fleetlb restore accept`"
    )


def closing_patch(version: int) -> dict[str, object]:
    """MERGE: from now on the holder of this Lease does nothing."""
    return {"metadata": {"annotations": {WENT_BACK: str(version), ACCEPTED: None}}}


def opening_patch(lease: Lease) -> dict[str, object]:
    """MERGE: an operator accepts the store as it is; Conflict if the Lease has changed since it was read."""
    meta = lease.metadata
    annotations = {WENT_BACK: None, ACCEPTED: meta.annotations.get(WENT_BACK)}
    return {"metadata": {"resourceVersion": meta.resource_version, "annotations": annotations}}
