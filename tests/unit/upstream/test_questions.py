"""Which answers keep which promise."""

import msgspec
import pytest

from fleetlb.domain.capabilities import EngineName
from fleetlb.testkit.proxy_protocol import Header
from tests.upstream.actors import Client, Target
from tests.upstream.landscape import Landscape
from tests.upstream.questions import AT_LEAST, Answer, Question, Situation, judge, judge_header, questions

ELSEWHERE, NEIGHBOUR, BACKEND, BALANCER, STRANGER, VIP = (
    "10.244.2.5",
    "10.244.1.6",
    "10.244.1.5",
    "10.0.0.9",
    "192.0.2.1",
    "10.9.0.1",
)
HOME, HOME_INSIDE, AWAY = "10.0.0.1", "10.244.1.1", "10.0.0.2"
LANDSCAPE = Landscape(
    pods={
        ELSEWHERE: "fleetlb-in-cluster/elsewhere",
        NEIGHBOUR: "fleetlb-in-cluster/neighbour",
        BACKEND: "fleetlb-in-cluster/backend",
    },
    nodes={HOME: "home", AWAY: "away"},
    networks={"10.244.1.0/24": "home", "10.244.2.0/24": "away"},
    balancer=BALANCER,
)
PROXY = Situation(landscape=LANDSCAPE, mode="Proxy", home="home", elsewhere="away", is_by_pods=False)
BY_PODS = msgspec.structs.replace(PROXY, is_by_pods=True)
HANDED_ON = msgspec.structs.replace(PROXY, mode="VIP")
FROM_ELSEWHERE, FROM_NEIGHBOUR, FROM_BACKEND = (Question(client, Target.CLUSTER) for client in Client)
LOCAL = Question(Client.ELSEWHERE, Target.LOCAL)


def is_kept(question: Question, situation: Situation, *seen: str) -> bool:
    """Of answers that suffice in number."""
    answers = [Answer(address) for address in seen]
    return judge(question, answers + answers[-1:] * AT_LEAST, situation).is_kept


def test_every_client_asks_every_service_that_the_engine_can_have() -> None:
    assert len(questions(EngineName.ENVOY)) == 9
    assert [each.target for each in questions(EngineName.IPVS) if each.target is Target.PROXIED] == []
    assert [each.line for each in questions(EngineName.IPVS)] == ["ETP-9", "ETP-14", "ETP-14"] * 2


def test_a_proxy_on_node_ports_is_proved_by_a_node_that_is_not_the_clients() -> None:
    assert is_kept(FROM_ELSEWHERE, PROXY, AWAY, HOME_INSIDE)
    assert not is_kept(FROM_ELSEWHERE, PROXY, AWAY)
    assert is_kept(FROM_NEIGHBOUR, PROXY, HOME_INSIDE, AWAY)
    assert not is_kept(FROM_NEIGHBOUR, PROXY, HOME_INSIDE, HOME)
    assert is_kept(FROM_BACKEND, PROXY, BALANCER)


@pytest.mark.parametrize("address", [ELSEWHERE, NEIGHBOUR, STRANGER])
@pytest.mark.parametrize("situation", [PROXY, BY_PODS])
def test_a_proxy_never_shows_a_pod_nor_a_stranger(situation: Situation, address: str) -> None:
    assert not is_kept(FROM_ELSEWHERE, situation, BALANCER, HOME, address)


def test_a_proxy_to_pods_or_under_local_is_seen_itself() -> None:
    for question, situation in ((FROM_ELSEWHERE, BY_PODS), (LOCAL, PROXY)):
        assert is_kept(question, situation, BALANCER)
        assert not is_kept(question, situation, BALANCER, HOME)


@pytest.mark.parametrize(
    ("question", "seen", "kept"),
    [
        (FROM_ELSEWHERE, ELSEWHERE, True),
        (FROM_ELSEWHERE, AWAY, True),
        (LOCAL, ELSEWHERE, True),
        (FROM_ELSEWHERE, HOME, False),
        (FROM_ELSEWHERE, BALANCER, False),
        (FROM_BACKEND, HOME_INSIDE, True),
        (FROM_NEIGHBOUR, NEIGHBOUR, True),
        (FROM_NEIGHBOUR, BACKEND, False),
    ],
)
def test_a_vip_is_answered_on_the_clients_own_node(question: Question, seen: str, kept: bool) -> None:
    assert is_kept(question, HANDED_ON, seen) == kept


def test_a_vip_is_not_answered_by_way_of_the_balancer() -> None:
    answers = [Answer(ELSEWHERE)] * AT_LEAST + [Answer(ELSEWHERE, passed_balancer=True)]
    verdict = judge(FROM_ELSEWHERE, answers, HANDED_ON)
    assert (verdict.is_kept, verdict.seen) == (
        False,
        "VIP: seen as the client itself, in 4 answers; 1 came by way of the balancer",
    )


def test_few_answers_say_nothing() -> None:
    assert not judge(FROM_ELSEWHERE, [Answer(ELSEWHERE)] * (AT_LEAST - 1), HANDED_ON).is_kept
    assert judge(FROM_ELSEWHERE, [Answer(ELSEWHERE)] * AT_LEAST, HANDED_ON).is_kept


@pytest.mark.parametrize(
    ("header", "mode", "kept"),
    [
        (Header((NEIGHBOUR, 1), (VIP, 80)), "Proxy", True),
        (Header((HOME, 1), (VIP, 80)), "Proxy", True),
        (Header((AWAY, 1), (VIP, 80)), "Proxy", False),
        (Header((BALANCER, 1), (VIP, 80)), "Proxy", False),
        (Header((NEIGHBOUR, 1), (HOME, 30080)), "Proxy", False),
        (Header((NEIGHBOUR, 1), (VIP, 80)), "VIP", False),
        (None, "Proxy", False),
    ],
)
def test_a_header_names_the_client_and_the_services_address(header: Header | None, mode: str, kept: bool) -> None:
    question = Question(Client.NEIGHBOUR, Target.PROXIED)
    assert judge_header(question, header, VIP, msgspec.structs.replace(PROXY, mode=mode)).is_kept == kept
