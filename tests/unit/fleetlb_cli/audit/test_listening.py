"""Whose watchers count as silent."""

from typing import Any

import pytest
from msgspec.structs import replace

from fleetlb.testkit.load_balancers import CLUSTER
from fleetlb_cli.audit.listening import silent_by_tenant
from fleetlb_cli.status.viewing import SILENCE_SECONDS
from tests.unit.fleetlb_cli.status.a_fleet import NOW, TENANT, a_sight

(KNOWN,) = a_sight().clusters
OTHER = replace(KNOWN, metadata=replace(KNOWN.metadata, name="cluster-2"))
OF_NOBODY = replace(OTHER, spec=replace(OTHER.spec, tenant="gone"))
SUSPENDED = replace(TENANT, spec=replace(TENANT.spec, suspended=True))


@pytest.mark.parametrize(
    ("tenants", "clusters", "heard", "silent"),
    [
        ([TENANT], [KNOWN], {CLUSTER: NOW - SILENCE_SECONDS + 1}, {"acme": 0}),
        ([TENANT], [KNOWN], {CLUSTER: NOW - SILENCE_SECONDS - 1}, {"acme": 1}),
        ([TENANT], [KNOWN], {}, {"acme": 1}),
        ([TENANT], [KNOWN, OTHER], {CLUSTER: NOW}, {"acme": 1}),
        ([TENANT], [KNOWN, OTHER], {}, {"acme": 2}),
        ([TENANT], [OF_NOBODY], {}, {"acme": 0}),
        ([TENANT], [], {}, {"acme": 0}),
        ([SUSPENDED], [KNOWN], {}, {}),
    ],
)
def test_clusters_that_were_not_heard_for_a_minute_are_counted(
    tenants: list[Any], clusters: list[Any], heard: dict[str, float], silent: dict[str, int]
) -> None:
    assert silent_by_tenant(tenants, clusters, heard, NOW) == silent
