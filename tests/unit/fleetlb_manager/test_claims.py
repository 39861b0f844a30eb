import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import ClaimPhase, ClaimShare
from fleetlb.domain.address_pools import AddressRange, parse_intervals
from fleetlb.domain.addresses import Family
from fleetlb.domain.allocation import AddressBook
from fleetlb.domain.tenancy import Usage
from fleetlb.domain.virtual_servers import parse_key
from fleetlb_manager.claims import Claims, is_wanted, is_well_formed, owner_of
from fleetlb_manager.identities import ClusterKey, Slot
from fleetlb_manager.shares import port_texts, slots_of
from fleetlb_manager.usage import UsageLedger
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_wish


def known() -> tuple[Claims, AddressBook, UsageLedger]:
    book, usage = AddressBook(), UsageLedger()
    book.set_pool(AddressRange(name="default", intervals=parse_intervals(["192.0.2.0/29"])))
    return Claims(book, usage), book, usage


def test_a_claim_that_is_shared_is_found_by_each_of_its_owners_and_by_its_key() -> None:
    claims, book, usage = known()
    share = ClaimShare(owner=a_claim(owner=a_key("u2", cluster="cluster-2")).spec.owner, ports=("80/TCP",))
    claim = a_claim(sharing_key="k", sharers=(share,))
    assert claims.put(claim)
    assert [view.spec.ports for key in (a_key(), a_key("u2", cluster="cluster-2")) for view in claims.of(key)] == [
        ("443/TCP",),
        ("80/TCP",),
    ]
    assert claims.around(a_key("u9"), "k", ()) == {"192.0.2.1": claim}
    assert claims.around(a_key("u9", "globex"), "k", ("no address", "192.0.2.2")) == {}
    assert [*claims.owners_in(ClusterKey("acme", "cluster-2"))] == [a_key("u2", cluster="cluster-2")]
    assert usage.of("acme") == Usage(load_balancers=2, addresses=1, ports=2)
    assert [*claims.passing()] == []
    left = replace(claim, spec=replace(claim.spec, sharers=(), leaving=(share,)), metadata=a_claim(version=2).metadata)
    assert claims.put(left)
    assert [*claims.passing()] == ["192.0.2.1"]
    assert claims.drop(left)
    assert claims.around(a_key("u9"), "k", ("192.0.2.1",)) == {}
    assert [*claims.owners()] == []
    assert usage.of("acme") == Usage()
    assert book.holder("192.0.2.1") is None


def test_a_claim_is_found_by_address_owner_and_cluster() -> None:
    claims, book, usage = known()
    claim = a_claim(ports=("80/TCP", "443/TCP"))
    assert claims.put(claim)
    assert claims.at("192.0.2.1") is claim
    assert claims.of(a_key()) == (claim,)
    assert list(claims.owners_in(ClusterKey("acme", "cluster-1"))) == [a_key()] == list(claims.owners())
    assert book.holder("192.0.2.1") == str(a_key()) == str(owner_of(claim))
    assert usage.of("acme") == Usage(load_balancers=1, addresses=1, ports=2)
    assert list(claims.passing()) == []


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1"], ids=["inside", "outside"])
def test_counts_follow_the_phases_also_of_what_the_pool_does_not_hold_any_more(address: str) -> None:
    claims, book, usage = known()
    seen = []
    for version, phase in enumerate(ClaimPhase, start=1):
        claims.put(a_claim(address, phase=phase, version=version))
        counts = book.counts("default", Family.IPV4)
        assert [*claims.bound()] == ([claims.at(address)] if phase is ClaimPhase.BOUND else [])
        seen.append(
            (phase.value, counts.used, counts.quarantined, usage.of("acme").addresses, len([*claims.passing()]))
        )
    assert seen == [("Bound", 1, 0, 1, 0), ("Releasing", 1, 0, 1, 1), ("Quarantined", 0, 1, 0, 1)]
    assert claims.drop(a_claim(address, phase=ClaimPhase.QUARANTINED, version=3))
    assert book.holder(address) is None
    assert claims.of(a_key()) == ()
    assert not claims.drop(a_claim(address))
    assert len(claims) == 0


def test_a_real_claim_overrides_a_proposal() -> None:
    claims, book, _ = known()
    book.take("192.0.2.1", str(a_key("dreamer")))
    claims.put(a_claim())
    assert book.holder("192.0.2.1") == str(a_key())
    assert book.counts("default", Family.IPV4).used == 1


def test_an_old_version_changes_nothing() -> None:
    claims, _, usage = known()
    claims.put(a_claim(version=5, phase=ClaimPhase.QUARANTINED))
    assert not claims.put(a_claim(version=4))
    assert usage.of("acme") == Usage()


def test_a_claim_that_is_not_named_after_its_address_locks_nothing() -> None:
    claims, book, _ = known()
    wrong = replace(a_claim("192.0.2.1"), metadata=replace(a_claim().metadata, name="192.0.2.2"))
    assert not claims.put(wrong)
    assert book.holder("192.0.2.1") is None
    assert is_well_formed(a_claim("2001:db8::1"))
    assert not is_well_formed(replace(a_claim(), spec=replace(a_claim().spec, address="192.0.2.1/32")))


def test_ports_become_slots_and_back() -> None:
    claim = a_claim(ports=("443/TCP", "53/UDP", "x/TCP", "80/ICMP", "nonsense"))
    assert [str(slot) for slot in slots_of(claim)] == ["default/192.0.2.1:443/tcp", "default/192.0.2.1:53/udp"]
    assert port_texts(a_wish(ports=(443, 80)).ports) == ("443/TCP", "80/TCP")


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        (a_claim(), True),
        (None, False),
        (a_claim(phase=ClaimPhase.RELEASING), False),
        (a_claim(phase=ClaimPhase.QUARANTINED), False),
        (a_claim(ports=("80/TCP",)), False),
        (a_claim(ports=("443/UDP",)), False),
        (a_claim(group="other"), False),
    ],
    ids=["bound", "none", "releasing", "quarantined", "other port", "other protocol", "other group"],
)
def test_a_server_is_wanted_only_while_its_address_is_bound(claim: object, wanted: bool) -> None:
    slot = Slot("default", parse_key("192.0.2.1:443/tcp"))
    assert is_wanted(claim, slot) is wanted  # type: ignore[arg-type]


def test_a_claim_that_vanishes_while_it_is_in_use_was_not_given_up() -> None:
    claims = Claims(AddressBook(), UsageLedger())
    for phase, is_lost in ((ClaimPhase.BOUND, True), (ClaimPhase.RELEASING, False), (ClaimPhase.QUARANTINED, False)):
        claim = a_claim(phase=phase, uid=f"claim-{phase}")
        assert claims.put(claim)
        assert claims.drop(claim)
        assert claims.is_lost_by(a_key(), "192.0.2.1") is is_lost
        assert not claims.is_lost_by(a_key("other"), "192.0.2.1")
    claims.put(a_claim(uid="again"))
    claims.drop(a_claim(uid="again"))
    claims.put(a_claim(owner=a_key("other"), uid="next"))
    assert not claims.is_lost_by(a_key(), "192.0.2.1"), "somebody else has it now"
