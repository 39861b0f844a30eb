from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetlb.contracts.objects import MAX_SHARERS, AddressClaim, AddressClaimSpec, ClaimPhase, ClaimShare
from fleetlb.domain.conditions import Reason
from fleetlb_manager.identities import ServiceKey, Slot
from fleetlb_manager.shares import (
    is_served,
    judge_share,
    leaving_slots,
    left_by,
    let_go_of,
    live_shares,
    narrowed,
    owner_at,
    owners_of,
    seen_by,
    service_of,
    share_of,
    slots_of,
    widened,
    with_share,
)
from tests.unit.fleetlb_manager.manager_world import a_claim, a_key, a_wish

ONE, TWO, THREE = a_key("u1"), a_key("u2"), a_key("u3")


def want(key: ServiceKey, *ports: int) -> ClaimShare:
    return share_of(key, a_wish(key.uid, ports=ports))


def claimed(*ports: int, key: str = "k", owner: ServiceKey = ONE) -> AddressClaimSpec:
    share = want(owner, *ports)
    return replace(a_claim(owner=owner).spec, owner=share.owner, ports=share.ports, sharing_key=key)


def shared(*pairs: tuple[ServiceKey, tuple[int, ...]]) -> AddressClaimSpec:
    (first, ports), *others = pairs
    spec = claimed(*ports, owner=first)
    for key, more in others:
        assert judge_share(spec, want(key, *more), "k") is None
        spec = with_share(spec, want(key, *more), "k")
    return spec


def at(spec: AddressClaimSpec) -> AddressClaim:
    return replace(a_claim(), spec=spec)


def said(spec: AddressClaimSpec) -> str:
    """A spec as a text: owners with their ports, and who leaves."""
    texts = [f"{share.owner.service_uid}:{','.join(share.ports)}" for share in live_shares(spec)]
    texts += [f"-{share.owner.service_uid}:{','.join(share.ports)}" for share in spec.leaving]
    return " ".join(texts) + ("" if spec.phase is ClaimPhase.BOUND else f" {spec.phase}")


def test_one_joins_another_under_the_same_key() -> None:
    spec = shared((ONE, (80,)), (TWO, (443, 53)), (THREE, (22,)))
    assert said(spec) == "u1:80/TCP u2:443/TCP,53/TCP u3:22/TCP"
    assert owners_of(at(spec)) == (ONE, TWO, THREE)
    assert [str(slot) for slot in slots_of(at(spec))] == [f"default/192.0.2.1:{port}/tcp" for port in (80, 443, 53, 22)]
    assert with_share(spec, want(TWO, 443, 53), "k") == spec


@pytest.mark.parametrize(
    ("key", "ports", "sharing_key", "reason", "words"),
    [
        (THREE, (443,), "k", Reason.SHARING_CONFLICT, ["port 443/TCP of 192.0.2.1 is shop/u2's", "another port"]),
        (THREE, (22, 80), "k", Reason.SHARING_CONFLICT, ["port 80/TCP of 192.0.2.1 is shop/u1's"]),
        (THREE, (22,), "other", Reason.ADDRESS_IN_USE, ["of shop/u1 under the key 'k'", "write that"]),
        (THREE, (22,), "", Reason.ADDRESS_IN_USE, ["of shop/u1 under the key 'k'"]),
        (
            TWO,
            (443,),
            "",
            Reason.SHARING_CONFLICT,
            ["is shared with shop/u1 under the key 'k'", "write that key again"],
        ),
        (TWO, (443,), "other", Reason.SHARING_CONFLICT, ["is shared with shop/u1", "make the Service anew"]),
        (ONE, (80, 443), "k", Reason.SHARING_CONFLICT, ["port 443/TCP of 192.0.2.1 is shop/u2's"]),
        (a_key("u9", cluster="c9"), (80,), "k", Reason.SHARING_CONFLICT, ["shop/u1 of cluster cluster-1's"]),
        (a_key("u2", tenant="globex"), (22,), "k", Reason.ADDRESS_IN_USE, ["in use, or rests after its last use"]),
    ],
)
def test_what_collides_is_refused_with_the_cure(
    key: ServiceKey, ports: tuple[int, ...], sharing_key: str, reason: Reason, words: list[str]
) -> None:
    refusal = judge_share(shared((ONE, (80,)), (TWO, (443,))), want(key, *ports), sharing_key)
    assert refusal is not None
    assert refusal.reason is reason
    assert [word for word in words if word not in refusal.message] == []
    if key.tenant == "globex":
        assert [word for word in ("acme", "shop", "u1", "'k'", "80") if word in refusal.message] == []


def test_an_address_without_a_key_is_not_shared() -> None:
    refusal = judge_share(claimed(80, key=""), want(TWO, 443), "k")
    assert refusal is not None
    assert "of shop/u1 without a sharing key; ask for another address, or have both" in refusal.message
    refusal = judge_share(claimed(80, key=""), want(TWO, 443), "")
    assert refusal is not None
    assert refusal.reason is Reason.ADDRESS_IN_USE


@pytest.mark.parametrize("phase", [ClaimPhase.RELEASING, ClaimPhase.QUARANTINED])
def test_nobody_joins_what_is_released(phase: ClaimPhase) -> None:
    for key in (ONE, TWO):
        refusal = judge_share(replace(claimed(80), phase=phase), want(key, 443), "k")
        assert refusal is not None
        assert refusal.reason is Reason.ADDRESS_IN_USE


def test_no_more_join_than_an_object_holds() -> None:
    keys = [a_key(f"u{number}") for number in range(MAX_SHARERS + 2)]
    spec = shared(*((key, (1000 + number,)) for number, key in enumerate(keys[:-1])))
    refusal = judge_share(spec, want(keys[-1], 22), "k")
    assert refusal is not None
    assert "has 64 Services already" in refusal.message
    assert judge_share(spec, want(keys[5], 22), "k") is None


def test_a_key_is_changed_by_who_has_the_address_alone() -> None:
    assert judge_share(claimed(80), want(ONE, 80), "new") is None
    assert with_share(claimed(80), want(ONE, 80), "new").sharing_key == "new"
    assert with_share(claimed(80), want(ONE, 80), "").sharing_key == ""


def test_one_that_leaves_keeps_its_ports_from_others_until_they_are_let_go_of() -> None:
    spec = left_by(shared((ONE, (80,)), (TWO, (443,))), TWO)
    assert said(spec) == "u1:80/TCP -u2:443/TCP"
    refusal = judge_share(spec, want(THREE, 443), "k")
    assert refusal is not None
    assert "was shop/u2's, and not every balancer node" in refusal.message
    assert judge_share(spec, want(ONE, 80, 443), "k") is not None
    assert judge_share(spec, want(TWO, 22), "k") is not None
    (slot,) = leaving_slots(at(spec))
    assert (is_served(at(spec), slot), owner_at(at(spec), slot)) == (False, TWO)
    assert let_go_of(at(spec), set()) == spec
    assert said(let_go_of(at(spec), {slot})) == "u1:80/TCP"


def test_when_the_owner_leaves_the_next_one_is_the_owner() -> None:
    spec = left_by(shared((ONE, (80,)), (TWO, (443,)), (THREE, (22,))), ONE)
    assert said(spec) == "u2:443/TCP u3:22/TCP -u1:80/TCP"


def test_the_last_one_that_leaves_releases_the_address() -> None:
    spec = left_by(left_by(shared((ONE, (80,)), (TWO, (443,))), ONE), TWO)
    assert said(spec) == "u2:443/TCP -u1:80/TCP Releasing"
    assert [str(slot.key) for slot in slots_of(at(spec))] == ["192.0.2.1:443/tcp", "192.0.2.1:80/tcp"]
    assert left_by(spec, THREE) == spec


def test_a_port_that_is_given_up_is_remembered_where_others_may_come() -> None:
    spec = with_share(shared((ONE, (80, 81)), (TWO, (443, 444))), want(TWO, 443), "k")
    assert said(spec) == "u1:80/TCP,81/TCP u2:443/TCP -u2:444/TCP"
    spec = with_share(spec, want(ONE, 81), "k")
    assert said(spec) == "u1:81/TCP u2:443/TCP -u2:444/TCP -u1:80/TCP"
    assert said(with_share(spec, want(TWO, 444), "k")) == "u1:81/TCP u2:444/TCP -u1:80/TCP -u2:443/TCP"
    assert said(left_by(spec, TWO)) == "u1:81/TCP -u1:80/TCP -u2:444/TCP,443/TCP"
    assert said(with_share(claimed(80, 81, key=""), want(ONE, 80), "")) == "u1:80/TCP"
    assert said(with_share(claimed(80, key=""), want(ONE, 80), "k", ["81/TCP"])) == "u1:80/TCP -u1:81/TCP"


def test_a_claim_is_widened_before_an_object_is_written_and_narrowed_after_it() -> None:
    spec = shared((ONE, (80, 81)), (TWO, (443,)))
    wanted = widened(spec, want(ONE, 82, 80), "k")
    assert wanted.ports == ("82/TCP", "80/TCP", "81/TCP")
    assert widened(spec, want(THREE, 22), "k").ports == ("22/TCP",)
    assert widened(claimed(80, key=""), want(ONE, 81), "").ports == ("81/TCP",)
    wide = with_share(spec, wanted, "k")
    assert said(wide) == "u1:82/TCP,80/TCP,81/TCP u2:443/TCP"
    assert said(narrowed(wide, ONE, {"82/TCP", "80/TCP"})) == "u1:82/TCP,80/TCP u2:443/TCP -u1:81/TCP"
    assert said(narrowed(claimed(80, 81, key=""), ONE, {"80/TCP"})) == "u1:80/TCP -u1:81/TCP"
    assert narrowed(wide, ONE, {"443/TCP"}) == wide
    assert narrowed(wide, THREE, {"82/TCP"}) == wide


def test_a_claim_looks_to_each_of_its_owners_like_one_of_its_own() -> None:
    spec = left_by(shared((ONE, (80,)), (TWO, (443,)), (THREE, (22,))), THREE)
    claim = at(spec)
    views = {key: seen_by(claim, key).spec for key in owners_of(claim)}
    assert {key.uid: (service_of(view.owner), view.ports, view.phase.value) for key, view in views.items()} == {
        "u1": (ONE, ("80/TCP",), "Bound"),
        "u2": (TWO, ("443/TCP",), "Bound"),
        "u3": (THREE, ("22/TCP",), "Releasing"),
    }
    resting = replace(claim, spec=replace(spec, phase=ClaimPhase.QUARANTINED))
    assert {seen_by(resting, key).spec.phase for key in owners_of(resting)} == {ClaimPhase.QUARANTINED}
    alone = a_claim()
    assert seen_by(alone, a_key()) is alone
    with pytest.raises(ValueError, match="has nothing of"):
        seen_by(claim, a_key("u7"))


KEYS = (ONE, TWO, THREE, a_key("u1", cluster="cluster-2"), a_key("u1", tenant="globex"))
steps = st.lists(
    st.tuples(
        st.sampled_from(["want", "leave", "let go"]),
        st.sampled_from(KEYS),
        st.sets(st.integers(1, 5), min_size=1, max_size=3),
        st.sampled_from(["k", "k", "other", ""]),
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_no_port_has_two_owners_and_no_address_two_tenants(
    history: list[tuple[str, ServiceKey, set[int], str]],
) -> None:
    spec = claimed(1)
    for act, key, ports, sharing_key in history:
        before = {
            text: service_of(share.owner) for share in (*live_shares(spec), *spec.leaving) for text in share.ports
        }
        if act == "want":
            wanted = want(key, *sorted(ports))
            if judge_share(spec, wanted, sharing_key) is None:
                spec = with_share(spec, wanted, sharing_key)
        elif act == "leave" and spec.phase is ClaimPhase.BOUND:
            spec = left_by(spec, key)
        elif act == "let go":
            gone: set[Slot] = {slot for slot in leaving_slots(at(spec)) if slot.key.port in ports}
            spec = let_go_of(at(spec), gone)
            before = {text: owner for text, owner in before.items() if int(text.split("/")[0]) not in ports}
        everybody = (*live_shares(spec), *spec.leaving)
        assert max(Counter(text for share in everybody for text in share.ports).values()) == 1
        assert {share.owner.tenant for share in everybody} == {"acme"}
        assert len({service_of(share.owner) for share in live_shares(spec)}) == len(live_shares(spec))
        assert not spec.sharers or spec.sharing_key
        after = {text: service_of(share.owner) for share in everybody for text in share.ports}
        assert [text for text, owner in before.items() if text in after and after[text] != owner] == []
        if spec.sharing_key or spec.leaving:
            assert before.keys() <= after.keys() or act == "let go" or not spec.sharing_key
