"""Each step of a move by itself, and that whatever is waited for keeps it where it is."""

import itertools

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaimSpec, ClaimPhase
from fleetlb_manager.places import may_answer, next_place, seen_in
from tests.unit.fleetlb_manager.manager_world import a_claim

A, B, C = "a", "b", "c"


def a_place(group: str = A, **fields: object) -> AddressClaimSpec:
    return replace(a_claim(group=group).spec, **fields)


STILL = a_place()
TO_B = a_place(moving_to=B)
BACK = a_place(moving_to=B, moving_back=True)
FROM_A = a_place(B, moving_from=A)


@pytest.mark.parametrize(
    ("spec", "target", "standing", "is_let_go", "may_leave", "wanted"),
    [
        (STILL, A, {A}, True, True, STILL),
        (STILL, B, {A}, True, True, TO_B),
        (TO_B, B, {A}, True, True, TO_B),
        (TO_B, B, {A, B}, True, True, TO_B),
        (TO_B, B, {B, ""}, True, True, TO_B),
        (TO_B, B, {B}, True, False, TO_B),
        (TO_B, B, {B}, True, True, FROM_A),
        (FROM_A, B, {B}, False, True, FROM_A),
        (FROM_A, B, {B}, True, True, a_place(B)),
        (TO_B, A, {A}, True, True, BACK),
        (TO_B, A, {A, ""}, True, True, BACK),
        (TO_B, A, {A, B}, True, True, TO_B),
        (TO_B, A, {B}, True, True, TO_B),
        (BACK, A, {A}, False, True, BACK),
        (BACK, B, {A}, False, True, BACK),
        (BACK, A, {A}, True, True, STILL),
        (FROM_A, A, {B}, False, True, FROM_A),
        (TO_B, C, {A}, True, True, BACK),
        (TO_B, C, {B}, True, True, FROM_A),
        (replace(TO_B, phase=ClaimPhase.RELEASING), B, {B}, True, True, replace(TO_B, phase=ClaimPhase.RELEASING)),
    ],
)
def test_each_step_waits_for_what_it_needs(
    spec: AddressClaimSpec,
    target: str,
    standing: set[str],
    is_let_go: bool,
    may_leave: bool,
    wanted: AddressClaimSpec,
) -> None:
    assert next_place(spec, target, standing, is_let_go=is_let_go, may_leave=may_leave) == wanted


def test_one_group_carries_it_at_every_step_and_is_left_only_by_its_nodes_word() -> None:
    for spec, target, standing, let_go, leave in itertools.product(
        (STILL, TO_B, BACK, FROM_A), (A, B, C), ({A}, {B}, {A, B}, {A, ""}), (True, False), (True, False)
    ):
        after = next_place(spec, target, standing, is_let_go=let_go, may_leave=leave)
        assert set(spec.carriers) & set(after.carriers)
        assert set(spec.groups) <= set(after.groups) or let_go
        if after.withdrawn_from and after != spec:
            assert after.withdrawn_from not in standing


def test_of_two_groups_one_answers_on_layer_2_and_none_while_the_first_lets_go() -> None:
    answering = [[group for group in (A, B) if may_answer(spec, group)] for spec in (STILL, TO_B, BACK, FROM_A)]
    assert answering == [[A], [A], [A], []]


def test_a_claim_looks_as_if_it_were_where_its_service_stands_if_it_is_carried_there() -> None:
    moving = a_claim(group=A)
    moving = replace(moving, spec=replace(moving.spec, moving_to=B))
    assert seen_in(moving, B).spec.group == B
    assert seen_in(moving, C) is moving
    assert seen_in(replace(moving, spec=replace(moving.spec, moving_back=True)), B).spec.group == A
