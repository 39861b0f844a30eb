"""One tenant as a page for a terminal. Formats only."""

from collections.abc import Sequence

from fleetlb.domain.conditions import Status
from fleetlb_cli.tenants.detailing import Details, LoadBalancerDetails
from fleetlb_cli.tenants.listing import NEVER, Share
from fleetlb_cli.tenants.tables import aligned

MOST_SERVICES = 20
_INDENT = "  "


def as_page(details: Details) -> str:
    """Everything, load balancers up to a number."""
    return "\n".join(
        [
            f"tenant {details.name}" + (" (being removed)" if details.being_removed else ""),
            aligned(_facts(details), _INDENT),
            *_part("clusters", ("UID", "WATCHER", "SERVICES", "LAST CONTACT"), _clusters(details)),
            *_part("conditions", ("TYPE", "STATUS", "REASON", "MESSAGE"), _conditions(details)),
            *_part("load balancers", ("SERVICE", "ADDRESSES", "SERVING"), _services(details)),
            *_more(details),
        ]
    )


def _facts(details: Details) -> list[tuple[str, str]]:
    return [
        ("networks of nodes", ", ".join(details.node_cidrs)),
        ("networks of pods", ", ".join(details.pod_cidrs) or "none: served by its nodes"),
        ("node ports", details.node_port_range),
        ("pools", ", ".join(details.pools) or "every pool"),
        ("groups", ", ".join(details.groups) or "every group"),
        ("load balancers", share(details.load_balancers)),
        ("addresses", share(details.addresses)),
        ("ports", share(details.ports)),
        ("suspended", "yes: its watchers are cut from the hub" if details.suspended else "no"),
        ("credentials", _credentials(details)),
        ("revoked", _revoked(details)),
    ]


def share(part: Share) -> str:
    """`3 of 10`, or `3, no limit`."""
    return f"{part.used}, no limit" if part.limit is None else f"{part.used} of {part.limit}"


def _credentials(details: Details) -> str:
    offer = details.credentials
    if offer is None:
        return "none to join with"
    ends = f"expire {offer.expires}" if offer.expires else "never expire"
    void = f", void {offer.good_until}" if offer.good_until != offer.expires else ""
    return f"to join with: issued {offer.issued}, {ends}{void}"


def _revoked(details: Details) -> str:
    if details.revoked is None:
        return "nothing"
    since = f"void from {details.revoked.at} on" if details.revoked.at else "void at once"
    return f"issued before {details.revoked.issued_before}: {since}"


def _part(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [title, aligned([head, *rows], _INDENT) if rows else f"{_INDENT}none"]


def _clusters(details: Details) -> list[tuple[str, ...]]:
    return [
        (each.uid, each.watcher_version or "unknown", str(each.services), each.last_contact or NEVER)
        for each in details.clusters
    ]


def _conditions(details: Details) -> list[tuple[str, ...]]:
    return [(each.type, each.status.value, each.reason, each.message) for each in details.conditions]


def _services(details: Details) -> list[tuple[str, ...]]:
    return [
        (f"{each.namespace}/{each.name}", ", ".join(each.addresses) or "none", _serving(each))
        for each in details.services[:MOST_SERVICES]
    ]


def _serving(each: LoadBalancerDetails) -> str:
    is_all_said = each.serving is Status.TRUE or not each.reason
    return each.serving.value if is_all_said else f"{each.serving.value}: {each.reason}"


def _more(details: Details) -> list[str]:
    more = len(details.services) - MOST_SERVICES
    return [f"{_INDENT}and {more} more: kubectl -n tenant-{details.name} get loadbalancers"] if more > 0 else []
