from fleetlb.contracts.objects import PoolCounts
from fleetlb.contracts.tenants import TenantUsage
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.address_pools import SHOWN_LIMIT, AddressRange, parse_intervals
from fleetlb.domain.allocation import AddressBook, Hold
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Condition
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes
from fleetlb.domain.tenancy import Usage
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.counting import (
    group_condition,
    in_full,
    pool_conditions,
    pool_status,
    pools_condition,
    tenant_usage,
)
from fleetlb_manager.pool_attributes import PoolsTold
from fleetlb_manager.pool_holdings import PoolUse
from tests.unit.fleetlb_manager.manager_world import a_group, a_pool


def a_book(**pools: str) -> AddressBook:
    book = AddressBook()
    for name, ranges in pools.items():
        book.set_pool(AddressRange(name=name, intervals=parse_intervals(ranges.split(","))))
    return book


def test_a_pools_counts_equal_the_book() -> None:
    book = a_book(default="192.0.2.0/30,2001:db8::/32")
    book.take("192.0.2.1", "a")
    book.take("192.0.2.2", "b", Hold.QUARANTINED)
    status = pool_status(book, "default")
    assert status.ipv4 == PoolCounts(total=4, used=1, quarantined=1, free=2)
    assert status.ipv6 == PoolCounts(total=SHOWN_LIMIT, free=SHOWN_LIMIT)


def test_an_overlap_is_said() -> None:
    book = a_book(a="192.0.2.0/30", b="192.0.2.2-192.0.2.9", c="198.51.100.0/24")
    said = {name: pools_condition(name, book, 4) for name in "abc"}
    assert {name: condition.status.value for name, condition in said.items()} == {
        "a": "False",
        "b": "False",
        "c": "True",
    }
    assert "pool b" in said["a"].message
    assert said["c"].observed_generation == 4


def test_a_pool_that_is_removed_says_who_keeps_it_and_how_to_end_that() -> None:
    pool = a_pool(deleted="2026-11-25T13:00:00Z")
    (condition,) = pool_conditions(pool, a_book(), PoolUse(addresses=3, tenants=2, resting=1))
    assert (condition.type, condition.status, condition.reason) == ("Ready", "False", "Draining")
    assert "in use: 3, of 2 tenants; at rest: 1" in condition.message
    assert "another pool" in condition.message


def test_a_pool_that_excludes_all_it_has_says_so() -> None:
    book = AddressBook()
    book.set_pool(AddressRange(name="default", intervals=parse_intervals(["192.0.2.0/30"], ["192.0.2.0/24"])))
    condition = pools_condition("default", book, 1)
    assert (condition.status, condition.reason) == ("False", "Empty")


def test_what_is_excluded_for_another_pool_is_no_overlap() -> None:
    book = a_book(b="192.0.2.128/25")
    book.set_pool(AddressRange(name="a", intervals=parse_intervals(["192.0.2.0/24"], ["192.0.2.128/25"])))
    assert [pools_condition(name, book, 1).status.value for name in "ab"] == ["True", "True"]


def test_addresses_outside_a_pools_ranges_are_counted_and_some_are_named() -> None:
    book, named = a_book(default="192.0.2.0/30"), ("192.0.2.9", "192.0.2.10", "192.0.2.11")
    ready, outside = pool_conditions(a_pool(), book, PoolUse(addresses=9, tenants=1, outside=4, named=named))
    assert (ready.status, outside.status, outside.reason) == ("True", "True", "InUse")
    assert "4 (192.0.2.9, 192.0.2.10, 192.0.2.11, …)" in outside.message
    assert [c.type for c in pool_conditions(a_pool(), book, PoolUse(addresses=9))] == ["Ready"]


def test_a_group_is_ready_when_all_its_nodes_are() -> None:
    group = a_group(nodes=("n1", "n2"))
    heard = {n: NodeRealized(node=n, group="default", engine="envoy", ready=True) for n in ("n1", "n2")}
    assert group_condition(group, heard).status == "True"
    del heard["n2"]
    condition = group_condition(group, heard)
    assert (condition.status, condition.reason) == ("False", "NodesMissing")
    assert "n2" in condition.message


def test_a_group_says_what_is_wrong_with_what_it_is_to_say_by_bgp() -> None:
    peer = BgpPeer(name="tor", address="10.0.0.1", asn=65000)
    heard = {"node-1": NodeRealized(node="node-1", group="default", engine="ipvs", ready=True)}
    group = a_group(engine=EngineName.IPVS, bgp=BgpSpeaking(asn=23456, peers=(peer,)))
    condition = group_condition(group, heard)
    assert (condition.status, condition.reason) == ("False", "InvalidRouting")
    assert "asn: 23456 is reserved" in condition.message
    assert "give the number" in condition.message
    good = a_group(engine=EngineName.IPVS, bgp=BgpSpeaking(asn=65001, peers=(peer,)))
    assert group_condition(good, heard).status == "True"


def test_zeros_are_written_out() -> None:
    assert in_full(TenantUsage(addresses=2)) == {"loadBalancers": 0, "addresses": 2, "ports": 0}
    assert tenant_usage(Usage(load_balancers=1, ports=3)) == TenantUsage(load_balancers=1, ports=3)


def test_a_pool_says_which_nodes_cannot_announce_it_and_the_cure() -> None:
    pool = a_pool(announcement=Announcement.LAYER2)
    group = a_group(nodes=("n1", "n2", "n3"), engine=EngineName.IPVS)
    able = NodeRealized(node="n1", group="default", engine="ipvs", capabilities=("layer2", "tcp"))
    unable = NodeRealized(node="n2", group="default", engine="ipvs", capabilities=("tcp",))
    book = a_book(default="192.0.2.0/30")
    _, said = pool_conditions(pool, book, PoolUse(), (group, {"n1": able, "n2": unable}))
    assert (said.type, said.status, said.reason) == ("Announced", "False", "NodesCannot")
    assert "n2 of group default cannot announce by layer2" in said.message
    assert "FLEETLB_LAYER2_INTERFACES" in said.message
    _, said = pool_conditions(pool, book, PoolUse(), (group, {"n1": able}))
    assert (said.type, said.status) == ("Announced", "True")
    assert [each.type for each in pool_conditions(a_pool(), book, PoolUse(), (group, {}))] == ["Ready"]


def test_a_pool_says_what_is_wrong_with_its_attributes_and_that_they_are_not_followed() -> None:
    peer = BgpPeer(name="tor", address="10.0.0.1", asn=65000)
    group = a_group(engine=EngineName.IPVS, bgp=BgpSpeaking(asn=65001, peers=(peer,)))
    book = a_book(default="192.0.2.0/30")

    def said(
        peers: tuple[str, ...], announcement: Announcement = Announcement.BGP, *, is_told: bool = True
    ) -> Condition:
        pool = a_pool(announcement=announcement, bgp=RouteAttributes(peers=peers))
        told = PoolsTold([pool], frozenset({"default"} if is_told else ()))
        return pool_conditions(pool, book, PoolUse(), (group, {}), told)[1]

    assert (said(("tor",)).type, said(("tor",)).status) == ("Announced", "True")
    wrong = said(("rot", "tro"))
    assert (wrong.type, wrong.status, wrong.reason) == ("Announced", "False", "InvalidRouting")
    assert wrong.message.startswith("spec.bgp is not followed, what was before it is: ")
    new = said(("rot", "tro"), is_told=False)
    assert (new.status, new.reason) == ("False", "Withheld")
    assert new.message.startswith("spec.bgp is not followed, no node announces the pool until it is mended: ")
    assert "spec.bgp.peers: there is no peer 'rot'; name one of tor (1 more)" in wrong.message
    useless = said(("tor",), Announcement.NONE)
    assert (useless.status, useless.reason) == ("False", "InvalidRouting")
    assert "set spec.announcement to bgp" in useless.message
