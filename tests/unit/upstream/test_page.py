"""The generated sections of the page, and that the page has a place for each."""

import pytest

from tests.upstream import order, page
from tests.upstream.attaching import PAGE
from tests.upstream.outcomes import Outcome

FOUND = [
    Outcome("should break", "FAIL", 900.4, "a | b <c> " + "d" * 200),
    Outcome("should work", "pass", 6.0),
]
TEXT = page.section("envoy", {"Kubernetes": "v1.36.3", "nodes": "2"}, FOUND)


def test_a_section_counts_and_lists() -> None:
    assert "**1 passed, 1 failed, 0 skipped.** Kubernetes: v1.36.3; nodes: 2." in TEXT
    assert "| should work | 6 | pass |  |" in TEXT
    broken = next(line for line in TEXT.splitlines() if "should break" in line)
    assert r"a \| b &lt;c>" in broken
    assert broken.endswith("d … |")


def test_a_section_replaces_its_former_self_alone() -> None:
    other = page.section("ipvs", {}, [])
    before = f"head\n{page.section('envoy', {}, [])}\nmiddle\n{other}\ntail\n"
    assert page.replaced(before, "envoy", TEXT) == f"head\n{TEXT}\nmiddle\n{other}\ntail\n"


def test_a_page_without_its_place_stays_as_it_is() -> None:
    assert page.replaced("nothing here", "envoy", TEXT) is None


@pytest.mark.parametrize(
    "variables",
    [{}, {"PODS": "auto"}, {"ENGINE": "ipvs", "PODS": "auto"}, {"ENGINE": "ipvs", "FORWARDING": "direct"}],
)
def test_the_page_has_a_place_for_what_is_recommended(variables: dict[str, str]) -> None:
    asked = order.read({"KUBECONFIG": "/k", "E2E_TEST": "/e", "RANGE": "10.9.0.0/24"} | variables)
    pods_ask = order.read_in_cluster({"KUBECONFIG": "/k", "RANGE": "10.9.0.0/24"} | variables)
    for name in (asked.name, pods_ask.name):
        assert page.replaced(PAGE.read_text(), name, TEXT) not in (None, PAGE.read_text())


def test_a_section_is_found_whole_and_words_stay_in_their_cell() -> None:
    text = page.marked("envoy", "test-in-cluster", ["| one |", "| two |"])
    assert page.section_of(f"before\n{text}\nafter", "envoy") == text
    assert page.section_of(text, "ipvs") is None
    assert page.cell("a | b") == r"a \| b"
