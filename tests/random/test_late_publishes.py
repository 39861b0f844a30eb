"""Histories told by hand: a manager is stopped in the middle of a run, and goes on when another one has let go of all
that it was about, before a node that came since."""

import pytest

from tests.random.fleet import FOREVER
from tests.random.machine import History

ACME = 0
LATE_BY = range(1, 16)
"""Before which of its calls the manager is stopped."""


@pytest.mark.parametrize("warm", [True, False])
def test_a_late_publish_brings_nothing_back_on_a_node_that_came_since(warm: bool) -> None:
    late = 0
    for calls in LATE_BY:
        history = _stopped_after(calls)
        _is_let_go_of(history, warm=warm)
        history.replace_node(0)
        late += _wake_up(history)
        history.teardown()
    assert late


@pytest.mark.parametrize("is_read_at_once", [True, False])
def test_nor_do_lost_streams(is_read_at_once: bool) -> None:
    """Nodes that know of nothing wait until somebody vouches for a tenant, and then begin nothing of earlier terms."""
    woken = 0
    for calls in LATE_BY:
        history = _stopped_after(calls)
        _is_let_go_of(history, warm=True)
        history.replace_node(0)
        history.pace = 0
        history.wipe_bus(all_speak=False, only="")
        history.lag(False, not is_read_at_once)
        woken += bool(history.stale[0].driver.held)
        _wake_up(history)
        history.pace = 1
        for _ in range(20):
            history._go(1)
            assert not _served_of_acme(history)
        history.teardown()
    assert woken


def test_what_stands_from_earlier_terms_is_served_by_a_node_that_came_since() -> None:
    history = History()
    history.begin(seed=1, rest=0, nodes=1)
    history.change_pool(1, 0)
    history.create(ACME, 0)
    history.take_over(True)
    history.delete(ACME, 0)
    assert _bars(history), "nothing was let go of"
    published = [effect for effect in history.kept.effects if effect.startswith("publish fleetlb.v1.desired")]
    history.replace_node(0)
    assert len(_served_of_acme(history)) == 1
    assert published == [effect for effect in history.kept.effects if effect.startswith("publish fleetlb.v1.desired")]
    history.teardown()


def test_what_is_late_since_a_stream_was_lost_is_said_again() -> None:
    history = History()
    history.begin(seed=1, rest=0, nodes=1)
    history.take_over(True)
    history.wipe_bus(all_speak=True, only="allowed")
    assert set(_bars(history)) == {history.process.generation}
    history.replace_node(0)
    assert len(_served_of_acme(history)) == 1
    history.teardown()


def _stopped_after(calls: int) -> History:
    """A Service comes, and its manager is stopped before one of the calls that follow; another takes over."""
    history = History()
    history.begin(seed=calls, rest=0, nodes=1)
    history.change_pool(1, 0)
    history.process.gate.stop_in = calls
    history.create(ACME, 1)
    return history


def _is_let_go_of(history: History, *, warm: bool) -> None:
    history.take_over(warm)
    for _ in range(2):
        history.delete(ACME, 0)
    for _ in range(4):
        history.wait(61.0)
    assert not [claim for claim in history.kept.claims.values() if claim.spec.owner.tenant == "acme"]


def _wake_up(history: History) -> int:
    """Whoever was stopped goes on, and the nodes hear of it before the manager that acts. How many found it late."""
    history.pace = 0
    while any(process.driver.held for process in history.stale):
        history.wake_stale(0)
        assert not _served_of_acme(history)
    history.pace = FOREVER
    return sum(node.late for node in history.promises.nodes.values())


def _served_of_acme(history: History) -> list[str]:
    nodes = history.promises.nodes.values()
    return [str(key) for node in nodes for key, wish in node.serving.items() if wish.owner.tenant == "acme"]


def _bars(history: History) -> list[int]:
    memory = history.process.memory
    return [bar.generation for key in memory.allowances.of_tenant("acme") for bar in memory.allowances.bars(key)]
