"""From what is known of a load balancer to its verdict, its status and its tenant's report. Pure."""

from collections.abc import Mapping

import msgspec

from fleetlb.contracts.objects import AnnouncedAddress, LoadBalancer, LoadBalancerStatus, NodeRevision
from fleetlb.contracts.v1 import Ingress, Probe, RealizedState, ServiceReported, VirtualServerRealized
from fleetlb.domain.addresses import Protocol, family_of
from fleetlb.domain.conditions import Reason, Status, transition
from fleetlb.domain.planning import keys_of
from fleetlb.domain.verdicts import PortReport, Verdict, for_tenant, judge
from fleetlb.domain.virtual_servers import VirtualServerKey

Realized = Mapping[str, Mapping[VirtualServerKey, VirtualServerRealized]]
"""Node name to virtual server to what the node said."""

MESSAGE_LIMIT = 1024
"""A node's words are passed on up to here; Kubernetes takes no condition message beyond 32 KiB."""
_NAMED = 2
"""Nodes that a column names."""
_ANSWERS = {Probe.ANSWERED: True, Probe.UNANSWERED: False, Probe.PENDING: None}


def judge_load_balancer(
    balancer: LoadBalancer, nodes: tuple[str, ...], realized: Realized, published: tuple[str, ...] = ()
) -> Verdict:
    """The verdict; `published` is what this process has told the tenant, beside what the object says it was told."""
    keys = keys_of(balancer.spec.addresses, balancer.spec.service.ports)
    reports = {node: [_port_report(balancer, realized.get(node, {}).get(key)) for key in keys] for node in nodes}
    return judge(
        addresses=balancer.spec.addresses,
        published=(*balancer.status.addresses, *published),
        refusal=balancer.spec.refusal,
        reports=reports,
        clients=_clients(balancer),
        generation=balancer.metadata.generation,
    )


def is_current(balancer: LoadBalancer, realized: VirtualServerRealized) -> bool:
    """Whether a node speaks of the very revision in force: this object, this generation of its spec."""
    said = realized.load_balancer
    return said is not None and (said.uid, said.generation) == (balancer.metadata.uid, balancer.metadata.generation)


def _port_report(balancer: LoadBalancer, realized: VirtualServerRealized | None) -> PortReport | None:
    if realized is None or realized.state is RealizedState.REMOVED:
        return None
    return PortReport(
        current=is_current(balancer, realized),
        rejected=(realized.message or "rejected")[:MESSAGE_LIMIT] if realized.state is RealizedState.REJECTED else "",
        reason=_known_reason(realized.reason),
        real_servers=realized.real_servers,
        answered=_is_answered(realized),
        healthy=realized.healthy,
        brake=realized.brake,
    )


def _is_answered(realized: VirtualServerRealized) -> bool | None:
    """Nothing can be asked of SCTP without speaking to a backend: what carries it counts as answered, as for UDP."""
    if realized.key.protocol is Protocol.SCTP and realized.probe is Probe.PENDING and realized.healthy != 0:
        return True
    return _ANSWERS[realized.probe]


def _known_reason(text: str) -> str:
    """A reason that a tenant may read; a node's other words would not fit into a condition."""
    return text if text in Reason.__members__.values() else ""


def report_of(balancer: LoadBalancer, verdict: Verdict) -> ServiceReported:
    """What the tenant is told; numbered by the publisher."""
    conditions = (verdict.provisioned, for_tenant(verdict.serving))
    return ServiceReported(
        generation=0,
        revision=0,
        wish=balancer.spec.wish,
        ingress=_ingress(balancer, verdict.addresses),
        # A Service has no generation to observe.
        conditions=tuple(msgspec.structs.replace(condition, observed_generation=0) for condition in conditions),
    )


def _ingress(balancer: LoadBalancer, addresses: tuple[str, ...]) -> tuple[Ingress, ...]:
    """Each address, or the name that the tenant wants to see instead."""
    hostname = balancer.spec.service.hostname
    if hostname and addresses:
        return (Ingress(hostname=hostname),)
    return tuple(Ingress(ip=address, ip_mode=balancer.spec.ip_mode) for address in addresses)


def _clients(balancer: LoadBalancer) -> str:
    """What backends see of a client, as the tenant is told."""
    return f"{_seen(balancer)}{_missing(balancer)}"


def _missing(balancer: LoadBalancer) -> str:
    """The family that the tenant would like to have and has not got, as it is told."""
    had = {family_of(address) for address in balancer.spec.addresses}
    missing = [family for family in balancer.spec.service.ip_families if family not in had]
    return f"; no {missing[0]} address is to be had yet (spec.ipFamilyPolicy PreferDualStack)" if missing else ""


def _seen(balancer: LoadBalancer) -> str:
    if balancer.spec.keeps_client_address:
        return "backends see the client's address"
    if balancer.spec.service.proxy_protocol:
        return "backends see the balancer's address, and the client's in a PROXY protocol header on TCP ports"
    return "backends see the balancer's address"


def status_of(
    balancer: LoadBalancer,
    verdict: Verdict,
    nodes: tuple[str, ...],
    realized: Realized,
    now: str,
    announced: tuple[AnnouncedAddress, ...] = (),
) -> LoadBalancerStatus:
    """The object's status; equal to what is there when it says the same."""
    conditions = (verdict.provisioned, verdict.serving)
    return LoadBalancerStatus(
        observed_generation=balancer.metadata.generation,
        addresses=verdict.addresses,
        nodes=node_revisions(balancer, nodes, realized),
        conditions=tuple(transition(balancer.status.conditions, condition, now) for condition in conditions),
        announced=announced,
        announced_by=_announced_by(announced),
    )


def _announced_by(announced: tuple[AnnouncedAddress, ...]) -> str:
    """Such as `layer2: node-1`, or `bgp: 3 nodes`, for a column."""
    nodes: dict[str, dict[str, None]] = {}
    for each in announced:
        nodes.setdefault(each.by.value, {}).update(dict.fromkeys(each.nodes))
    shown = {way: ", ".join(names) if len(names) <= _NAMED else f"{len(names)} nodes" for way, names in nodes.items()}
    return "; ".join(f"{way}: {text}" for way, text in shown.items())


def node_revisions(balancer: LoadBalancer, nodes: tuple[str, ...], realized: Realized) -> tuple[NodeRevision, ...]:
    """What each node made of a load balancer."""
    return tuple(_node_revision(balancer, node, realized.get(node, {})) for node in nodes)


def _node_revision(
    balancer: LoadBalancer, node: str, realized: Mapping[VirtualServerKey, VirtualServerRealized]
) -> NodeRevision:
    keys = keys_of(balancer.spec.addresses, balancer.spec.service.ports)
    current = [said for key in keys if (said := realized.get(key)) is not None and is_current(balancer, said)]
    if not keys or len(current) < len(keys):
        return NodeRevision(node=node, state="waiting")
    if any(said.state is RealizedState.REJECTED for said in current):
        return NodeRevision(node=node, state="rejected")
    return NodeRevision(node=node, generation=balancer.metadata.generation, state="programmed")


def status_body(status: LoadBalancerStatus) -> dict[str, object]:
    """A status with its defaults written out, so that a merge patch leaves nothing of an earlier one;
    None removes a field that most objects need not have."""
    return {
        "observedGeneration": status.observed_generation,
        "addresses": status.addresses,
        "nodes": status.nodes,
        "conditions": status.conditions,
        "announced": status.announced or None,
        "announcedBy": status.announced_by or None,
    }


def state_of(verdict: Verdict) -> str:
    """One word for the metrics: the reason of what is worst."""
    if verdict.serving.status is Status.TRUE:
        return verdict.serving.reason if verdict.provisioned.status is Status.TRUE else verdict.provisioned.reason
    return verdict.serving.reason
