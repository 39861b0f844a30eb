"""What is shown of what is known, and which changes are worth a line."""

import msgspec
import pytest

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.objects import BalancerGroupStatus, BalancerNode, LoadBalancer, LoadBalancerStatus
from fleetlb.contracts.v1 import Hop, RealizedState, VirtualServerRealized
from fleetlb.domain.conditions import SERVING, Condition, Reason, Refusal, Status
from fleetlb.kube.holding import Held
from fleetlb.testkit.load_balancers import ADDRESS, a_group, a_load_balancer, a_tenant, a_word
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory, key_of
from fleetlb_status.ui.pictures import Kind, ServicePicture, State
from fleetlb_status.ui.picturing import (
    NOT_READ,
    Things,
    change_of,
    differences,
    group_of,
    process_of,
    service_of,
    tenant_of,
)

THEN = "2027-01-15T07:00:00Z"
TRACE = f"00-{7:032x}-{1:016x}-01"
SINCE = Condition(type=SERVING, status=Status.TRUE, reason=Reason.SERVING, last_transition_time=THEN)
REFUSAL = Refusal(Reason.POOL_EXHAUSTED, "pool public: 4 of 4 used")


def pictured(
    balancer: LoadBalancer, *words: VirtualServerRealized, nodes: tuple[str, ...] = ("node-1",)
) -> ServicePicture:
    """What is shown of a load balancer of which nodes have said this."""
    memory = Memory(lambda _: None)
    memory.set_group(a_group(*nodes))
    memory.complete_group("default")
    memory.set_load_balancer(balancer)
    for word in words:
        memory.fold_realized(word)
    return service_of(balancer, Judging(memory).judge(key_of(balancer)))


def test_one_that_serves() -> None:
    seen = pictured(a_load_balancer(status=LoadBalancerStatus(conditions=(SINCE,))), a_word())
    assert (seen.state, seen.reason, seen.since) == (State.SERVING, Reason.SERVING, THEN)
    assert (seen.tenant, seen.namespace, seen.name, seen.group) == ("acme", "shop", "web", "default")
    assert (seen.addresses, seen.ports) == ((ADDRESS,), ("443/TCP",))
    assert [(mark.node, mark.state) for mark in seen.nodes] == [("node-1", "programmed")]


@pytest.mark.parametrize(
    ("balancer", "words", "state", "reason"),
    [
        (a_load_balancer(), (), State.PENDING, Reason.IN_PROGRESS),
        (a_load_balancer(), (a_word(real_servers=0),), State.NOT_SERVING, Reason.NO_READY_BACKEND),
        (
            a_load_balancer(),
            (a_word(state=RealizedState.REJECTED, message="in use"),),
            State.NOT_SERVING,
            Reason.DATAPLANE_REJECTED,
        ),
        (a_load_balancer(refusal=REFUSAL, addresses=(), group=""), (), State.REFUSED, Reason.POOL_EXHAUSTED),
        (a_load_balancer(refusal=REFUSAL), (a_word(),), State.REFUSED, Reason.POOL_EXHAUSTED),
    ],
    ids=["nobody has spoken", "no backend", "rejected", "refused", "refused, an earlier wish is served"],
)
def test_one_that_does_not(
    balancer: LoadBalancer, words: tuple[VirtualServerRealized, ...], state: State, reason: str
) -> None:
    seen = pictured(balancer, *words)
    assert (seen.state, seen.reason) == (state, reason)
    assert seen.message


def test_what_is_not_known_is_not_guessed() -> None:
    seen = service_of(a_load_balancer(), None)
    assert (seen.state, seen.message, seen.nodes) == (State.UNKNOWN, NOT_READ, ())


JOURNEY = Journey(TRACE, (Hop("watch", 1_000_000), Hop("decide", 1_004_500), Hop("hear", 1_005_000)))


def test_a_change_tells_how_its_news_came() -> None:
    before, after = pictured(a_load_balancer()), pictured(a_load_balancer(), a_word())
    change = change_of(before, after, JOURNEY, 2_000_000)
    assert change is not None
    assert (change.at, change.state, change.text) == (2_000_000, State.SERVING, f"serving at {ADDRESS}")
    assert change.trace == f"{7:032x}"
    assert [(each.service, each.station, each.took_ms) for each in change.stations] == [
        ("tenant-watcher", "watch", 0.0),
        ("manager", "decide", 4.5),
        ("status", "hear", 0.5),
    ]


def test_coming_and_going() -> None:
    seen = pictured(a_load_balancer(), a_word())
    came, went = change_of(None, seen, NOT_TRAVELLED, 1), change_of(seen, None, NOT_TRAVELLED, 2)
    assert came is not None
    assert went is not None
    assert (came.text, came.state) == (f"came: serving at {ADDRESS}", State.SERVING)
    assert (went.text, went.state, went.name) == ("is gone", None, "web")
    assert change_of(None, None, NOT_TRAVELLED, 3) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"addresses": ("192.0.2.9",)}, "addresses 192.0.2.9"),
        ({"addresses": ()}, "addresses none"),
        ({"ports": ("53/UDP",)}, "ports 53/UDP"),
        ({"nodes": ()}, "programmed on 0 of 0 balancer nodes"),
        ({"state": State.REFUSED, "message": "no"}, "refused: no"),
        ({"state": State.PENDING, "message": ""}, "pending"),
        ({"since": THEN}, ""),
        ({"pool": "other"}, ""),
    ],
)
def test_what_is_worth_a_line(change: dict[str, object], text: str) -> None:
    before = pictured(a_load_balancer(), a_word())
    found = change_of(before, msgspec.structs.replace(before, **change), NOT_TRAVELLED, 1)
    assert (found.text if found else "") == text


def test_a_node_that_never_spoke_is_not_ready() -> None:
    group = msgspec.structs.replace(
        a_group("node-1", "node-2"),
        status=BalancerGroupStatus(nodes=(BalancerNode(name="node-2", ready=True, version="1", virtual_servers=3),)),
    )
    nodes = group_of(group).nodes
    assert [(node.name, node.ready, node.virtual_servers) for node in nodes] == [
        ("node-1", False, 0),
        ("node-2", True, 3),
    ]


def test_a_lease_that_nobody_renews_is_held_by_nobody() -> None:
    assert process_of(Held("fleetlb-manager", "m-1", True)).holder == "m-1"
    assert process_of(Held("fleetlb-manager", "m-1", False)).holder == ""


def test_only_what_differs_is_told() -> None:
    acme, other = tenant_of(a_tenant()), tenant_of(a_tenant("globex"))
    changed = msgspec.structs.replace(acme, suspended=True)
    before: Things = {(Kind.TENANT, "acme"): acme, (Kind.TENANT, "globex"): other}
    after: Things = {(Kind.TENANT, "acme"): changed, (Kind.TENANT, "new"): other}
    told = differences(before, after)
    assert [(each.name, each.value) for each in told] == [("acme", changed), ("globex", None), ("new", other)]
    assert differences(after, after) == []
