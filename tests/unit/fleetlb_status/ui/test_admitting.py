"""Whose view a request gets, and who is turned away."""

import pytest

from fleetlb_status.ui.admitting import TurnedAway, admit, is_loopback
from fleetlb_status.ui.views import OPERATOR, View

HEADER = "X-Fleetlb-Tenant"


@pytest.mark.parametrize("host", ["127.0.0.1:8082", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8082", "127.1.2.3"])
def test_without_a_trusted_header_the_loopback_is_an_operators(host: str) -> None:
    assert admit("", ["globex"], host) == OPERATOR


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8082",
        "192.0.2.1",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "::1]",
    ],
)
def test_another_name_that_leads_here_is_turned_away(host: str) -> None:
    with pytest.raises(TurnedAway) as caught:
        admit("", [], host)
    assert (caught.value.status, caught.value.field) == (421, "Host")
    assert "127.0.0.1" in caught.value.cure


def test_the_trusted_header_says_whose_view_it_is() -> None:
    assert admit(HEADER, ["acme"], "fleet.example.org") == View("acme")
    assert admit(HEADER, ["*"], "fleet.example.org") == OPERATOR


@pytest.mark.parametrize(
    "values",
    [[], [""], ["acme", "acme"], ["*", "acme"], ["acme,globex"], ["ACME"], ["-acme"], ["a" * 64], ["acme\n"], ["**"]],
    ids=repr,
)
def test_who_is_nobody_sees_nothing(values: list[str]) -> None:
    with pytest.raises(TurnedAway) as caught:
        admit(HEADER, values, "127.0.0.1")
    assert (caught.value.status, caught.value.field) == (403, HEADER)
    assert "proxy" in caught.value.cure


def test_the_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "host")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
