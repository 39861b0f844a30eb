import pytest

from fleetlb.contracts.v1 import RealizedState
from fleetlb_manager.letting_go import Step, decide_removal, missing_nodes
from fleetlb_manager.virtual_server_tables import Acknowledged, Published

SERVED = Published(3, 7, "digest")
TOMBSTONE = Published(3, 8, "", removed=True)
GONE = Acknowledged(3, 8, RealizedState.REMOVED)
LONG_GONE = Acknowledged(3, 6, RealizedState.REMOVED)
OLD_TERM = Acknowledged(2, 99, RealizedState.REMOVED)
STILL = Acknowledged(3, 7, RealizedState.PROGRAMMED)
REFUSED = Acknowledged(3, 8, RealizedState.REJECTED)


@pytest.mark.parametrize(
    ("published", "said", "nodes", "proof", "step"),
    [
        (SERVED, {}, ["n1"], False, Step.TOMBSTONE),
        (SERVED, {"n1": GONE}, ["n1"], True, Step.TOMBSTONE),
        (None, {}, ["n1"], False, Step.NOTHING),
        (None, {}, ["n1"], True, Step.TOMBSTONE),
        (None, {"n1": STILL}, ["n1"], False, Step.TOMBSTONE),
        (None, {"n1": GONE}, ["n1"], False, Step.PURGE),
        (None, {"n1": GONE}, ["n1"], True, Step.TOMBSTONE),
        (TOMBSTONE, {}, ["n1"], True, Step.WAIT),
        (TOMBSTONE, {"n1": STILL}, ["n1"], False, Step.WAIT),
        (TOMBSTONE, {"n1": LONG_GONE}, ["n1"], False, Step.WAIT),
        (TOMBSTONE, {"n1": OLD_TERM}, ["n1"], False, Step.WAIT),
        (TOMBSTONE, {"n1": REFUSED}, ["n1"], False, Step.WAIT),
        (TOMBSTONE, {"n1": GONE}, ["n1"], True, Step.PURGE),
        (TOMBSTONE, {"n1": GONE}, ["n1", "n2"], True, Step.WAIT),
        (TOMBSTONE, {"n1": GONE, "n2": STILL}, ["n1", "n2"], True, Step.WAIT),
        (TOMBSTONE, {"n1": GONE, "n2": GONE}, ["n1", "n2"], True, Step.PURGE),
        (TOMBSTONE, {"n1": GONE, "fired": STILL}, ["n1"], True, Step.PURGE),
        (TOMBSTONE, {"n1": GONE}, None, True, Step.WAIT),
        (TOMBSTONE, {"n1": Acknowledged(4, 1, RealizedState.REMOVED)}, ["n1"], True, Step.PURGE),
    ],
)
def test_the_next_step(
    published: Published | None,
    said: dict[str, Acknowledged],
    nodes: list[str] | None,
    proof: bool,
    step: Step,
) -> None:
    assert decide_removal(published, said, nodes, proof_needed=proof) is step


def test_who_has_not_let_go_is_named() -> None:
    assert missing_nodes(TOMBSTONE, {"n1": GONE, "n2": STILL}, ["n1", "n2", "n3"]) == ["n2", "n3"]
