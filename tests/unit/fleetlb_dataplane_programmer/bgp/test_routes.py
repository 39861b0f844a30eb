"""Which routes are announced, as VIPs are asked for, given up, and found left over."""

from collections.abc import Callable

import pytest

from fleetlb.domain.routing import RouteAttributes
from fleetlb_dataplane_programmer.bgp.configuring import Leftover, Route, host_route, line_of
from fleetlb_dataplane_programmer.bgp.routes import RouteOf, Routes

NONE = RouteAttributes()
A, B = "10.77.0.1", "10.77.0.2"
POOL = "10.77.0.0/16"


def left(*networks: str, is_leaving: bool = False) -> Leftover:
    return Leftover({network: line_of(Route(network), NONE) for network in networks}, is_leaving)


def made(leftover: Leftover | None = None, route_of: RouteOf = host_route) -> Routes:
    return Routes(route_of, leftover or left())


def test_vips_come_and_go() -> None:
    routes = made()
    routes.add(A, NONE)
    routes.add("fd77::1", NONE)
    assert set(routes.lines(NONE)) == {f"{A}/32", "fd77::1/128"}
    routes.remove(A)
    routes.remove(A)
    assert set(routes.lines(NONE)) == {"fd77::1/128"}


def test_the_version_grows_with_what_changes_something() -> None:
    routes = made(left(f"{B}/32"))
    changes: list[tuple[Callable[[], None], bool]] = [
        (lambda: routes.add(A, NONE), True),
        (lambda: routes.add(A, NONE), False),
        (lambda: routes.remove(A), True),
        (lambda: routes.remove(A), False),
        (lambda: routes.remove("fd77::1"), False),
        (lambda: routes.leave(False), False),
        (lambda: routes.leave(True), True),
        (lambda: routes.leave(True), False),
        (routes.complete, True),
        (routes.complete, False),
    ]
    for number, (change, is_one) in enumerate(changes):
        before = routes.version
        change()
        assert (routes.version > before) is is_one, number


def test_what_was_left_stays_as_it_is_until_all_is_known() -> None:
    old = Leftover(
        {f"{A}/32": line_of(Route(f"{A}/32", RouteAttributes(local_preference=5)), NONE), POOL: left(POOL).lines[POOL]}
    )
    routes = made(old)
    assert routes.lines(NONE) == old.lines
    routes.add(A, NONE)
    assert "local_pref" not in routes.lines(NONE)[f"{A}/32"].text, "it is asked for, and as it is now"
    routes.complete()
    assert set(routes.lines(NONE)) == {f"{A}/32"}


def test_attributes_of_a_vip_count_from_when_they_change_and_what_was_made_before_is_forgotten() -> None:
    carried = RouteAttributes(local_preference=1)
    routes = made(route_of=lambda address: host_route(address)._replace(attributes=carried))
    routes.add(A, NONE)
    for preference in range(5):
        carried = RouteAttributes(local_preference=preference)
        assert f"bgp_local_pref = {preference};" in routes.lines(NONE)[f"{A}/32"].text
    assert len(routes._cache) == 1


def test_what_was_left_goes_when_it_is_withdrawn() -> None:
    routes = made(left(f"{A}/32", f"{B}/32"))
    routes.remove(A)
    assert set(routes.lines(NONE)) == {f"{B}/32"}


def test_the_route_of_a_pool_that_was_left_stays_though_one_vip_goes() -> None:
    routes = made(left(POOL), route_of=lambda _: Route(POOL))
    routes.add(A, NONE)
    routes.remove(A)
    assert set(routes.lines(NONE)) == {POOL}
    routes.complete()
    assert routes.lines(NONE) == {}


def test_vips_of_one_network_have_one_route_with_the_attributes_of_the_first() -> None:
    preference = {A: 1, B: 2}
    routes = made(route_of=lambda vip: Route(POOL, RouteAttributes(local_preference=preference[vip])))
    for vip in (B, A):
        routes.add(vip, NONE)
    [line] = routes.lines(NONE).values()
    assert "bgp_local_pref = 1;" in line.text
    routes.remove(A)
    [line] = routes.lines(NONE).values()
    assert "bgp_local_pref = 2;" in line.text


def test_a_network_has_one_name_however_it_is_spelled() -> None:
    routes = made(route_of=Route)
    for spelled in (A, "FD77:0::1"):
        routes.add(spelled, NONE)
    assert set(routes.lines(NONE)) == {f"{A}/32", "fd77::1/128"}


def test_nonsense_of_one_leaves_it_as_it_was_and_the_others_alone() -> None:
    said = {A: Route(f"{A}/32"), B: Route(f"{B}/32")}
    routes = made(route_of=said.__getitem__)
    for vip in (A, B):
        routes.add(vip, NONE)
    said.update({A: Route("nonsense"), B: Route(f"{B}/32", RouteAttributes(local_preference=1))})
    lines = routes.lines(NONE)
    assert lines[f"{A}/32"].text == f"  route {A}/32 blackhole;"
    assert "local_pref" in lines[f"{B}/32"].text
    with pytest.raises(ValueError, match="nonsense"):
        made(route_of=said.__getitem__).add(A, NONE)


def test_what_the_group_says_of_all_may_change() -> None:
    routes = made()
    routes.add(A, NONE)
    assert "(1, 2)" in routes.lines(RouteAttributes(communities=("1:2",)))[f"{A}/32"].text
    assert "(1, 2)" not in routes.lines(NONE)[f"{A}/32"].text


@pytest.mark.parametrize("asked", [True, False])
def test_a_node_that_was_leaving_leaves_until_it_is_told_otherwise_or_all_is_known(asked: bool) -> None:
    routes = made(left(is_leaving=True))
    assert routes.is_leaving
    if asked:
        routes.leave(False)
    else:
        routes.complete()
    assert not routes.is_leaving
    routes.leave(True)
    routes.complete()
    assert routes.is_leaving
