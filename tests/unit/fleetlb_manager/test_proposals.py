from fleetlb_manager.proposals import Proposals
from tests.unit.fleetlb_manager.manager_world import a_key


def test_what_is_proposed_is_known_until_it_is_settled_or_taken_back() -> None:
    proposals = Proposals()
    proposals.put(a_key("u1"), ("192.0.2.1", "2001:db8::1"), "k")
    proposals.put(a_key("u2"), ("192.0.2.2",), "")
    assert list(proposals.addresses()) == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    proposals.settle(a_key("u1"), "192.0.2.1")
    proposals.settle(a_key("u7"), "192.0.2.1")
    assert list(proposals.addresses()) == ["192.0.2.2", "2001:db8::1"]
    assert proposals.take(a_key("u1")) == ("2001:db8::1",)
    assert proposals.take(a_key("u1")) == ()
    proposals.put(a_key("u2"), (), "")
    assert list(proposals.addresses()) == []


def test_others_of_a_tenant_are_known_by_their_key() -> None:
    proposals = Proposals()
    proposals.put(a_key("u1"), ("192.0.2.1",), "k")
    assert proposals.are_under("acme", "k", beside=a_key("u2"))
    assert not proposals.are_under("acme", "k", beside=a_key("u1"))
    assert not proposals.are_under("acme", "other", beside=a_key("u2"))
    assert not proposals.are_under("globex", "k", beside=a_key("u2", tenant="globex"))
    proposals.settle(a_key("u1"), "192.0.2.1")
    assert not proposals.are_under("acme", "k", beside=a_key("u2"))
