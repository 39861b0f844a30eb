"""What pods ask of LoadBalancers' addresses, and whether the answers are what `ipMode` promises. Pure.

`Proxy`: a client in the cluster goes out to the balancer, so the backend sees somebody who is not the client. `VIP`:
kube-proxy on the client's node answers in the balancer's place, as under policy Cluster whatever the Service says.
"""

from collections.abc import Sequence

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb.testkit.proxy_protocol import Header
from tests.upstream.actors import NAMESPACE, PORT, Client, Target
from tests.upstream.landscape import Kind, Landscape, Party

PROXY, VIP = "Proxy", "VIP"
AT_LEAST = 3
"""Answers to one question."""
_LINES = {Client.ELSEWHERE: "ETP-9", Client.NEIGHBOUR: "ETP-14", Client.BACKEND: "ETP-14"}
_CLIENTS = {
    Client.ELSEWHERE: "a pod on a node without a backend",
    Client.NEIGHBOUR: "a pod on the backend's node",
    Client.BACKEND: "the backend itself",
}
_TARGETS = {
    Target.CLUSTER: "policy Cluster",
    Target.LOCAL: "policy Local",
    Target.PROXIED: "PROXY protocol",
}


class Question(msgspec.Struct, frozen=True):
    """One client asks one Service."""

    client: Client
    target: Target

    @property
    def line(self) -> str:
        """Of the contract."""
        return _LINES[self.client]

    @property
    def asker(self) -> Party:
        """The client, as a backend may see it."""
        return Party(Kind.POD, f"{NAMESPACE}/{self.client}")

    @property
    def text(self) -> str:
        """For people."""
        return f"{_TARGETS[self.target]}, from {_CLIENTS[self.client]}"


class Answer(msgspec.Struct, frozen=True):
    """What the backend said of its client."""

    address: str
    passed_balancer: bool = False
    """Seen in the balancer's own table, where it has one."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a promise was kept, and what was seen."""

    is_kept: bool
    seen: str


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers are held against."""

    landscape: Landscape
    mode: str
    """The Service's `status.loadBalancer.ingress[].ipMode`."""
    home: str
    """The node of the backend."""
    elsewhere: str
    is_by_pods: bool
    """The balancer goes to pods, not to node ports."""

    def node_of(self, client: Client) -> str:
        """Where it runs."""
        return self.elsewhere if client is Client.ELSEWHERE else self.home


def questions(engine: EngineName) -> list[Question]:
    """All that an engine can be asked."""
    targets = [target for target in Target if target is not Target.PROXIED or engine is EngineName.ENVOY]
    return [Question(client, target) for target in targets for client in Client]


def judge(question: Question, answers: Sequence[Answer], situation: Situation) -> Verdict:
    """Whether they are what was promised; not kept as long as they do not suffice to say so."""
    parties = [situation.landscape.whose(answer.address) for answer in answers]
    seen = f"{situation.mode}: seen as {_listed(parties, question)}, in {len(answers)} answers"
    if len(answers) < AT_LEAST:
        return Verdict(False, f"too few answers: {seen}")
    if situation.mode == VIP:
        return _judge_vip(question, answers, parties, situation, seen)
    return _judge_proxy(question, parties, situation, seen)


def _judge_vip(
    question: Question, answers: Sequence[Answer], parties: Sequence[Party], situation: Situation, seen: str
) -> Verdict:
    """The client's own address, or that of the node on which kube-proxy took its place; and nothing came by."""
    allowed = {question.asker, Party(Kind.NODE, situation.node_of(question.client))}
    passed = sum(answer.passed_balancer for answer in answers)
    if passed:
        return Verdict(False, f"{seen}; {passed} came by way of the balancer")
    return Verdict(set(parties) <= allowed, f"{seen}; none by way of the balancer")


def _judge_proxy(question: Question, parties: Sequence[Party], situation: Situation, seen: str) -> Verdict:
    """The balancer; behind node ports under policy Cluster a node, of which one that is not the client's proves it."""
    balancer = Party(Kind.BALANCER, situation.landscape.balancer)
    if situation.is_by_pods or question.target is Target.LOCAL:
        return Verdict(set(parties) == {balancer}, seen)
    nodes = {Party(Kind.NODE, name) for name in (situation.home, situation.elsewhere)}
    proofs = {balancer} | nodes - {Party(Kind.NODE, situation.node_of(question.client))}
    others = {party for party in parties if party.kind is not Kind.NODE and party != balancer}
    return Verdict(not others and bool(proofs & set(parties)), seen)


def judge_header(question: Question, header: Header | None, vip: str, situation: Situation) -> Verdict:
    """Before the client's words stands a header: a connection to this address, by the client or on its behalf."""
    if header is None:
        return Verdict(False, f"{situation.mode}: no header before the client's words, or no words")
    source, is_ours = situation.landscape.whose(header.source[0]), header.destination == (vip, PORT)
    allowed = {question.asker, Party(Kind.NODE, situation.node_of(question.client))}
    to = "the Service's address and port" if is_ours else f"{header.destination[0]} {header.destination[1]}"
    is_kept = source in allowed and is_ours and situation.mode == PROXY
    return Verdict(is_kept, f"{situation.mode}: a header, from {_named(source, question)} to {to}")


def _listed(parties: Sequence[Party], question: Question) -> str:
    return " and ".join(sorted({_named(party, question) for party in parties})) or "nobody"


def _named(party: Party, question: Question) -> str:
    if party == question.asker:
        return "the client itself"
    return "the balancer" if party.kind is Kind.BALANCER else f"the {party.kind} {party.name}"
