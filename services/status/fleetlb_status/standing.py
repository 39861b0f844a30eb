"""How a Service stands, as far as events tell of it, and which events lie between two standings. Pure.

Nothing is told of what is only under way: a Service that serves no more "InProgress" keeps the reason it had.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from fleetlb.contracts import events
from fleetlb.contracts.events import EventPort, ServiceEvent
from fleetlb.contracts.told import ServiceTold, Standing
from fleetlb.domain.conditions import Reason, Status
from fleetlb_status.judging import Judged
from fleetlb_status.memory import Key
from fleetlb_status.reporting import is_current

RELEASED = "Released"
"""Why a Service serves no more whose load balancer is gone."""

NOTHING = Standing(cluster_uid="", namespace="", name="")
"""Before anything was told."""

E = TypeVar("E", bound=ServiceEvent)


def standing_of(judged: Judged, before: Standing | None, now: str) -> Standing:
    """How a Service stands; `now`: RFC 3339. What is not known yet is as it was."""
    spec, serving, known = judged.balancer.spec, judged.verdict.serving, before or NOTHING
    ports = tuple(EventPort(port=p.port, protocol=p.protocol, name=p.name) for p in spec.service.ports)
    standing = Standing(
        cluster_uid=spec.cluster_uid,
        namespace=spec.service.namespace,
        name=spec.service.name,
        held={address: known.held.get(address, now) for address in spec.addresses},
        hostname=spec.service.hostname,
        ports=ports,
        pool=spec.pool,
        group=spec.group,
        serving=serving.status is Status.TRUE,
        reason=str(serving.reason),
        message=serving.message,
        refusal=str(spec.refusal.reason) if spec.refusal else "",
        refusal_message=spec.refusal.message if spec.refusal else "",
    )
    return _with_health(judged, known, _with_known_reason(known, standing))


def gone(before: Standing) -> Standing:
    """How a Service stands whose load balancer is gone."""
    reason = RELEASED if before.serving else before.reason
    return msgspec.structs.replace(
        before, held={}, serving=False, reason=reason, message="", refusal="", refusal_message="", gone=True
    )


def _with_known_reason(before: Standing, now: Standing) -> Standing:
    """Without a reason that is none: that work is under way, or what the refusal says already."""
    if now.serving or (now.reason not in (Reason.IN_PROGRESS, now.refusal)) or (before and before.serving):
        return now
    known = before if before and not before.gone else None
    return msgspec.structs.replace(now, reason=known.reason if known else "", message=known.message if known else "")


def _with_health(judged: Judged, before: Standing, now: Standing) -> Standing:
    words = [said for of_node in judged.realized.values() for said in of_node.values()]
    current = [said for said in words if is_current(judged.balancer, said)]
    checked = [(said.healthy, said.real_servers) for said in current if said.healthy is not None]
    if checked:
        healthy, backends = min(checked, key=lambda pair: pair[0] - pair[1])
        return msgspec.structs.replace(now, healthy=healthy, backends=backends)
    if current:
        return msgspec.structs.replace(now, backends=min(said.real_servers for said in current))
    return msgspec.structs.replace(now, healthy=before.healthy, backends=before.backends)


def events_of(key: Key, told: ServiceTold) -> tuple[ServiceEvent, ...]:
    """What lies between two standings of a Service, in the order in which it is told: the same whoever asks."""
    words, before, now = _Words(key, told), told.before or NOTHING, told.now
    return (*_losses(words, before, now), *_gains(words, before, now))


def _losses(words: "_Words", before: Standing, now: Standing) -> Iterator[ServiceEvent]:
    if not now.serving and (before.serving or now.reason not in ("", before.reason)):
        yield words.tell(events.NotServing)
    if now.held and _missing(now) > _missing(before):
        yield words.tell(events.BackendUnhealthy)
    for address, since in before.held.items():
        if address not in now.held:
            yield words.tell_of_address(events.AddressReleased, address, since)


def _gains(words: "_Words", before: Standing, now: Standing) -> Iterator[ServiceEvent]:
    for address, since in now.held.items():
        if address not in before.held:
            yield words.tell_of_address(events.AddressAllocated, address, since)
    if before.held and now.held and (before.ports, before.hostname) != (now.ports, now.hostname):
        yield words.tell(events.PortsChanged)
    if now.refusal != before.refusal and not now.gone:
        yield words.tell_of_refusal(events.Refused if now.refusal else events.Granted)
    if now.serving and not before.serving:
        yield words.tell(events.Serving)
    if now.held and _missing(now) < _missing(before):
        yield words.tell(events.BackendHealthy)


def _missing(standing: Standing) -> int:
    """How many backends fail their checks."""
    return standing.backends - standing.healthy if standing.healthy is not None else 0


class _Words:
    """Puts what all events of a record share into each."""

    def __init__(self, key: Key, told: ServiceTold) -> None:
        self._now = told.now
        self._shared: dict[str, Any] = {
            "revision": told.revision,
            "tenant": tenant_of(key),
            "uid": key[1],
            "addresses": tuple(told.now.held),
            **{
                field: getattr(told.now, field)
                for field in (
                    "cluster_uid", "namespace", "name", "hostname", "ports", "pool", "group", "serving", "reason",
                    "message", "backends", "healthy",
                )
            },
        }  # fmt: skip

    def tell(self, kind: type[E]) -> E:
        return kind(**self._shared)

    def tell_of_address(self, kind: type[events.AddressEvent], address: str, since: str) -> ServiceEvent:
        return kind(**self._shared, address=address, since=since)

    def tell_of_refusal(self, kind: type[E]) -> E:
        words = {"reason": self._now.refusal, "message": self._now.refusal_message}
        return kind(**self._shared | words)


def tenant_of(key: Key) -> str:
    """Whose Service it is."""
    return key[0].removeprefix("tenant-")
