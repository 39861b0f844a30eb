"""What still has to be given back by a group's nodes."""

import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import ClaimPhase
from fleetlb_cli.node.removing import is_given_back_by
from tests.unit.fleetlb_manager.manager_world import a_claim

CLAIM = a_claim(group="a")


@pytest.mark.parametrize(
    ("fields", "groups"),
    [
        ({}, ()),
        ({"phase": ClaimPhase.RELEASING}, ("a",)),
        ({"moving_to": "b"}, ()),
        ({"moving_to": "b", "phase": ClaimPhase.RELEASING}, ("a", "b")),
        ({"moving_to": "b", "moving_back": True}, ("b",)),
        ({"group": "b", "moving_from": "a"}, ("a",)),
    ],
)
def test_whose_word_an_address_waits_for(fields: dict[str, object], groups: tuple[str, ...]) -> None:
    claim = replace(CLAIM, spec=replace(CLAIM.spec, **fields))
    assert tuple(group for group in ("a", "b") if is_given_back_by(claim, group)) == groups
