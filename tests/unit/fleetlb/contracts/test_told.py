from typing import Any

import msgspec

from fleetlb.contracts.told import NodeStanding, NodeTold, ServiceTold, Standing


def a_record(**changes: Any) -> ServiceTold:
    now = Standing(cluster_uid="c", namespace="shop", name="web")
    return msgspec.structs.replace(ServiceTold(generation=1, revision=5, at="", now=now), **changes)


def test_a_record_that_arrived_is_newer_than_itself_and_older_than_the_next() -> None:
    records = [
        a_record(on_its_way=True),
        a_record(),
        a_record(revision=6, on_its_way=True),
        a_record(revision=6),
        a_record(generation=2, revision=1),
    ]
    assert sorted(records, key=lambda record: record.order) == records
    assert len({record.order for record in records}) == len(records)


def test_what_is_gone_is_over_once_it_was_told() -> None:
    gone = Standing(cluster_uid="c", namespace="shop", name="web", gone=True)
    assert not a_record().is_over
    assert not a_record(now=gone, on_its_way=True).is_over
    assert a_record(now=gone).is_over
    node = NodeTold(generation=1, revision=1, at="", now=NodeStanding(gone=True))
    assert node.is_over
    assert not NodeTold(generation=1, revision=1, at="", now=NodeStanding(gone=True), on_its_way=True).is_over
