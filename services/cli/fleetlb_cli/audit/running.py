"""Runs audits: two looks at a fleet and a judgement, once or for ever with metrics."""

import asyncio
import time
from collections import Counter
from typing import NoReturn

import msgspec
import prometheus_client
import structlog

import fleetlb
from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.metrics import BUILD_INFO
from fleetlb_cli.audit.gathering import gather
from fleetlb_cli.audit.judging import CHECKED, judge, lasting
from fleetlb_cli.audit.listening import Listener
from fleetlb_cli.audit.picture import Finding, Picture
from fleetlb_cli.reaching import Target, connected

FINDINGS = prometheus_client.Gauge("fleetlb_audit_findings", "Promises that do not hold, by invariant.", ["invariant"])
LAST = prometheus_client.Gauge(
    "fleetlb_audit_last_timestamp_seconds", "When the fleet was last looked at whole.", unit="seconds"
)
SECONDS = prometheus_client.Gauge("fleetlb_audit_seconds", "How long the last audit took.", unit="seconds")
BLIND = prometheus_client.Counter("fleetlb_audit_failures_total", "Audits that could not look at the fleet.")

NAME = "fleetlb-audit"

log = structlog.get_logger(__name__)


class Sight(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an audit came to."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    looked_at: dict[str, int]


async def audit_once(target: Target, settle: float) -> Sight:
    """Two looks, `settle` seconds apart. Raises FleetlbError or OSError."""
    async with connected(target, NAME) as (cluster, bus):
        return await look(cluster, bus, target, settle)


async def audit_for_ever(target: Target, settle: float, every: float, address: tuple[str, int]) -> NoReturn:
    """Again and again, with metrics on `address` (host and port)."""
    host, port = address
    BUILD_INFO.labels(NAME, fleetlb.__version__).set(1)
    prometheus_client.start_http_server(port, host)
    listener = Listener()
    async with connected(target, NAME) as (cluster, bus):
        while True:
            began = time.monotonic()
            try:
                _count(await look(cluster, bus, target, settle))
                await listener.listen(cluster, bus)
            except FleetlbError as problem:
                BLIND.inc()
                log.warning("the fleet could not be looked at", problem=str(problem))
            else:
                LAST.set_to_current_time()
                SECONDS.set(time.monotonic() - began)
            await asyncio.sleep(every)
    raise AssertionError("never reached")


async def look(cluster: Cluster, bus: Bus, target: Target, settle: float) -> Sight:
    """Two looks over connections that stand. Raises FleetlbError."""
    first = judge(await gather(cluster, bus), allow_loopback=target.allow_loopback)
    await asyncio.sleep(settle)
    picture = await gather(cluster, bus)
    second = judge(picture, allow_loopback=target.allow_loopback)
    return Sight(findings=tuple(lasting(first, second)), checked=CHECKED, looked_at=_counts(picture))


def _counts(picture: Picture) -> dict[str, int]:
    return {
        "tenants": len(picture.tenants),
        "pools": len(picture.pools),
        "load balancers": len(picture.load_balancers),
        "claims": len(picture.claims),
        "wishes": len(picture.desired),
        "virtual servers on nodes": len(picture.realized),
    }


def _count(sight: Sight) -> None:
    by_invariant = Counter(finding.invariant for finding in sight.findings)
    for invariant in CHECKED:
        FINDINGS.labels(invariant).set(by_invariant[invariant])
    for finding in sight.findings:
        log.warning("a promise does not hold", invariant=finding.invariant, about=finding.about, text=finding.text)
