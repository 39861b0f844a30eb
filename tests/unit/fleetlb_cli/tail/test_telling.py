"""What each kind of message says in words."""

import json
from typing import get_args

import pytest

from fleetlb.contracts import codec, events, plans, subjects, v1
from fleetlb.contracts.objects import AddressPoolSpec
from fleetlb.contracts.told import NodeStanding, NodeTold, ServiceTold, Standing
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.conditions import SERVING, Condition, Status
from fleetlb.domain.services import ServiceEndpoints, ServicePort, TenantNode, TenantService
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.runtime.bus import Message, headers_of
from fleetlb.testkit.load_balancers import ACCOUNT, CLUSTER, KEY, SERVICE, a_load_balancer, a_tenant, a_word
from fleetlb.testkit.wishes import a_wish
from fleetlb_cli.naming import wanted_of
from fleetlb_cli.tail.choosing import Choice
from fleetlb_cli.tail.commands import Kind
from fleetlb_cli.tail.directory import Directory
from fleetlb_cli.tail.entries import Entry, as_json, as_line
from fleetlb_cli.tail.telling import MOST_LETTERS, entry_of

NOW = 1_800_000_000.25
TRACE = f"00-{7:032x}-{1:016x}-01"
WISHED = TenantService(namespace="shop", name="web", ports=(ServicePort(port=443, node_port=31000),))
HOPS = (v1.Hop("watch", 1_000), v1.Hop("publish", 2_000))
OBSERVED = subjects.observed_service(ACCOUNT, CLUSTER, SERVICE)
REPORTED = subjects.reported(ACCOUNT, CLUSTER, SERVICE)
WHOSE = ("acme", "shop/web")
REPORT = v1.ServiceReported(
    generation=1,
    revision=1,
    ingress=(v1.Ingress(ip="192.0.2.1"),),
    conditions=(Condition(type=SERVING, status=Status.TRUE, reason="ProbeAnswered"),),
    hops=(v1.Hop("report", 9_000),),
)


def names() -> Directory:
    directory = Directory()
    directory.note_tenant(a_tenant())
    directory.note_balancers([a_load_balancer()])
    return directory


def told(subject: str, said: v1.Message | bytes, directory: Directory | None = None) -> Entry:
    body = said if isinstance(said, bytes) else codec.encode(said)
    return entry_of(Message(subject, body, headers=headers_of(trace=TRACE)), NOW, directory or names())


@pytest.mark.parametrize(
    ("subject", "said", "whose", "text"),
    [
        (OBSERVED, v1.ServiceObserved(digest="d", service=WISHED), WHOSE, "wishes 443/TCP; has no EndpointSlice"),
        (
            OBSERVED,
            v1.ServiceObserved(digest="d", service=WISHED, endpoints=ServiceEndpoints(ready=True)),
            WHOSE,
            "wishes 443/TCP; a pod is ready",
        ),
        (OBSERVED, v1.ServiceObserved(digest="d"), WHOSE, "is wanted no more"),
        (
            f"fleetlb.v1.observed.{ACCOUNT}.{CLUSTER}.nodes",
            v1.NodesObserved(nodes=(TenantNode(name="a"), TenantNode(name="b", eligible=False))),
            ("acme", ""),
            "2 nodes, 1 of them eligible",
        ),
        (
            subjects.observed_inventory(ACCOUNT, CLUSTER),
            v1.InventoryObserved(services={"u": "d"}),
            ("acme", ""),
            "its watcher lives and holds 1 Services",
        ),
        (
            subjects.allowed("default", "acme"),
            v1.TenantAllowed(
                group="default", tenant="acme", generation=1, revision=1, allowed=Allowance(prefixes=("192.0.2.0/24",))
            ),
            ("acme", ""),
            "may have 192.0.2.0/24 on group default",
        ),
        (
            subjects.allowed("default", "acme"),
            v1.TenantAllowed(group="default", tenant="acme", generation=1, revision=2),
            ("acme", ""),
            "may have nothing on group default",
        ),
        (
            subjects.desired("default", parse_key(KEY)),
            a_wish(revision=4),
            WHOSE,
            f"{KEY} goes to 1 real servers (revision 4)",
        ),
        (
            subjects.desired("default", parse_key(KEY)),
            a_wish(real_servers=None),
            WHOSE,
            f"{KEY} is to be let go of (revision 1)",
        ),
        (
            subjects.realized("default", "node-1", parse_key(KEY)),
            a_word(healthy=1),
            WHOSE,
            f"node-1 has programmed {KEY} (revision 1), probe answered, 1 of 1 healthy",
        ),
        (
            subjects.realized("default", "node-1", parse_key(KEY)),
            a_word(state=v1.RealizedState.REJECTED, message="in use"),
            WHOSE,
            f"node-1 has rejected {KEY} (revision 1): in use",
        ),
        (
            subjects.realized_node("default", "node-1"),
            v1.NodeRealized(node="node-1", group="default", engine="envoy", ready=True, virtual_servers=3),
            ("", ""),
            "node-1 is ready, serves 3 virtual servers",
        ),
        (REPORTED, REPORT, WHOSE, "192.0.2.1; Serving=True ProbeAnswered"),
        (
            REPORTED,
            v1.ServiceReported(generation=1, revision=2, released=True),
            WHOSE,
            "nothing of it is left",
        ),
        (
            subjects.released(ACCOUNT, CLUSTER, SERVICE),
            v1.ServiceReleased(),
            WHOSE,
            "nothing of it is left: no object, no virtual server, no address in use",
        ),
        (
            subjects.marked("fleetlb-manager"),
            v1.StoreMarked(cluster_uid="c", version=7, generation=1),
            ("", ""),
            "fleetlb-manager: the store is at version 7",
        ),
        (
            subjects.resync(ACCOUNT, CLUSTER),
            v1.ResyncRequested(),
            ("acme", ""),
            "the manager asks its watcher to say everything again",
        ),
        (
            subjects.renewal(ACCOUNT),
            b"",
            ("acme", ""),
            "the manager asks its watchers to renew their credentials",
        ),
        (
            subjects.PLAN_SERVICES,
            plans.ServicesPlanRequested(tenant="acme", cluster=CLUSTER, services=(WISHED,)),
            ("acme", ""),
            "somebody asks what would become of shop/web",
        ),
        (
            subjects.PLAN_POOL,
            plans.PoolPlanRequested(name="gold", spec=AddressPoolSpec(addresses=("192.0.2.0/24",))),
            ("", ""),
            "somebody asks what would become of the AddressPool gold",
        ),
        (f"fleetlb.v1.snapshot.{ACCOUNT}", b"", ("acme", ""), "its watcher asks for every report again"),
        (f"fleetlb.v1.credentials.{ACCOUNT}", b"", ("acme", ""), "its watcher asks for its next credentials"),
        (
            subjects.event("acme", "address-allocated"),
            events.AddressAllocated(
                revision=1,
                tenant="acme",
                cluster_uid=CLUSTER,
                namespace="shop",
                name="web",
                uid="u",
                address="192.0.2.7",
                since="",
            ),
            ("acme", "shop/web"),
            "address-allocated: 192.0.2.7",
        ),
        (
            subjects.event(subjects.FLEET, "drift-repaired"),
            events.DriftRepaired(revision=1, group="default", node="node-1", repairs=3),
            ("", ""),
            "drift-repaired: node-1 of group default, 3 times",
        ),
        (subjects.event("acme", "foreseen"), b"{}", ("", ""), "foreseen: an event of a later version"),
        (
            subjects.told_service("acme", "u"),
            ServiceTold(
                generation=1,
                revision=1,
                at="",
                on_its_way=True,
                now=Standing(cluster_uid=CLUSTER, namespace="shop", name="web"),
            ),
            ("acme", "shop/web"),
            "integrations are being told",
        ),
        (
            subjects.told_node("default", "node-1"),
            NodeTold(generation=1, revision=1, at="", now=NodeStanding()),
            ("", ""),
            "node-1 of group default: integrations were told",
        ),
        (subjects.parked(ACCOUNT, "m1"), b"what", ("acme", ""), "a message that nobody could read was parked"),
    ],
)
def test_in_words(subject: str, said: v1.Message | bytes, whose: tuple[str, str], text: str) -> None:
    entry = told(subject, said)
    assert ((entry.tenant, entry.service), entry.text) == (whose, text)
    assert entry.kind in get_args(Kind)
    assert entry.kind == subject.split(".")[2]
    assert entry.trace == TRACE


def test_every_kind_that_may_be_asked_for_is_known() -> None:
    for kind in get_args(Kind):
        assert "does not know" not in told(f"fleetlb.v1.{kind}.x", b"").text
    assert told("fleetlb.v1.foreseen.x", b"").text == "of a kind that this version does not know"


@pytest.mark.parametrize("subject", [OBSERVED, REPORTED, "fleetlb.v1.observed.x", subjects.allowed("g", "t")])
def test_what_cannot_be_read_is_said_to_be(subject: str) -> None:
    entry = told(subject, b'{"type": "' + b"x" * 5000)
    assert entry.text.startswith("cannot be read: ")
    assert len(entry.text) <= MOST_LETTERS


def test_a_name_is_known_from_the_first_message_that_brings_it() -> None:
    directory = Directory()
    directory.note_tenant(a_tenant())
    assert told(REPORTED, REPORT, directory).service == ""
    told(OBSERVED, v1.ServiceObserved(digest="d", service=WISHED), directory)
    assert told(REPORTED, REPORT, directory).service == "shop/web"
    told(OBSERVED, v1.ServiceObserved(digest="d"), directory)
    assert told(REPORTED, REPORT, directory).service == "shop/web"


def test_a_line_and_an_object() -> None:
    entry = told(OBSERVED, v1.ServiceObserved(digest="d", service=WISHED, hops=HOPS))
    assert as_line(entry) == (
        f"08:00:00.250 observed  publish     {7:032x} acme/shop/web: wishes 443/TCP; has no EndpointSlice"
    )
    assert json.loads(as_json(entry)) == {
        "time": "2027-01-15T08:00:00.250Z",
        "kind": "observed",
        "hop": "publish",
        "trace": f"{7:032x}",
        "tenant": "acme",
        "service": "shop/web",
        "text": "wishes 443/TCP; has no EndpointSlice",
        "subject": OBSERVED,
    }


def test_nobody_steers_a_terminal() -> None:
    said = a_word(state=v1.RealizedState.REJECTED, message="\x1b[2J\nnext")
    assert as_line(told(subjects.realized("default", "node-1", said.key), said)).endswith("?[2J?next")


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (Choice(), True),
        (Choice(tenant="acme"), True),
        (Choice(tenant="globex"), False),
        (Choice(service=wanted_of("shop/web")), True),
        (Choice(service=wanted_of("acme/shop/web")), True),
        (Choice(service=wanted_of("globex/shop/web")), False),
        (Choice(service=wanted_of("shop/api")), False),
        (Choice(kinds=frozenset({"reported", "released"})), True),
        (Choice(kinds=frozenset({"desired"})), False),
        (Choice(tenant="acme", service=wanted_of("shop/web"), kinds=frozenset({"reported"})), True),
    ],
)
def test_who_is_chosen(choice: Choice, wanted: bool) -> None:
    assert choice.wants(told(REPORTED, REPORT)) is wanted


def test_what_is_sent_though_nothing_happens_must_be_asked_for() -> None:
    beat = told(subjects.observed_inventory(ACCOUNT, CLUSTER), v1.InventoryObserved(services={}))
    assert not Choice().wants(beat)
    assert not Choice(tenant="acme").wants(beat)
    assert Choice(kinds=frozenset({"observed"})).wants(beat)
    record = told(
        subjects.told_node("default", "node-1"), NodeTold(generation=1, revision=1, at="", now=NodeStanding())
    )
    assert not Choice().wants(record)
    assert Choice(kinds=frozenset({"told"})).wants(record)
