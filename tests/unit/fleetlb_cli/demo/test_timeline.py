"""Times of hops become milliseconds between them."""

from fleetlb.contracts.v1 import Hop
from fleetlb_cli.demo.timeline import milliseconds_per_hop


def test_each_figure_is_the_time_since_the_hop_before() -> None:
    hops = (Hop("watch", 3_000), Hop("publish", 4_500), Hop("report", 9_500))
    assert milliseconds_per_hop(1_000, hops, 12_000) == {"watch": 2.0, "publish": 1.5, "report": 5.0, "patch": 2.5}


def test_without_hops_everything_is_in_the_last() -> None:
    assert milliseconds_per_hop(0, (), 7_000) == {"patch": 7.0}


def test_the_order_of_the_messages_does_not_matter() -> None:
    hops = (Hop("report", 9_000), Hop("watch", 1_000))
    assert list(milliseconds_per_hop(0, hops, 10_000)) == ["watch", "report", "patch"]
