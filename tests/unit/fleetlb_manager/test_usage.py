from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.tenancy import Usage
from fleetlb_manager.usage import UsageLedger
from tests.unit.fleetlb_manager.manager_world import a_key

ONE = Usage(load_balancers=1, addresses=1, ports=2)


def test_a_reservation_counts_until_the_claims_do() -> None:
    ledger = UsageLedger()
    ledger.reserve(a_key("u1"), ONE)
    assert ledger.of("acme") == ONE
    assert ledger.without(a_key("u1")) == Usage()
    assert ledger.without(a_key("u2")) == ONE
    ledger.hold(a_key("u1"), ONE)
    assert ledger.of("acme") == ONE
    ledger.settle(a_key("u1"))
    assert ledger.of("acme") == ledger.held_by(a_key("u1")) == ONE
    ledger.hold(a_key("u1"), Usage())
    assert ledger.of("acme") == Usage()


def test_a_reservation_that_is_not_claimed_is_given_back() -> None:
    ledger = UsageLedger()
    ledger.reserve(a_key("u1"), ONE)
    ledger.settle(a_key("u1"))
    assert ledger.of("acme") == Usage()


def test_the_larger_of_claim_and_reservation_counts() -> None:
    ledger = UsageLedger()
    ledger.hold(a_key("u1"), ONE)
    ledger.reserve(a_key("u1"), Usage(load_balancers=1, addresses=1, ports=5))
    assert ledger.of("acme").ports == 5
    assert ledger.of("globex") == Usage()


_amounts = st.builds(Usage, load_balancers=st.integers(0, 1), addresses=st.integers(0, 2), ports=st.integers(0, 5))
_acts = st.lists(
    st.tuples(
        st.sampled_from(["hold", "reserve", "settle"]),
        st.sampled_from([a_key("u1"), a_key("u2"), a_key("u1", "globex")]),
        _amounts,
    )
)


@given(_acts)
def test_the_sum_is_always_that_of_its_parts(acts: list[tuple[str, object, Usage]]) -> None:
    ledger = UsageLedger()
    for act, key, amount in acts:
        arguments = (key,) if act == "settle" else (key, amount)
        getattr(ledger, act)(*arguments)
    for tenant, uids in (("acme", ("u1", "u2")), ("globex", ("u1",))):
        total = ledger.of(tenant)
        rest = ledger.without(a_key(uids[0], tenant))
        others = [ledger.without(a_key(uid, tenant)) for uid in uids]
        assert total.addresses * (len(uids) - 1) == sum(other.addresses for other in others)
        assert rest.ports <= total.ports
