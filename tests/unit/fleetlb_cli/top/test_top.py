"""The live view: what stands first, and what a terminal shows over time."""

import asyncio
import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroupStatus, BalancerNode
from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.testkit.load_balancers import a_group
from fleetlb_cli.rendering import Line, as_lines
from fleetlb_cli.status.view import FleetView
from fleetlb_cli.status.viewing import view_of
from fleetlb_cli.top.live import show_for_ever
from fleetlb_cli.top.showing import By, page_of
from tests.unit.fleetlb_cli.status.a_fleet import TENANT, a_balancer, a_sight

LARGER = replace(
    a_group("node-2", name="edge"),
    status=BalancerGroupStatus(nodes=(BalancerNode(name="node-2", ready=True, virtual_servers=9),)),
)
GLOBEX = replace(TENANT, metadata=ObjectMeta(name="globex"))
SIGHT = a_sight(
    tenants=(TENANT, GLOBEX),
    load_balancers=(a_balancer(), a_balancer(tenant="globex"), a_balancer(tenant="globex")),
    groups=(*a_sight().groups, LARGER),
    following={"default": frozenset({"node-1"}), "edge": frozenset({"node-2"})},
)


def draw(fleet: FleetView, problem: str, by: By = "tenants") -> list[Line]:
    return as_lines(page_of(fleet, by, problem), "table")


@pytest.mark.parametrize(
    ("by", "first"),
    [("tenants", ["globex", "acme"]), ("groups", ["edge", "default"]), ("nodes", ["node-2", "node-1"])],
)
def test_who_has_most_stands_first(by: By, first: list[str]) -> None:
    lines = [line.text for line in draw(view_of(SIGHT), "", by)]
    assert [line.split()[0] for line in lines[2:4]] == first
    assert lines[-1] == "2027-01-15T08:00:00Z  nothing is wrong"


def test_trouble_is_counted_and_where_to_read_of_it_said() -> None:
    (last,) = draw(view_of(a_sight(following={})), "")[-1:]
    assert last.text.endswith("wrong: 1; fleetlb status names them")


async def test_a_terminal_shows_the_newest_and_the_last_while_nothing_can_be_seen() -> None:
    answers: list[FleetView | FleetlbError | None] = [
        view_of(SIGHT),
        view_of(a_sight(following={})),
        Transient("no answer of the API server"),
        None,
    ]

    async def look() -> FleetView:
        match answers.pop(0):
            case FleetlbError() as problem:
                raise problem
            case None:
                raise asyncio.CancelledError
            case fleet:
                return fleet

    screen = Console(file=io.StringIO(), force_terminal=True, width=150, height=40, color_system=None)
    with pytest.raises(asyncio.CancelledError):
        await show_for_ever(screen, look, draw, 0)
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    at = [shown.index(text) for text in ("globex", "wrong: 1", "no answer of the API server")]
    assert at == sorted(at)
    assert shown.count("wrong: 1") >= 2, "what was seen last stays"


async def test_a_first_look_that_fails_is_no_view() -> None:
    async def look() -> FleetView:
        raise Transient("away")

    with pytest.raises(Transient):
        await show_for_ever(Console(file=io.StringIO()), look, draw, 0)
