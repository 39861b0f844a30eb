"""`make test-in-cluster`: attach a cluster to a fleet, have its pods ask for LoadBalancers' addresses, write the table.

Exit codes: 0 every promise was kept; 1 one was not, or something is in the way; 2 usage.
"""

import os
import sys
import time
from typing import Any

import msgspec

from fleetlb.domain.capabilities import EngineName
from tests.upstream import actors, page
from tests.upstream import order as orders
from tests.upstream.actors import Target
from tests.upstream.admitting import AdmissionError, Kubectl
from tests.upstream.asking import Address, Asker, on_stage, source_address
from tests.upstream.attaching import addresses, attached, attempt, facts, fail, publish, say
from tests.upstream.landscape import Landscape, landscape_of, two_places
from tests.upstream.order import InClusterOrder, OrderError
from tests.upstream.questions import AT_LEAST, Answer, Question, Situation, Verdict, judge, judge_header, questions

AT_MOST = 24
"""Answers to one question: a balancer that picks one of two nodes has picked both by then, or does not pick."""


class Finding(msgspec.Struct, frozen=True):
    """A question, and what came of it."""

    question: Question
    verdict: Verdict


def main() -> int:
    """Ask everything once."""
    try:
        order = orders.read_in_cluster(os.environ)
    except OrderError as problem:
        return fail(str(problem), 2)
    return attempt(conform(order, Kubectl(kubeconfig=order.kubeconfig)))


async def conform(order: InClusterOrder, kubectl: Kubectl) -> int:
    """Everything from an untouched cluster to an untouched cluster."""
    begun = time.monotonic()
    async with attached(order, kubectl) as nodes:
        places = two_places(nodes)
        if places is None:
            raise AdmissionError("it takes two Nodes that are Ready, take pods and are not excluded from balancing")
        asked = questions(order.engine)
        pods = actors.pods(order.image, *places)
        async with on_stage(kubectl, pods, {question.target for question in asked}) as services:
            landscape = _survey(kubectl, nodes)
            suspects = [*landscape.pods, *landscape.nodes] if order.engine is EngineName.IPVS else []
            asker, findings = Asker(kubectl, suspects), []
            for question in asked:
                situation = Situation(
                    landscape=landscape,
                    mode=services[question.target].mode,
                    home=places[0],
                    elsewhere=places[1],
                    is_by_pods=bool(order.pods),
                )
                findings.append(Finding(question, await _ask(asker, question, services[question.target], situation)))
                say(_row(order.engine, findings[-1]))
    told = facts(order, kubectl, nodes) | {"wall": f"{time.monotonic() - begun:.0f} s"}
    publish(order, section(order, told, findings), is_whole=True)
    return 0 if all(finding.verdict.is_kept for finding in findings) else 1


async def _ask(asker: Asker, question: Question, service: Address, situation: Situation) -> Verdict:
    """Until the answers suffice, or will not."""
    if question.target is Target.PROXIED:
        return judge_header(question, await asker.header(question.client, service.vip), service.vip, situation)
    await asker.first(question.client, service.vip)
    answers: list[Answer] = []
    while len(answers) < AT_MOST:
        answer = await asker.ask(question.client, service.vip)
        if answer is None:
            return Verdict(False, f"{situation.mode}: no answer after {len(answers)}")
        answers.append(answer)
        if len(answers) >= AT_LEAST and (verdict := judge(question, answers, situation)).is_kept:
            return verdict
    return judge(question, answers, situation)


def section(order: InClusterOrder, told: dict[str, str], findings: list[Finding]) -> str:
    """What one run showed, for the page."""
    kept = sum(finding.verdict.is_kept for finding in findings)
    head = f"**{kept} passed, {len(findings) - kept} failed.** {page.told(told)}"
    rows = (_row(order.engine, finding) for finding in findings)
    table = ("| ID | engine | asked | outcome | the backend's side |", "|---|---|---|---|---|", *rows)
    return page.marked(order.name, "test-in-cluster", (head, "", *table))


def _row(engine: EngineName, finding: Finding) -> str:
    question, outcome = finding.question, "pass" if finding.verdict.is_kept else "FAIL"
    return f"| {question.line} | {engine} | {question.text} | {outcome} | {page.cell(finding.verdict.seen)} |"


def _survey(kubectl: Kubectl, nodes: list[Any]) -> Landscape:
    pods = kubectl.read("get", "pods", "--all-namespaces")["items"]
    return landscape_of(nodes, pods, source_address(addresses(nodes)[0]))


if __name__ == "__main__":
    sys.exit(main())
