"""The words of the engine port, which end in logs and messages."""

from fleetlb_dataplane_programmer.engine import Outcome, State


def test_outcomes_compare_by_value() -> None:
    assert Outcome(state=State.REMOVED, token=3) == Outcome(state=State.REMOVED, token=3, message="")
    assert [state.value for state in State] == ["programmed", "removed", "rejected"]
