import msgspec

from fleetlb.domain.conditions import Status
from fleetlb_cli.tenants.listing import as_table, rows_of
from tests.unit.fleetlb_cli.tenants.acme import cluster, condition, tenant

ROWS = rows_of(
    [tenant("globex", condition(status=Status.FALSE, reason="Overlap")), tenant("acme", condition())],
    [cluster("c1"), cluster("c2", contact="2027-01-16T08:00:00Z"), cluster("c3", "initech")],
)


def test_tenants_are_shown_by_name_with_what_they_use_of_what_they_may() -> None:
    assert as_table(ROWS).splitlines() == [
        "NAME     READY            LOAD BALANCERS   ADDRESSES   CLUSTERS   LAST CONTACT",
        "acme     True             3/10             4/0         2          2027-01-16T08:00:00Z",
        "globex   False: Overlap   3/10             4/0         0          never",
    ]


def test_machines_get_the_same() -> None:
    row = msgspec.to_builtins(ROWS[0])
    assert row == {
        "name": "acme",
        "ready": "True",
        "reason": "Complete",
        "loadBalancers": {"used": 3, "limit": 10},
        "addresses": {"used": 4, "limit": 0},
        "clusters": 2,
        "lastContact": "2027-01-16T08:00:00Z",
    }


def test_without_tenants_there_is_a_head() -> None:
    assert as_table([]).startswith("NAME")
