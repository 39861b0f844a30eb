import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec
from fleetlb.contracts.v1 import NodeRealized
from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.node.steps import Step, back_again, draining_after, freed_of, progress_of, removal_of


def a_group(*nodes: str, draining: tuple[str, ...] = ("n1",)) -> BalancerGroup:
    spec = BalancerGroupSpec(engine=EngineName.IPVS, nodes=nodes or ("n1", "n2"), draining=draining)
    return BalancerGroup(metadata=ObjectMeta(name="edge", uid="u", resource_version="1", generation=1), spec=spec)


def said(engine: str = "ipvs", **known: object) -> NodeRealized:
    return NodeRealized(node="n1", group="edge", engine=engine, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("heard", "step", "words", "is_last"),
    [
        (None, Step.ASKED, "never said anything", False),
        (said(), Step.ASKED, "not heard", False),
        (said(draining=True, announced=1), Step.HEARD, "still announces 1 VIP: the others", False),
        (said(draining=True, connections=9), Step.WITHDRAWN, "9 connections left", False),
        (said(draining=True), Step.WITHDRAWN, "being counted", False),
        (said("envoy", draining=True), Step.WITHDRAWN, "does not count", True),
        (said(draining=True, connections=0), Step.EMPTY, "no connection is left", True),
    ],
)
def test_each_step_says_what_it_waits_for(heard: NodeRealized | None, step: Step, words: str, is_last: bool) -> None:
    progress = progress_of(a_group(), "n1", heard)
    assert (progress.step, progress.is_last) == (step, is_last)
    assert words in progress.text


def test_who_is_alone_is_told_that_nobody_can_take_over() -> None:
    text = progress_of(a_group("n1"), "n1", said(draining=True, announced=3)).text
    assert text == "n1 still announces 3 VIPs: no node of group edge is left to"


def test_a_node_is_named_once_and_taken_out_again() -> None:
    assert draining_after(a_group(draining=("n2",)), "n1", drains=True) == {"draining": ("n2", "n1")}
    assert draining_after(a_group(), "n1", drains=True) == {}
    assert draining_after(a_group(draining=("n2", "n1")), "n1", drains=False) == {"draining": ("n2",)}


def test_a_node_of_another_group_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="n9 is no node of group edge: it has n1, n2"):
        draining_after(a_group(), "n9", drains=True)


def test_it_is_back_once_it_says_so() -> None:
    assert not back_again("n1", None).is_last
    assert not back_again("n1", said(draining=True)).is_last
    assert back_again("n1", said()).is_last


@pytest.mark.parametrize(
    ("is_alive", "is_confirmed", "draining"), [(False, False, ()), (True, True, ()), (True, False, ("n1",))]
)
def test_a_dead_an_emptied_and_a_confirmed_node_is_taken_out(
    is_alive: bool, is_confirmed: bool, draining: tuple[str, ...]
) -> None:
    group = a_group("n1", "n2", "n3", draining=(*draining, "n3"))
    fields = removal_of(group, "n1", is_alive=is_alive, is_confirmed=is_confirmed)
    assert fields == {"nodes": ("n2", "n3"), "draining": ("n3",)}


def test_a_node_that_is_alive_is_not_taken_out_by_mistake() -> None:
    with pytest.raises(ValueError, match=r"n1 follows the hub, so it is alive: .* write --confirm n1"):
        removal_of(a_group(draining=()), "n1", is_alive=True, is_confirmed=False)


def test_a_group_keeps_its_last_node() -> None:
    with pytest.raises(ValueError, match="n1 is the only node of group edge"):
        removal_of(a_group("n1"), "n1", is_alive=False, is_confirmed=True)


def test_a_node_that_is_out_is_only_waited_for() -> None:
    assert removal_of(a_group("n2"), "n1", is_alive=True, is_confirmed=False) == {}
    group = a_group("n2", "n3")
    assert freed_of(group, "n1", 1).text == "n1 is waited for no more, but n2, n3; 1 address being given back"
    assert "2 addresses" in freed_of(group, "n1", 2).text
    assert [freed_of(group, "n1", left).is_last for left in (2, 0)] == [False, True]
