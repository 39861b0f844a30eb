"""Whether a load balancer is provisioned and serves: computed once, for its object, its tenant and the metrics.

Invariant (V10): `Serving` is True only if every required node acknowledged the very revision in force on every port,
and a probe through the VIP was answered; where its pool asks for it, only if nodes announce every address
(`with_announcement`). Nothing is concluded from silence: what is not known is InProgress. But a node
that checks backends and finds none healthy has spoken.
"""

from collections.abc import Iterable, Mapping

import msgspec

from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Reason, Refusal, Status
from fleetlb.domain.services import MAX_PODS


class PortReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one node says of one virtual server of the load balancer."""

    current: bool
    """Whether the node speaks of the revision in force."""
    rejected: str = ""
    """The data plane's own words, when it refused."""
    reason: str = ""
    """Why there is no real server."""
    real_servers: int = 0
    answered: bool | None = None
    """Outcome of the probe; None: not known yet."""
    healthy: int | None = None
    """How many of `real_servers` pass the node's checks; None: it does not check them."""
    brake: bool = False
    """So many failed at once that the node keeps the last set."""

    @property
    def is_unanswered(self) -> bool:
        """Whether the node knows of no backend that answers."""
        return self.answered is False or (self.answered is None and self.healthy == 0)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one load balancer."""

    provisioned: Condition
    serving: Condition
    addresses: tuple[str, ...]
    """What the tenant's Service should show."""

    @property
    def is_settled(self) -> bool:
        """False while the verdict is only that work is under way."""
        return Reason.IN_PROGRESS not in (self.provisioned.reason, self.serving.reason)


Reports = Mapping[str, Iterable[PortReport | None]]
"""Required node to one report per virtual server, None where the node has said nothing."""


def judge(
    *,
    addresses: tuple[str, ...],
    published: tuple[str, ...],
    refusal: Refusal | None,
    reports: Reports,
    clients: str = "",
    generation: int = 0,
) -> Verdict:
    """Judge one load balancer.

    `addresses`: what it owns; `published`: what its tenant has been told before, which stays while it is owned;
    `reports`: one entry per required node; `clients`: what backends see of a client, in words; `generation`: for
    `observedGeneration`.
    """
    nodes = [tuple(node) for node in reports.values()]
    flat = [report for node in nodes for report in node]
    current = [report for report in flat if report is not None and report.current]
    complete = bool(addresses) and bool(nodes) and all(nodes) and len(current) == len(flat)
    provisioned = _provisioned(addresses, refusal, complete, current, clients)
    acknowledged = complete and not any(report.rejected for report in current)
    return Verdict(
        provisioned=_stamp(provisioned, generation),
        serving=_stamp(_serving(addresses, refusal, acknowledged, current), generation),
        addresses=addresses if acknowledged else tuple(a for a in addresses if a in published),
    )


def with_announcement(verdict: Verdict, lack: str | None) -> Verdict:
    """The verdict where addresses are to be announced. `lack`: why one is not, and what to do; "": all are; None: it is
    being settled. What hinders serving otherwise comes first: nodes announce only what has a usable backend."""
    if verdict.serving.status is not Status.TRUE or lack == "":
        return verdict
    serving = in_progress(SERVING)
    if lack is not None:
        serving = Condition(type=SERVING, status=Status.FALSE, reason=Reason.NOT_ANNOUNCED, message=lack)
    return msgspec.structs.replace(verdict, serving=_stamp(serving, verdict.serving.observed_generation))


def for_tenant(serving: Condition) -> Condition:
    """What a tenant reads of Serving. Nodes, interfaces, routers and settings are the platform's own affair."""
    text = NETWORK_TEXTS.get(serving.reason)
    return msgspec.structs.replace(serving, message=text) if text else serving


def with_reach(verdict: Verdict, lack: str) -> Verdict:
    """The verdict where another node calls the addresses. `lack`: what it does not reach, and what to do; "": nothing
    is known to be so. Counts only where nothing else hinders serving: the node that announces reaches backends."""
    if verdict.serving.status is not Status.TRUE or not lack:
        return verdict
    serving = Condition(type=SERVING, status=Status.FALSE, reason=Reason.NOT_REACHABLE, message=lack)
    return msgspec.structs.replace(verdict, serving=_stamp(serving, verdict.serving.observed_generation))


def _provisioned(
    addresses: tuple[str, ...], refusal: Refusal | None, complete: bool, current: list[PortReport], clients: str
) -> Condition:
    if refusal:
        return Condition(type=PROVISIONED, status=Status.FALSE, reason=refusal.reason, message=refusal.message)
    rejected = next((report.rejected for report in current if report.rejected), "")
    if rejected:
        return Condition(type=PROVISIONED, status=Status.FALSE, reason=Reason.DATAPLANE_REJECTED, message=rejected)
    if not complete:
        return in_progress(PROVISIONED)
    text = f"{', '.join(addresses)} programmed on every balancer node" + (f"; {clients}" if clients else "")
    return Condition(type=PROVISIONED, status=Status.TRUE, reason=Reason.COMPLETE, message=text)


def _serving(
    addresses: tuple[str, ...], refusal: Refusal | None, acknowledged: bool, current: list[PortReport]
) -> Condition:
    if refusal and not addresses:
        return Condition(type=SERVING, status=Status.FALSE, reason=refusal.reason, message=refusal.message)
    rejected = next((report.rejected for report in current if report.rejected), "")
    if rejected:
        return Condition(type=SERVING, status=Status.FALSE, reason=Reason.DATAPLANE_REJECTED, message=rejected)
    if not acknowledged:
        return in_progress(SERVING)
    idle = next((report.reason for report in current if not report.real_servers), None)
    if idle is not None:
        reason = idle or Reason.NO_READY_BACKEND
        return Condition(type=SERVING, status=Status.FALSE, reason=reason, message=IDLE_TEXTS.get(reason, ""))
    health = _health(current)
    if any(report.is_unanswered for report in current):
        text = "a balancer node dialled the address and no backend answered; check that backends are open to it"
        return Condition(type=SERVING, status=Status.FALSE, reason=Reason.PROBE_UNANSWERED, message=text + health)
    if any(report.answered is None for report in current):
        return in_progress(SERVING)
    text = "every balancer node reached a backend"
    return Condition(type=SERVING, status=Status.TRUE, reason=Reason.SERVING, message=text + health)


def _health(current: list[PortReport]) -> str:
    """How many backends are healthy on the node and port where it is worst; "" where all are, or none is checked."""
    shares = [
        (report.healthy / report.real_servers, report.healthy, report.real_servers)
        for report in current
        if report.healthy is not None and report.healthy < report.real_servers
    ]
    words = ""
    if shares:
        _, healthy, wished = min(shares)
        words = f"; {healthy} of {wished} backends healthy"
    if any(report.brake for report in current):
        words += "; most backends fail their checks, so the last set is kept"
    return words


_ASK = "ask the platform team, to whom `fleetlb why svc` tells what is missing"
NETWORK_TEXTS: dict[str, str] = {
    Reason.NOT_ANNOUNCED: "the network is not told where the address is; backends are ready, and it serves as soon"
    f" as it is: {_ASK}",
    Reason.NOT_REACHABLE: f"backends are ready, but the address is not reached over the network: {_ASK}",
}
"""Without nodes, interfaces, routers and settings, which are the platform's own affair."""
IDLE_TEXTS: dict[str, str] = {
    Reason.NO_READY_BACKEND: "no ready endpoint; the address stays and serves as soon as a pod is ready",
    Reason.NO_ELIGIBLE_NODE: "no eligible node with an address of that family in the cluster; the address stays and"
    " serves as soon as there is one",
    Reason.BACKEND_NOT_ALLOWED: "no node address lies in the tenant's nodeCIDRs, or, where pods are reached directly,"
    " no pod address in its podCIDRs; ask the platform team to add them",
    Reason.NO_NODE_PORT: "a port has no nodePort, and its pods are not reached directly; set one, or set"
    " spec.allocateLoadBalancerNodePorts to true, or have podCIDRs granted and pods told of"
    f" (FLEETLB_POD_BACKENDS=true of the tenant-watcher, at most {MAX_PODS} a Service)",
}


def in_progress(kind: str) -> Condition:
    """The first thing that a condition says."""
    return Condition(type=kind, status=Status.FALSE, reason=Reason.IN_PROGRESS, message="being provisioned")


def _stamp(condition: Condition, generation: int) -> Condition:
    return msgspec.structs.replace(condition, observed_generation=generation)
