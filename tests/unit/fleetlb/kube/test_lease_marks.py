import dataclasses

import pytest

from fleetlb.contracts.v1 import StoreMarked
from fleetlb.kube.lease_marks import ACCEPTED, WENT_BACK, closing_patch, has_gone_back, objection_of, opening_patch
from fleetlb.kube.lease_terms import Lease, LeaseMeta

HERE = "cluster-1"


def lease(version: object, **annotations: str) -> Lease:
    named = {f"fleetlb.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    return Lease(metadata=LeaseMeta(name="l", namespace="ns", resource_version=str(version), annotations=named))


def mark(version: int, cluster: str = HERE) -> StoreMarked:
    return StoreMarked(cluster_uid=cluster, version=version, generation=7)


@dataclasses.dataclass(frozen=True)
class Case:
    lease: Lease | None
    mark: StoreMarked | None
    expected: bool
    store_version: int = 10_000


CASES = {
    "as it was marked": Case(lease(100), mark(100), False),
    "written since": Case(lease(105), mark(100), False),
    "an older state": Case(lease(99), mark(100), True),
    "an older state, and others have written much since": Case(lease(99), mark(100), True, store_version=5000),
    "no mark: nothing is known": Case(lease(99), None, False),
    "no mark and no lease: the first start": Case(None, None, False, store_version=3),
    "another cluster": Case(lease(3), mark(100, "cluster-0"), False),
    "another cluster without a lease": Case(None, mark(100, "cluster-0"), False, store_version=3),
    "the lease was deleted": Case(None, mark(100), False, store_version=120),
    "an older state, from before there was a lease": Case(None, mark(100), True, store_version=20),
    "accepted": Case(lease(99, restore_accepted="100"), mark(100), False),
    "another restore was accepted": Case(lease(99, restore_accepted="80"), mark(100), True),
    "a higher one was accepted before": Case(lease(99, restore_accepted="500"), mark(100), True),
    "not the API server's form": Case(lease("x"), mark(100), True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_whether_the_store_went_back(case: Case) -> None:
    assert has_gone_back(case.lease, case.mark, HERE, store_version=case.store_version) is case.expected


def test_what_was_found_stands_on_the_lease_until_it_is_accepted() -> None:
    assert objection_of(None) == objection_of(lease(1)) == objection_of(lease(1, restore_accepted="100")) == ""
    said = objection_of(lease(1, store_went_back="100"))
    assert "version 100" in said
    assert "fleetlb restore accept" in said
    assert closing_patch(100) == {"metadata": {"annotations": {WENT_BACK: "100", ACCEPTED: None}}}
    assert opening_patch(lease(7, store_went_back="100")) == {
        "metadata": {"resourceVersion": "7", "annotations": {WENT_BACK: None, ACCEPTED: "100"}}
    }
