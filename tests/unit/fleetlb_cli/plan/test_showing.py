"""Plans as a terminal shows them, and as machines read them."""

import msgspec

from fleetlb.contracts.objects import PoolCounts
from fleetlb.contracts.plans import PlannedAddress, PlannedPort, PlannedService, PoolPlanAnswered, ServicePlan
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.plan.showing import page_of
from fleetlb_cli.plan.verdicts import Verdicts, not_ours, refused, verdict_on_pool, verdict_on_service
from fleetlb_cli.rendering import as_lines

ADDRESS = PlannedAddress(address="192.0.2.7", pool="public", why="it asks for this pool")
FULL = Refusal(Reason.POOL_EXHAUSTED, "no free IPv4 address in pool public: 1 of 1 taken")


def text_of(*services: ServicePlan, pools: tuple[PoolPlanAnswered, ...] = ()) -> str:
    found = Verdicts(
        services=tuple(verdict_on_service("acme/shop/web", plan) for plan in services),
        pools=tuple(verdict_on_pool("public", plan) for plan in pools),
    )
    return "\n".join(line.text for line in as_lines(page_of(found), "table"))


def test_a_service_that_would_be_granted() -> None:
    key = VirtualServerKey("192.0.2.7", 443, Protocol.TCP)
    plan = ServicePlan(
        addresses=(ADDRESS,),
        group="edge",
        nodes=("n1", "n2"),
        ports=(PlannedPort(key=key, real_servers=3),),
        notes=("odd",),
    )
    assert text_of(plan).splitlines() == [
        "Service acme/shop/web: would get 192.0.2.7",
        "  192.0.2.7           of pool public: it asks for this pool",
        "  balancer nodes      n1, n2 of group edge",
        "  192.0.2.7:443/tcp   goes to 3 real servers",
        "  note                odd",
    ]


def test_what_a_service_has_is_kept_moved_or_in_the_way() -> None:
    kept, moved = (
        ServicePlan(addresses=(ADDRESS,), before=("192.0.2.7",)),
        ServicePlan(addresses=(ADDRESS,), before=("1.1.1.1",)),
    )
    assert "would keep 192.0.2.7" in text_of(kept)
    assert "would have 192.0.2.7 instead of 1.1.1.1" in text_of(moved)
    no = text_of(ServicePlan(refusal=FULL, before=("1.1.1.1",)))
    assert "would be refused, and keep 1.1.1.1" in no
    assert "reason    PoolExhausted" in no
    assert "add addresses to the pool" in no


def test_what_steers_a_terminal_is_not_passed_on() -> None:
    assert "\x1b" not in text_of(ServicePlan(refusal=Refusal(Reason.INVALID, "\x1b[2J"), notes=("\x1b",)))


def test_a_pool_that_grows_and_one_that_shrinks() -> None:
    plan = PoolPlanAnswered(
        changes=("priority: 0 -> 10",),
        gained=("192.0.2.4-192.0.2.7",),
        lost=("192.0.2.0",),
        ipv4_before=PoolCounts(total=4, used=4),
        ipv4=PoolCounts(total=8, used=4, free=4),
        outside=6,
        outside_named=("192.0.2.0 of acme shop/web",),
        served=(PlannedService(tenant="acme", namespace="shop", name="api", addresses=("192.0.2.4",)),),
        waiting=2,
    )
    assert text_of(pools=(plan,)).splitlines() == [
        "AddressPool public: would change",
        "  ranges that come   192.0.2.4-192.0.2.7",
        "  ranges that go     192.0.2.0",
        "  field              priority: 0 -> 10",
        "  IPv4 addresses     0 free of 4 -> 4 free of 8",
        "  stay outside       6 in use, served on: 192.0.2.0 of acme shop/web, …",
        "  would be served    acme/shop/api: 192.0.2.4",
        "  would wait on      2",
    ]


def test_a_pool_that_is_new_like_this_or_cannot_be() -> None:
    new = PoolPlanAnswered(is_new=True, gained=("192.0.2.1",), ipv4=PoolCounts(total=1, free=1))
    assert text_of(pools=(new,)).splitlines()[0] == "AddressPool public: would be new"
    assert text_of(pools=(PoolPlanAnswered(),)) == "AddressPool public: is like this"
    assert "because   spec.addresses: 'x'" in text_of(pools=(PoolPlanAnswered(problem="spec.addresses: 'x'"),))


def test_whether_all_is_granted() -> None:
    good = verdict_on_service("a/b/c", ServicePlan(addresses=(ADDRESS,)))
    assert Verdicts(services=(good,), pools=(verdict_on_pool("p", PoolPlanAnswered()),)).are_granted
    assert not Verdicts(services=(good, refused("a/b/d", FULL))).are_granted
    assert not Verdicts(services=(not_ours("a/b/c", "why", "do"),)).are_granted
    assert not Verdicts(pools=(verdict_on_pool("p", PoolPlanAnswered(problem="x")),)).are_granted


def test_machines_read_the_same() -> None:
    found = Verdicts(services=(refused("acme/shop/web", FULL),), others=("Deployment web",))
    value = msgspec.json.decode("\n".join(line.text for line in as_lines(page_of(found), "json")))
    assert value["services"][0]["verdict"] == "refused"
    assert value["services"][0]["reason"] == "PoolExhausted"
    assert value["others"] == ["Deployment web"]
    assert "Deployment web: nothing is planned for it" in as_lines(page_of(found), "table")[-1].text
