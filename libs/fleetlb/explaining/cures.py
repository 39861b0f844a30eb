"""What to do about each reason: one table. A reason that is not in it says in its own message what to do."""

from collections.abc import Mapping

from fleetlb.domain.announcing import ANNOUNCING_CURES
from fleetlb.domain.conditions import Reason
from fleetlb.domain.reaching import NOT_REACHABLE_CURE

CURES: Mapping[str, str] = {
    "NotFound": "check the namespace and the name, and that the tenant's watcher sees this cluster",
    "NotALoadBalancer": "set spec.type to LoadBalancer",
    "OtherClass": "leave spec.loadBalancerClass out, or run a watcher for that class (FLEETLB_LOAD_BALANCER_CLASS)",
    "TenantUnknown": "fleetlb tenant create, or check the tenant's name with fleetlb tenant list",
    "TenantSuspended": "fleetlb tenant resume",
    Reason.TENANT_NOT_READY: "fleetlb tenant show tells what it waits for",
    Reason.INVALID: "mend the field that the message names",
    Reason.UNSUPPORTED: "do without what the message names: docs/service-support.md says what is honoured",
    Reason.ANNOTATION_NOT_ALLOWED: "leave the annotation out, or have the Tenant's spec.annotations allow it",
    Reason.HUB_UNREACHABLE: "check the network from the tenant's cluster to NATS, and the watcher's credentials",
    "WatcherSilent": "look at the watcher in the tenant's cluster: its log, its /readyz, its credentials",
    "NotObserved": "look at the watcher's log: the hub may refuse its messages, or its stream may be full",
    "NoManager": "start a manager; if one runs, its log says why it does not get the Lease",
    "StoreWentBack": "fleetlb restore show, then fleetlb restore accept",
    "NotDecided": "look at the manager's log for this Service; if the wish cannot be read, it was parked",
    Reason.POOL_EXHAUSTED: "add addresses to the pool, or delete a Service; it is served then by itself",
    Reason.QUOTA_EXCEEDED: "raise the quota of the Tenant, or delete a Service; it is served then by itself",
    Reason.ADDRESS_IN_USE: "choose another address, or wait until it is given back",
    Reason.ADDRESS_NOT_ALLOWED: "choose an address of a pool that the tenant may use",
    Reason.SHARING_CONFLICT: "choose another port or another sharing key, or wait until the other Service is gone",
    Reason.RELEASE_PENDING: "bring the node back, or take it out of its BalancerGroup once it certainly serves nothing",
    "NotPublished": "look at the manager's log: NATS may refuse the message",
    "NotAcknowledged": "look at the dataplane-programmer on that node: its log and its /readyz",
    Reason.DATAPLANE_REJECTED: "mend on the node what the message names, or change the Service's port",
    Reason.NO_READY_BACKEND: "make a pod ready: kubectl get endpointslices tells which is not",
    Reason.NO_NODE_PORT: "set a nodePort, or have pods reached directly: the message says how",
    Reason.NO_ELIGIBLE_NODE: "check that nodes are Ready and not excluded from load balancers",
    Reason.BACKEND_NOT_ALLOWED: "add the nodes' network to the Tenant's spec.nodeCIDRs (for pods: spec.podCIDRs)",
    Reason.PROBE_UNANSWERED: "see that a pod listens, and that nodes let balancer nodes in on the node port",
    **ANNOUNCING_CURES,
    "AttributesUnknown": "mend what the condition Announced of the AddressPool names; if it names nothing, see that a"
    " manager runs",
    Reason.NOT_REACHABLE: NOT_REACHABLE_CURE,
    "TakingOver": "wait a moment; if it stays, look at the logs of the dataplane-programmers on these nodes",
    "NoStatusService": "start a status service; if one runs, its log says why it does not get the Lease",
    "NotJudged": "wait a moment; if it stays, look at the status service's log",
    Reason.IN_PROGRESS: "wait a moment; if it stays, look at the status service's log",
    Reason.OVERLAP: "have the Tenant's networks overlap no other Tenant's",
    "NotShown": "look at the watcher's log: it may lack the right to patch services/status",
}
