"""From what is known to what is said."""

import itertools

import msgspec
import pytest
from msgspec.structs import replace

from fleetlb.contracts.objects import IpMode, LoadBalancer, LoadBalancerStatus, NodeRevision
from fleetlb.contracts.v1 import Ingress, Probe, RealizedState, VirtualServerRealized
from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.conditions import PROVISIONED, SERVING, Reason, Refusal, Status
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.verdicts import NETWORK_TEXTS, with_announcement, with_reach
from fleetlb.testkit.load_balancers import ADDRESS, KEY, a_load_balancer, a_word
from fleetlb_status.reporting import (
    MESSAGE_LIMIT,
    Realized,
    judge_load_balancer,
    report_of,
    state_of,
    status_body,
    status_of,
)

NODES = ("node-1",)
REFUSAL = Refusal(Reason.QUOTA_EXCEEDED, "quota ports: 3 of 3 used")


def words(*said: VirtualServerRealized) -> Realized:
    """What nodes said, as memory holds it."""
    known: dict[str, dict[object, VirtualServerRealized]] = {}
    for word in said:
        known.setdefault(word.node, {})[word.key] = word
    return known  # type: ignore[return-value]


def reasons(balancer: LoadBalancer, *said: VirtualServerRealized, nodes: tuple[str, ...] = NODES) -> tuple[str, str]:
    verdict = judge_load_balancer(balancer, nodes, words(*said))
    return verdict.provisioned.reason, verdict.serving.reason


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([a_word(about=2)], ("Complete", "ProbeAnswered")),
        ([a_word(about=1)], ("InProgress", "InProgress")),
        ([a_word(about=3)], ("InProgress", "InProgress")),
        ([a_word(about=2, uid="uid-of-an-earlier-one")], ("InProgress", "InProgress")),
        ([a_word(about=None)], ("InProgress", "InProgress")),
        ([a_word(about=2, state=RealizedState.REMOVED)], ("InProgress", "InProgress")),
        ([a_word("192.0.2.1:80/tcp", about=2)], ("InProgress", "InProgress")),
        ([a_word("192.0.2.9:443/tcp", about=2)], ("InProgress", "InProgress")),
        ([a_word("192.0.2.1:443/udp", about=2)], ("InProgress", "InProgress")),
        ([a_word(about=2, node="node-2")], ("InProgress", "InProgress")),
        ([], ("InProgress", "InProgress")),
        ([a_word(about=2, probe=Probe.PENDING)], ("Complete", "InProgress")),
        ([a_word(about=2, probe=Probe.UNANSWERED)], ("Complete", "ProbeUnanswered")),
        ([a_word(about=2, probe=Probe.PENDING, healthy=0)], ("Complete", "ProbeUnanswered")),
        ([a_word(about=2, real_servers=3, healthy=1, brake=True)], ("Complete", "ProbeAnswered")),
        ([a_word(about=2, real_servers=0, reason="NoEligibleNode")], ("Complete", "NoEligibleNode")),
        ([a_word(about=2, real_servers=0, reason="no\nsuch: reason")], ("Complete", "NoReadyBackend")),
        ([a_word(about=2, state=RealizedState.REJECTED, message="in use")], ("DataplaneRejected",) * 2),
    ],
    ids=[
        "this generation",
        "an older generation",
        "a newer generation",
        "another object of the name",
        "no object",
        "removed",
        "another port",
        "another address",
        "another protocol",
        "a node that is not required",
        "silence",
        "probe under way",
        "probe unanswered",
        "no backend healthy",
        "most backends unhealthy",
        "no real server",
        "no real server for no reason we know",
        "rejected",
    ],
)
def test_a_word_counts_for_this_very_revision(said: list[VirtualServerRealized], expected: tuple[str, str]) -> None:
    assert reasons(a_load_balancer(generation=2), *said) == expected


def test_what_carries_sctp_counts_as_answered_because_nothing_can_be_asked_of_it() -> None:
    sctp, service = (
        f"{ADDRESS}:443/sctp",
        TenantService(
            namespace="shop", name="web", ports=(ServicePort(port=443, node_port=31000, protocol=Protocol.SCTP),)
        ),
    )
    balancer = a_load_balancer(service=service)
    assert reasons(balancer, a_word(sctp, probe=Probe.PENDING)) == ("Complete", "ProbeAnswered")
    assert reasons(balancer, a_word(sctp, probe=Probe.UNANSWERED))[1] == "ProbeUnanswered"
    assert reasons(balancer, a_word(sctp, probe=Probe.PENDING, healthy=0))[1] == "ProbeUnanswered"
    assert reasons(balancer, a_word(sctp, probe=Probe.PENDING, real_servers=0))[1] == "NoReadyBackend"
    assert reasons(balancer, a_word(sctp, probe=Probe.PENDING, about=0))[1] == "InProgress"


def test_a_change_of_health_changes_what_is_said_and_an_equal_word_does_not() -> None:
    balancer = a_load_balancer()
    said = [words(a_word(real_servers=3, healthy=healthy)) for healthy in (None, 3, 2, 2, 1)]
    verdicts = [judge_load_balancer(balancer, NODES, each) for each in said]
    reports = [report_of(balancer, verdict) for verdict in verdicts]
    assert [one == other for one, other in itertools.pairwise(reports)] == [True, False, True, False]
    assert reports[2].conditions[1].message.endswith("; 2 of 3 backends healthy")
    braked = judge_load_balancer(balancer, NODES, words(a_word(real_servers=3, healthy=1, brake=True)))
    assert braked.serving.message.endswith(
        "; 1 of 3 backends healthy; most backends fail their checks, so the last set is kept"
    )
    status = status_of(balancer, verdicts[1], NODES, said[1], "then")
    written = msgspec.structs.replace(balancer, status=status)
    same = judge_load_balancer(written, NODES, said[0])
    assert status_of(written, same, NODES, said[0], "later") == status
    worse = status_of(written, judge_load_balancer(written, NODES, said[2]), NODES, said[2], "later")
    assert worse != status
    assert [c.last_transition_time for c in worse.conditions] == ["then", "then"], "it serves all the time"


def test_every_required_node_and_every_port_must_speak() -> None:
    balancer = a_load_balancer(ports=(443, 80))
    all_words = [a_word(key, node=node) for node in ("node-1", "node-2") for key in (KEY, f"{ADDRESS}:80/tcp")]
    nodes = ("node-1", "node-2")
    assert reasons(balancer, *all_words, nodes=nodes) == ("Complete", "ProbeAnswered")
    for missing in all_words:
        assert reasons(balancer, *[word for word in all_words if word is not missing], nodes=nodes)[1] == "InProgress"
    assert reasons(balancer, *all_words, nodes=()) == ("InProgress", "InProgress")


def test_a_nodes_words_are_passed_on_but_not_at_any_length() -> None:
    said = words(a_word(state=RealizedState.REJECTED, message="x" * 100_000))
    verdict = judge_load_balancer(a_load_balancer(), NODES, said)
    assert verdict.provisioned.message == "x" * MESSAGE_LIMIT
    silent = words(a_word(state=RealizedState.REJECTED, message=""))
    assert judge_load_balancer(a_load_balancer(), NODES, silent).provisioned.message == "rejected"


def test_an_address_stays_that_object_or_process_says_was_published() -> None:
    shown = a_load_balancer(generation=2, status=LoadBalancerStatus(addresses=(ADDRESS,)))
    assert judge_load_balancer(shown, NODES, {}).addresses == (ADDRESS,)
    assert judge_load_balancer(a_load_balancer(), NODES, {}, (ADDRESS,)).addresses == (ADDRESS,)
    assert judge_load_balancer(shown, NODES, {}, (ADDRESS,)).addresses == (ADDRESS,)
    assert judge_load_balancer(a_load_balancer(), NODES, {}).addresses == ()


def test_a_report_names_the_wish_and_observes_no_generation() -> None:
    balancer = a_load_balancer(generation=7, wish="w", ip_mode=IpMode.VIP)
    report = report_of(balancer, judge_load_balancer(balancer, NODES, words(a_word(about=7))))
    assert report.wish == "w"
    assert [(entry.ip, entry.ip_mode) for entry in report.ingress] == [(ADDRESS, IpMode.VIP)]
    assert {condition.observed_generation for condition in report.conditions} == {0}
    assert [condition.type for condition in report.conditions] == [PROVISIONED, SERVING]
    assert not any(condition.last_transition_time for condition in report.conditions)


def test_a_name_that_is_wished_for_is_shown_instead_of_addresses_once_they_serve() -> None:
    balancer = a_load_balancer(generation=7)
    named = replace(balancer.spec, service=replace(balancer.spec.service, hostname="web.example.org"))
    balancer = replace(balancer, spec=named)
    assert report_of(balancer, judge_load_balancer(balancer, NODES, {})).ingress == ()
    report = report_of(balancer, judge_load_balancer(balancer, NODES, words(a_word(about=7))))
    assert report.ingress == (Ingress(hostname="web.example.org"),)


@pytest.mark.parametrize(
    ("keeps", "proxy_protocol", "words_of_it"),
    [
        (False, False, "backends see the balancer's address"),
        (True, False, "backends see the client's address"),
        (False, True, "and the client's in a PROXY protocol header"),
    ],
)
def test_the_tenant_is_told_whom_its_backends_see(keeps: bool, proxy_protocol: bool, words_of_it: str) -> None:
    balancer = a_load_balancer(generation=7)
    service = replace(balancer.spec.service, proxy_protocol=proxy_protocol)
    balancer = replace(balancer, spec=replace(balancer.spec, service=service, keeps_client_address=keeps))
    verdict = judge_load_balancer(balancer, NODES, words(a_word(about=7)))
    assert words_of_it in verdict.provisioned.message


def test_a_family_that_is_missing_is_named() -> None:
    balancer = a_load_balancer(generation=7)
    service = replace(balancer.spec.service, ip_families=(Family.IPV6, Family.IPV4), prefers_dual_stack=True)
    balancer = replace(balancer, spec=replace(balancer.spec, service=service))
    verdict = judge_load_balancer(balancer, NODES, words(a_word(about=7)))
    assert "no IPv6 address is to be had yet" in verdict.provisioned.message


def test_a_tenant_does_not_read_of_nodes_and_settings_why_nothing_announces() -> None:
    balancer = a_load_balancer(generation=7)
    lack = "10.77.0.1 is carried by node-1, and no node answers for it; set FLEETLB_LAYER2_INTERFACES"
    well = judge_load_balancer(balancer, NODES, words(a_word(about=7)))
    for verdict in (with_announcement(well, lack), with_reach(well, lack)):
        told = report_of(balancer, verdict).conditions[1]
        assert (told.status, told.reason) == (Status.FALSE, verdict.serving.reason)
        assert told.message == NETWORK_TEXTS[told.reason]
        written = status_of(balancer, verdict, NODES, {}, "2026-01-01T00:00:00Z").conditions
        assert lack in [condition.message for condition in written]


def test_a_refusal_is_reported_in_its_own_words() -> None:
    balancer = a_load_balancer(addresses=(), refusal=REFUSAL)
    report = report_of(balancer, judge_load_balancer(balancer, NODES, {}))
    assert report.ingress == ()
    assert {(c.status, c.reason, c.message) for c in report.conditions} == {
        (Status.FALSE, REFUSAL.reason, REFUSAL.message)
    }


def test_a_status_that_says_the_same_is_the_same() -> None:
    balancer, said = a_load_balancer(generation=3), words(a_word(about=3))
    status = status_of(balancer, judge_load_balancer(balancer, NODES, said), NODES, said, "then")
    assert status.observed_generation == 3
    assert status.addresses == (ADDRESS,)
    assert status.nodes == (NodeRevision(node="node-1", generation=3, state="programmed"),)
    assert [(c.type, c.last_transition_time, c.observed_generation) for c in status.conditions] == [
        (PROVISIONED, "then", 3),
        (SERVING, "then", 3),
    ]
    written = msgspec.structs.replace(balancer, status=status)
    again = status_of(written, judge_load_balancer(written, NODES, said), NODES, said, "later")
    assert again == status


def test_only_a_status_that_flips_gets_a_new_time() -> None:
    balancer, said = a_load_balancer(), words(a_word())
    status = status_of(balancer, judge_load_balancer(balancer, NODES, said), NODES, said, "then")
    written, worse = msgspec.structs.replace(balancer, status=status), words(a_word(probe=Probe.UNANSWERED))
    later = status_of(written, judge_load_balancer(written, NODES, worse), NODES, worse, "later")
    assert {c.type: c.last_transition_time for c in later.conditions} == {PROVISIONED: "then", SERVING: "later"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], NodeRevision(node="node-1", state="waiting")),
        ([a_word(about=1), a_word(f"{ADDRESS}:80/tcp", about=2)], NodeRevision(node="node-1", state="waiting")),
        (
            [a_word(about=2, state=RealizedState.REJECTED), a_word(f"{ADDRESS}:80/tcp", about=2)],
            NodeRevision(node="node-1", state="rejected"),
        ),
        (
            [a_word(about=2), a_word(f"{ADDRESS}:80/tcp", about=2)],
            NodeRevision(node="node-1", generation=2, state="programmed"),
        ),
    ],
    ids=["silent", "one port old", "one port rejected", "programmed"],
)
def test_what_the_object_says_of_a_node(said: list[VirtualServerRealized], expected: NodeRevision) -> None:
    balancer, known = a_load_balancer(generation=2, ports=(443, 80)), words(*said)
    verdict = judge_load_balancer(balancer, NODES, known)
    assert status_of(balancer, verdict, NODES, known, "now").nodes == (expected,)


def test_a_refused_load_balancer_waits_on_every_node() -> None:
    balancer = a_load_balancer(addresses=(), refusal=REFUSAL)
    status = status_of(balancer, judge_load_balancer(balancer, NODES, {}), NODES, {}, "now")
    assert status.nodes == (NodeRevision(node="node-1", state="waiting"),)


def test_the_body_of_a_patch_resets_what_is_empty_now() -> None:
    body = status_body(LoadBalancerStatus(observed_generation=2))
    assert body == {
        "observedGeneration": 2,
        "addresses": (),
        "nodes": (),
        "conditions": (),
        "announced": None,
        "announcedBy": None,
    }
    names = {field.encode_name for field in msgspec.structs.fields(LoadBalancerStatus)}
    assert set(body) == names


@pytest.mark.parametrize(
    ("balancer", "said", "expected"),
    [
        (a_load_balancer(), [a_word()], "ProbeAnswered"),
        (a_load_balancer(refusal=REFUSAL), [a_word()], "QuotaExceeded"),
        (a_load_balancer(), [a_word(probe=Probe.UNANSWERED)], "ProbeUnanswered"),
        (a_load_balancer(), [], "InProgress"),
    ],
)
def test_the_metrics_show_what_is_worst(
    balancer: LoadBalancer, said: list[VirtualServerRealized], expected: str
) -> None:
    assert state_of(judge_load_balancer(balancer, NODES, words(*said))) == expected
