import json

import msgspec

from fleetlb.contracts.tenants import Revocation
from fleetlb.domain.conditions import Reason, Refusal, Status
from fleetlb_cli.tenants.detailing import details_of
from fleetlb_cli.tenants.offering import offer_of
from fleetlb_cli.tenants.showing import as_page
from tests.unit.fleetlb_cli.tenants.acme import USER_SEED, balancer, cluster, condition, secret, tenant

REFUSED = Refusal(Reason.POOL_EXHAUSTED, "none left")
BALANCERS = [
    balancer("web", Status.TRUE, "ProbeAnswered"),
    balancer("api", Status.FALSE, "ProbeUnanswered"),
    balancer("new", None, refusal=REFUSED),
]
REVOKED = Revocation(issued_before="2027-01-15T08:00:00Z", at="2027-01-15T08:10:00Z")
ACME = details_of(
    tenant("acme", condition(message="all there"), revoked=REVOKED),
    [cluster("c2", version="\x1b[2J"), cluster("c1")],
    BALANCERS,
    offer_of(secret()),
)


def test_a_page_has_all_that_is_to_be_known_and_trouble_first() -> None:
    assert as_page(ACME).splitlines() == [
        "tenant acme",
        "  networks of nodes   10.1.0.0/16, 2001:db8::/64",
        "  networks of pods    none: served by its nodes",
        "  node ports          30000-32767",
        "  pools               gold",
        "  groups              every group",
        "  load balancers      3 of 10",
        "  addresses           4 of 0",
        "  ports               5, no limit",
        "  suspended           no",
        "  credentials         to join with: issued 2027-01-14T08:00:00Z, expire 2027-02-13T08:00:00Z,"
        " void 2027-01-15T08:10:00Z",
        "  revoked             issued before 2027-01-15T08:00:00Z: void from 2027-01-15T08:10:00Z on",
        "clusters",
        "  UID   WATCHER   SERVICES   LAST CONTACT",
        "  c1    0.1.0     7          2027-01-15T08:00:00Z",
        "  c2    ?[2J      7          2027-01-15T08:00:00Z",
        "conditions",
        "  TYPE    STATUS   REASON     MESSAGE",
        "  Ready   True     Complete   all there",
        "load balancers",
        "  SERVICE    ADDRESSES   SERVING",
        "  shop/api   192.0.2.1   False: ProbeUnanswered",
        "  shop/new   none        Unknown: PoolExhausted",
        "  shop/web   192.0.2.1   True",
    ]


def test_an_empty_tenant_has_a_page_too() -> None:
    page = as_page(details_of(tenant(suspended=True, deleted=True), [], [], None))
    assert page.startswith("tenant acme (being removed)\n")
    assert "suspended           yes: its watchers are cut from the hub" in page
    assert "credentials         none to join with" in page
    assert "revoked             nothing" in page
    assert page.endswith("clusters\n  none\nconditions\n  none\nload balancers\n  none")


def test_of_many_load_balancers_twenty_are_shown_and_the_others_counted() -> None:
    many = [balancer(f"s{n:02}", Status.TRUE) for n in range(23)]
    lines = as_page(details_of(tenant(), [], many, None)).splitlines()
    assert sum("shop/s" in line for line in lines) == 20
    assert lines[-1] == "  and 3 more: kubectl -n tenant-acme get loadbalancers"
    assert "more" not in as_page(details_of(tenant(), [], many[:20], None))


def test_no_secret_is_among_the_details() -> None:
    text = msgspec.json.encode(ACME).decode() + as_page(ACME)
    assert USER_SEED not in text
    assert secret()["data"]["nats.creds"] not in text


def test_machines_get_every_load_balancer() -> None:
    said = json.loads(msgspec.json.encode(ACME))
    assert said["nodeCIDRs"] == ["10.1.0.0/16", "2001:db8::/64"]
    assert said["ports"] == {"used": 5, "limit": None}
    assert said["credentials"]["goodUntil"] == "2027-01-15T08:10:00Z"
    assert [each["name"] for each in said["services"]] == ["api", "new", "web"]
