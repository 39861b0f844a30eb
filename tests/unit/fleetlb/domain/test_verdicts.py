import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Reason, Refusal, Status
from fleetlb.domain.verdicts import IDLE_TEXTS, PortReport, Reports, in_progress, judge

GOOD = PortReport(current=True, real_servers=2, answered=True)
UNPROBED = msgspec.structs.replace(GOOD, answered=None)
UNANSWERED = msgspec.structs.replace(GOOD, answered=False)
OLD = msgspec.structs.replace(GOOD, current=False)
REJECTED = PortReport(current=True, rejected="bind: permission denied")
HURT = msgspec.structs.replace(GOOD, real_servers=3, healthy=2)
DOWN = msgspec.structs.replace(UNPROBED, real_servers=3, healthy=0)
IDLE = PortReport(current=True, reason=Reason.NO_ELIGIBLE_NODE)
IDLE_WITHOUT_WORDS = PortReport(current=True)
REFUSAL = Refusal(Reason.POOL_EXHAUSTED, "pool default: 4 of 4 used")

A, B = "10.0.0.1", "10.0.0.2"
T, F = Status.TRUE, Status.FALSE
IN_PROGRESS = (F, Reason.IN_PROGRESS)
COMPLETE = (T, Reason.COMPLETE)


@pytest.mark.parametrize(
    ("reports", "provisioned", "serving", "shown", "settled"),
    [
        ({"n1": [GOOD]}, COMPLETE, (T, Reason.SERVING), (A,), True),
        ({"n1": [GOOD, GOOD], "n2": [GOOD, GOOD]}, COMPLETE, (T, Reason.SERVING), (A,), True),
        ({"n1": [None]}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [OLD]}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [GOOD], "n2": [None]}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [GOOD, OLD]}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [GOOD], "n2": []}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": []}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [UNPROBED]}, COMPLETE, IN_PROGRESS, (A,), False),
        ({"n1": [GOOD], "n2": [UNPROBED]}, COMPLETE, IN_PROGRESS, (A,), False),
        ({"n1": [GOOD], "n2": [UNANSWERED]}, COMPLETE, (F, Reason.PROBE_UNANSWERED), (A,), True),
        ({"n1": [UNPROBED, UNANSWERED]}, COMPLETE, (F, Reason.PROBE_UNANSWERED), (A,), True),
        ({"n1": [HURT]}, COMPLETE, (T, Reason.SERVING), (A,), True),
        ({"n1": [DOWN]}, COMPLETE, (F, Reason.PROBE_UNANSWERED), (A,), True),
        ({"n1": [GOOD], "n2": [DOWN, GOOD]}, COMPLETE, (F, Reason.PROBE_UNANSWERED), (A,), True),
        (
            {"n1": [msgspec.structs.replace(DOWN, answered=True, brake=True)]},
            COMPLETE,
            (T, Reason.SERVING),
            (A,),
            True,
        ),
        ({"n1": [msgspec.structs.replace(DOWN, current=False)]}, IN_PROGRESS, IN_PROGRESS, (), False),
        ({"n1": [IDLE]}, COMPLETE, (F, Reason.NO_ELIGIBLE_NODE), (A,), True),
        ({"n1": [IDLE_WITHOUT_WORDS]}, COMPLETE, (F, Reason.NO_READY_BACKEND), (A,), True),
        ({"n1": [GOOD, IDLE]}, COMPLETE, (F, Reason.NO_ELIGIBLE_NODE), (A,), True),
        ({"n1": [REJECTED]}, (F, Reason.DATAPLANE_REJECTED), (F, Reason.DATAPLANE_REJECTED), (), True),
        ({"n1": [GOOD], "n2": [REJECTED]}, (F, Reason.DATAPLANE_REJECTED), (F, Reason.DATAPLANE_REJECTED), (), True),
        ({"n1": [None], "n2": [REJECTED]}, (F, Reason.DATAPLANE_REJECTED), (F, Reason.DATAPLANE_REJECTED), (), True),
        ({"n1": [msgspec.structs.replace(REJECTED, current=False)]}, IN_PROGRESS, IN_PROGRESS, (), False),
    ],
    ids=[
        "one node",
        "two nodes, two ports",
        "silence",
        "an older revision",
        "one of two silent",
        "one of two ports old",
        "one of two without ports",
        "a node without ports",
        "no required node",
        "probe under way",
        "probe under way on one",
        "probe unanswered on one",
        "unanswered beats under way",
        "some backends unhealthy",
        "no backend healthy, probe under way",
        "no backend healthy on one",
        "no backend healthy, probe answered",
        "no backend healthy long ago",
        "no eligible node",
        "no real server, no reason",
        "one port idle",
        "rejected",
        "rejected on one",
        "rejected beats silence",
        "rejected long ago",
    ],
)
def test_a_granted_load_balancer(
    reports: Reports,
    provisioned: tuple[Status, Reason],
    serving: tuple[Status, Reason],
    shown: tuple[str, ...],
    settled: bool,
) -> None:
    verdict = judge(addresses=(A,), published=(), refusal=None, reports=reports, generation=3)
    assert (verdict.provisioned.status, verdict.provisioned.reason) == provisioned
    assert (verdict.serving.status, verdict.serving.reason) == serving
    assert verdict.addresses == shown
    assert verdict.is_settled is settled
    assert (verdict.provisioned.type, verdict.serving.type) == (PROVISIONED, SERVING)
    assert {verdict.provisioned.observed_generation, verdict.serving.observed_generation} == {3}
    assert verdict.provisioned.message
    assert verdict.serving.message


def test_a_refused_first_wish() -> None:
    verdict = judge(addresses=(), published=(), refusal=REFUSAL, reports={})
    for condition in (verdict.provisioned, verdict.serving):
        assert (condition.status, condition.reason, condition.message) == (F, REFUSAL.reason, REFUSAL.message)
    assert verdict.is_settled
    assert verdict.addresses == ()


def test_a_refused_later_wish_leaves_what_serves() -> None:
    verdict = judge(addresses=(A,), published=(A,), refusal=REFUSAL, reports={"n1": [GOOD]})
    assert (verdict.provisioned.status, verdict.provisioned.reason) == (F, REFUSAL.reason)
    assert (verdict.serving.status, verdict.serving.reason) == (T, Reason.SERVING)
    assert verdict.addresses == (A,)
    assert verdict.is_settled


def test_nothing_owned_and_nothing_refused_is_in_progress() -> None:
    verdict = judge(addresses=(), published=(), refusal=None, reports={"n1": [GOOD]})
    assert not verdict.is_settled
    assert verdict.provisioned == in_progress(PROVISIONED)
    assert verdict.serving == in_progress(SERVING)


@pytest.mark.parametrize(
    ("addresses", "published", "reports", "shown"),
    [
        ((A,), (A,), {"n1": [None]}, (A,)),
        ((A,), (A,), {"n1": [REJECTED]}, (A,)),
        ((B,), (A,), {"n1": [None]}, ()),
        ((B,), (A,), {"n1": [GOOD]}, (B,)),
        ((A, B), (A,), {"n1": [GOOD, None]}, (A,)),
        ((A, B), (A,), {"n1": [GOOD, GOOD]}, (A, B)),
        ((), (A,), {"n1": []}, ()),
    ],
    ids=["edited", "rejected", "moved", "moved and ready", "one more", "one more, ready", "given up"],
)
def test_a_published_address_stays_while_it_is_owned(
    addresses: tuple[str, ...], published: tuple[str, ...], reports: Reports, shown: tuple[str, ...]
) -> None:
    assert judge(addresses=addresses, published=published, refusal=None, reports=reports).addresses == shown


def test_the_data_planes_own_words_are_passed_on() -> None:
    verdict = judge(addresses=(A,), published=(), refusal=None, reports={"n1": [REJECTED]})
    assert verdict.provisioned.message == verdict.serving.message == "bind: permission denied"


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([GOOD], ""),
        ([msgspec.structs.replace(HURT, healthy=None)], ""),
        ([msgspec.structs.replace(HURT, healthy=3)], ""),
        ([HURT], "; 2 of 3 backends healthy"),
        ([HURT, msgspec.structs.replace(HURT, real_servers=100, healthy=50), GOOD], "; 50 of 100 backends healthy"),
        ([msgspec.structs.replace(HURT, real_servers=6, healthy=4), HURT], "; 2 of 3 backends healthy"),
        (
            [HURT, msgspec.structs.replace(HURT, healthy=1, brake=True)],
            "; 1 of 3 backends healthy; most backends fail their checks, so the last set is kept",
        ),
        ([msgspec.structs.replace(HURT, answered=False)], "; 2 of 3 backends healthy"),
        ([DOWN], "; 0 of 3 backends healthy"),
        ([UNANSWERED], ""),
    ],
)
def test_how_many_backends_are_healthy_where_it_is_worst(reports: list[PortReport], words: str) -> None:
    for split in ({"n1": reports}, {f"n{n}": [report] for n, report in enumerate(reports)}):
        serving = judge(addresses=(A,), published=(), refusal=None, reports=split).serving
        plain = "every balancer node reached a backend" if serving.status is T else "that backends are open to it"
        assert serving.message.endswith(plain + words)


def test_every_reason_for_having_no_real_server_has_a_text() -> None:
    reasons = (Reason.NO_READY_BACKEND, Reason.NO_ELIGIBLE_NODE, Reason.BACKEND_NOT_ALLOWED, Reason.NO_NODE_PORT)
    for reason in reasons:
        assert IDLE_TEXTS[reason]
    report = PortReport(current=True, reason="OfTomorrow")
    serving = judge(addresses=(A,), published=(), refusal=None, reports={"n1": [report]}).serving
    assert (serving.reason, serving.message) == ("OfTomorrow", "")


port_reports = st.none() | st.builds(
    PortReport,
    current=st.booleans(),
    rejected=st.sampled_from(["", "no"]),
    reason=st.sampled_from(["", Reason.NO_READY_BACKEND]),
    real_servers=st.integers(0, 2),
    answered=st.sampled_from([None, True, False]),
)
reports = st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), st.lists(port_reports, max_size=3), max_size=3)
address_lists = st.lists(st.sampled_from([A, B]), unique=True).map(tuple)
refusals = st.sampled_from([None, REFUSAL])


@given(address_lists, address_lists, refusals, reports)
def test_serving_is_true_only_if_every_node_acknowledged_and_answered(
    addresses: tuple[str, ...],
    published: tuple[str, ...],
    refusal: Refusal | None,
    said: dict[str, list[PortReport | None]],
) -> None:
    verdict = judge(addresses=addresses, published=published, refusal=refusal, reports=said)
    if verdict.serving.status is Status.TRUE:
        assert addresses
        assert said
        for node in said.values():
            assert node
            assert all(r and r.current and not r.rejected and r.real_servers and r.answered for r in node)


@given(address_lists, address_lists, refusals, reports)
def test_addresses_are_owned_and_sticky(
    addresses: tuple[str, ...],
    published: tuple[str, ...],
    refusal: Refusal | None,
    said: dict[str, list[PortReport | None]],
) -> None:
    shown = judge(addresses=addresses, published=published, refusal=refusal, reports=said).addresses
    assert set(shown) <= set(addresses)
    assert set(published) & set(addresses) <= set(shown)
    if set(shown) > set(published):
        assert all(r is not None and r.current and not r.rejected for node in said.values() for r in node)


@given(address_lists, refusals, reports)
def test_a_verdict_is_always_complete_and_never_says_unknown(
    addresses: tuple[str, ...], refusal: Refusal | None, said: dict[str, list[PortReport | None]]
) -> None:
    verdict = judge(addresses=addresses, published=(), refusal=refusal, reports=said)
    for condition in (verdict.provisioned, verdict.serving):
        assert isinstance(condition, Condition)
        assert condition.status in (Status.TRUE, Status.FALSE)
        assert condition.reason
    if verdict.provisioned.status is Status.TRUE:
        assert refusal is None
