"""Who announces an address, and why nobody does."""

import pytest

from fleetlb.domain.announcing import (
    ANNOUNCING_CURES,
    Cause,
    Saying,
    Telling,
    among,
    announcer,
    cause,
    telling,
    told,
    untold,
)

VIP = "192.0.2.1"


def a_saying(node: str = "node-1", **changes: object) -> Saying:
    fields: dict[str, object] = {"node": node, "carried": True, "announced": True}
    return Saying(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "node"),
    [
        ([], ""),
        ([a_saying()], "node-1"),
        ([a_saying(announced=False), a_saying("node-2")], "node-2"),
        ([a_saying(carried=False)], ""),
        ([a_saying(is_heard=False)], ""),
        ([a_saying(draining=True)], "node-1"),
        ([a_saying(at=2.0), a_saying("node-2", at=1.0)], "node-1"),
        ([a_saying(at=1.0), a_saying("node-2", at=2.0)], "node-2"),
        ([a_saying(at=2.0, is_heard=False), a_saying("node-2", at=1.0)], "node-2"),
    ],
)
def test_who_announces_carries_it_says_so_is_heard_and_said_so_last(said: list[Saying], node: str) -> None:
    found = announcer(said)
    assert (found.node if found else "") == node


WAITS = a_saying(announced=False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], Cause.NOT_CARRIED),
        ([a_saying(carried=False)], Cause.NOT_CARRIED),
        ([a_saying(is_heard=False), a_saying("node-2", carried=False)], Cause.LEASE_NOT_RENEWED),
        ([a_saying(announced=False, draining=True)], Cause.NODES_GIVE_WAY),
        ([a_saying(announced=False, draining=True), a_saying("node-2", is_heard=False)], Cause.NODES_GIVE_WAY),
        ([a_saying(announced=False, draining=True), WAITS], Cause.NOT_ANNOUNCED),
        ([WAITS], Cause.NOT_ANNOUNCED),
    ],
)
def test_why_nobody_does(said: list[Saying], expected: Cause) -> None:
    assert cause(said) is expected


def test_each_cause_names_the_address_and_has_a_cure() -> None:
    said = [Telling(node="node-1", problems=(("tor", "refused"),)), Telling(node="node-2")]
    texts = {why: told(VIP, why, ["node-1", "node-2"]) for why in Cause} | {Cause.NO_ROUTER_TOLD: untold(VIP, said)}
    assert all(VIP in text for text in texts.values())
    assert len({*texts.values()}) == len(Cause)
    assert set(ANNOUNCING_CURES) == set(Cause)
    assert all("node-1, node-2" in texts[why] for why in (Cause.LEASE_NOT_RENEWED, Cause.NOT_ANNOUNCED))


def test_another_engine_and_when_nodes_were_heard_are_said() -> None:
    assert "engine envoy announce nothing" in told(VIP, Cause.NOT_CARRIED, (), engine="envoy")
    assert "engine" not in told(VIP, Cause.NOT_CARRIED, ())
    assert "node-1, last heard 8 s ago:" in told(
        VIP, Cause.LEASE_NOT_RENEWED, ["node-1"], last_heard="last heard 8 s ago"
    )


def test_nodes_that_are_to_be_emptied_tell_routers_only_where_no_other_does() -> None:
    one, other = Telling(node="node-1", peers=("tor",), draining=True), Telling(node="node-2", peers=("tor",))
    silent = Telling(node="node-3", problems=(("tor", "refused"),))
    assert telling([one, other, silent]) == (other,)
    assert telling([one, silent]) == (one,)
    assert telling([silent]) == ()
    assert untold(VIP, []).endswith("no node has said anything")


def test_of_a_route_that_is_not_for_all_routers_the_others_do_not_count() -> None:
    said = Telling(node="node-1", peers=("a", "b"), problems=(("c", "refused"), ("d", "silent")), draining=True)
    assert among(said, ()) == said
    assert among(said, {"b", "d"}) == Telling(node="node-1", peers=("b",), problems=(("d", "silent"),), draining=True)
    assert telling([among(said, {"c"})]) == ()
    assert "node-1: c (refused)" in untold(VIP, [among(said, {"c"})])
