"""What counts of a node that called an address which another announces."""

import pytest

from fleetlb.domain.announcing import Saying, VipReached
from fleetlb.domain.reaching import callers, lost_ports, reached_from, unreachable

VIP, TERM = "192.0.2.1", 1_799_990_000_000_000
OWNER = Saying(node="node-1", carried=True, announced=True, since=TERM)
WELL = VipReached(node="node-1", term=TERM, ports=(80, 443))
HALF = VipReached(node="node-1", term=TERM, ports=(443,), lost=(80,))


def a_caller(found: VipReached | None = WELL, node: str = "node-2", *, is_heard: bool = True) -> Saying:
    return Saying(node=node, carried=True, is_heard=is_heard, reached=found)


def test_who_reaches_it_is_named() -> None:
    said = (OWNER, a_caller(), a_caller(HALF, "node-3"), a_caller(None, "node-4"))
    assert callers(said, OWNER) == [("node-2", WELL), ("node-3", HALF)]
    assert reached_from(said, OWNER) == ("node-2", "node-3")
    assert reached_from((OWNER, a_caller(VipReached(node="node-1", term=TERM, lost=(80,)))), OWNER) == ()


def test_a_port_is_lost_that_nobody_reaches() -> None:
    assert lost_ports((OWNER, a_caller(HALF)), OWNER) == {80: ("node-2", HALF)}
    assert lost_ports((OWNER, a_caller(HALF), a_caller(WELL, "node-3")), OWNER) == {}
    assert lost_ports((OWNER,), OWNER) == {}


@pytest.mark.parametrize(
    "caller",
    [
        a_caller(HALF, is_heard=False),
        a_caller(VipReached(node="node-1", term=TERM - 1, lost=(80,))),
        a_caller(VipReached(node="node-3", term=TERM, lost=(80,))),
        a_caller(HALF, "node-1"),
    ],
    ids=["silent", "of another time", "of another node", "of itself"],
)
def test_nothing_else_counts(caller: Saying) -> None:
    assert callers((OWNER, caller), OWNER) == []
    assert lost_ports((OWNER, caller), OWNER) == {}


def test_it_is_told_who_does_not_reach_what_at_whom() -> None:
    found = VipReached(node="node-1", term=TERM, lost=(80,), over="eth1")
    assert unreachable(VIP, 80, "node-1", "node-2", found) == (
        f"node-2 does not reach {VIP}:80 over eth1, which node-1 answers for and finds well"
    )
