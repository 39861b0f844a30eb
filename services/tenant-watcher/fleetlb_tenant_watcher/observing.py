"""From a Kubernetes Service to a view of it: whose it is, what it wishes, and what its status shows of us. Pure."""

import sys

from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.kube.service_objects import ConditionShown, IngressEntry, Service
from fleetlb.kube.service_wishes import Claim, Selection, claim_of, parse_wish
from fleetlb_tenant_watcher.service_views import ServiceView


def observe(service: Service, selection: Selection) -> ServiceView:
    """Parse a Service."""
    metadata, status = service.metadata, service.status
    claim = claim_of(service.spec, selection)
    deleting = metadata.deletion_timestamp is not None
    present = metadata.finalizers or ()
    ours = tuple(name for name in selection.finalizers if name in present)
    return ServiceView(
        uid=metadata.uid,
        namespace=sys.intern(metadata.namespace),
        name=metadata.name,
        claim=claim,
        deleting=deleting,
        finalizers=selection.finalizers if ours == selection.finalizers else ours,
        has_others=len(present) > len(ours),
        wish=parse_wish(metadata, service.spec, selection) if claim is Claim.OURS and not deleting else None,
        ingress=tuple(_ingress(entry) for entry in status.load_balancer.ingress or ()),
        conditions=tuple(_condition(c) for c in status.conditions or () if c.type in (PROVISIONED, SERVING)),
    )


def _ingress(entry: IngressEntry) -> Ingress | None:
    """None for an entry that is not of the form that we write, so that it compares as different."""
    if entry.hostname and not entry.ip and not entry.ports:
        return Ingress(hostname=entry.hostname)
    if not entry.ip or entry.hostname or entry.ports or entry.ip_mode not in ("VIP", "Proxy"):
        return None
    return Ingress(ip=entry.ip, ip_mode=IpMode(entry.ip_mode))


def _condition(shown: ConditionShown) -> Condition:
    """Words that thousands of Services have in common are kept once."""
    try:
        status = Status(shown.status)
    except ValueError:
        status = Status.UNKNOWN
    return Condition(
        type=sys.intern(shown.type),
        status=status,
        reason=sys.intern(shown.reason),
        message=sys.intern(shown.message) if shown.type == SERVING else shown.message,
        last_transition_time=sys.intern(shown.last_transition_time or ""),
    )
