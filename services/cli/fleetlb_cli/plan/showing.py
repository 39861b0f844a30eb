"""Plans for a terminal. Formats only."""

from collections.abc import Iterator

from fleetlb.contracts.objects import PoolCounts
from fleetlb.contracts.plans import PoolPlanAnswered, ServicePlan
from fleetlb_cli.plan.verdicts import GRANTED, NOT_OURS, REFUSED, PoolVerdict, ServiceVerdict, Verdicts
from fleetlb_cli.rendering import Line, Page, Tone
from fleetlb_cli.tenants.tables import aligned, printable

_INDENT = "  "
Facts = list[tuple[str, str]]


def page_of(found: Verdicts) -> Page:
    """Everything that would happen, as text below no table, and as a value."""
    lines = [
        *(line for each in found.services for line in _service(each)),
        *(line for each in found.pools for line in _pool(each)),
        *(Line(f"{printable(other)}: nothing is planned for it") for other in found.others),
        *(Line(printable(note)) for note in found.notes),
    ]
    return Page(parts=(), value=found, closing=tuple(lines))


def _lines(head: str, tone: Tone, facts: Facts) -> Iterator[Line]:
    yield Line(printable(head), tone)
    rows = [(name, text) for name, text in facts if text]
    if rows:
        yield Line(aligned(rows, _INDENT))


def _service(found: ServiceVerdict) -> Iterator[Line]:
    tone = Tone.GOOD if found.verdict == GRANTED else Tone.DOUBTFUL if found.verdict == NOT_OURS else Tone.BAD
    return _lines(f"Service {found.service}: {_fate(found)}", tone, _facts(found))


def _fate(found: ServiceVerdict) -> str:
    before, now = found.plan.before, tuple(each.address for each in found.plan.addresses)
    if found.verdict == NOT_OURS:
        return "is not ours"
    if found.verdict == REFUSED:
        return "would be refused" + (f", and keep {', '.join(before)}" if before else "")
    if not before:
        return f"would get {', '.join(now)}"
    if before == now:
        return f"would keep {', '.join(now)}"
    return f"would have {', '.join(now)} instead of {', '.join(before)}"


def _facts(found: ServiceVerdict) -> Facts:
    plan = found.plan
    nodes = f"{', '.join(plan.nodes)} of group {plan.group}" if plan.group else ""
    return [
        ("reason", found.reason),
        ("because", found.message),
        *((each.address, f"of pool {each.pool}: {each.why}") for each in plan.addresses),
        ("missing", f"{plan.missing.reason}: {plan.missing.message}" if plan.missing else ""),
        ("balancer nodes", nodes),
        *_ports(plan),
        *(("note", note) for note in plan.notes),
        ("do", found.cure),
    ]


def _ports(plan: ServicePlan) -> Iterator[tuple[str, str]]:
    for port in plan.ports:
        none = f"no real server: {port.reason}"
        yield str(port.key), none if port.reason else f"goes to {port.real_servers} real servers"


def _pool(found: PoolVerdict) -> Iterator[Line]:
    heads = {REFUSED: "would be refused", "new": "would be new", "changed": "would change", "unchanged": "is like this"}
    tone = Tone.BAD if found.verdict == REFUSED else Tone.GOOD
    plan = found.plan
    facts: Facts = [
        ("because", found.message),
        ("ranges that come", ", ".join(plan.gained)),
        ("ranges that go", ", ".join(plan.lost)),
        *(("field", change) for change in plan.changes),
        *_counts(plan),
        ("stay outside", _outside(plan)),
        *(("would be served", _named(each.tenant, each.namespace, each.name, each.addresses)) for each in plan.served),
        ("would wait on", str(plan.waiting) if plan.waiting else ""),
        *(("note", note) for note in plan.notes),
    ]
    return _lines(f"AddressPool {found.pool}: {heads[found.verdict]}", tone, facts)


def _counts(plan: PoolPlanAnswered) -> Iterator[tuple[str, str]]:
    for family, before, after in (("IPv4", plan.ipv4_before, plan.ipv4), ("IPv6", plan.ipv6_before, plan.ipv6)):
        if before.total or after.total:
            change = _count(after) if plan.is_new or before == after else f"{_count(before)} -> {_count(after)}"
            yield f"{family} addresses", change


def _count(counts: PoolCounts) -> str:
    return f"{counts.free} free of {counts.total}"


def _outside(plan: PoolPlanAnswered) -> str:
    more = ", …" if plan.outside > len(plan.outside_named) else ""
    return f"{plan.outside} in use, served on: {', '.join(plan.outside_named)}{more}" if plan.outside else ""


def _named(tenant: str, namespace: str, name: str, addresses: tuple[str, ...]) -> str:
    return f"{tenant}/{namespace}/{name}: {', '.join(addresses)}"
