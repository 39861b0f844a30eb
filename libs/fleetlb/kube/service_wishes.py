"""The one parse of what a Kubernetes Service wishes: to a `TenantService`, or a `Refusal`.

Pure, and total: whatever a tenant wrote, the answer is a value that names the field and the cure. A field is honoured
or refused, never dropped. What the hub may grant is not known here.
"""

import enum
import sys
from collections.abc import Mapping

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of, parse_address
from fleetlb.domain.annotations import PREFIX, Annotation, parse_annotations
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.dialects import Dialect, translate
from fleetlb.domain.services import (
    MAX_LABELS,
    MAX_PORTS,
    MAX_SOURCE_RANGES,
    ServicePort,
    TenantService,
    TrafficPolicy,
    canonical_ranges,
)
from fleetlb.kube.service_objects import ServiceMeta, ServicePortSpec, ServiceSpec

STANDARD_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""The name that the ecosystem looks for (KEP-980)."""
OWN_FINALIZER = "fleetlb.dev/load-balancer-cleanup"
"""Needed where a default cloud controller runs too: it strips the standard one from any Service (FIN-2)."""

_WITHOUT_CLASS = (STANDARD_FINALIZER,)
_WITH_CLASS = (STANDARD_FINALIZER, OWN_FINALIZER)
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
DEFAULT_AFFINITY_SECONDS = 10800
_IPV4_ONLY = (Family.IPV4,)
_NO_LABELS: dict[str, str] = {}
_PROTOCOLS = tuple(Protocol)


class Selection(msgspec.Struct, frozen=True):
    """Which Services are ours: those of a class, or those without one."""

    load_balancer_class: str | None = None
    dialects: tuple[Dialect, ...] = ()
    """Other products whose annotations are read too."""
    labels: tuple[str, ...] = ()
    """Labels that the hub is told of, beside those of our own prefix."""

    @property
    def finalizers(self) -> tuple[str, ...]:
        """What a Service must carry before the hub hears of it."""
        return _WITHOUT_CLASS if self.load_balancer_class is None else _WITH_CLASS

    @property
    def marker(self) -> str:
        """The finalizer by which a Service is recognised after its class was wiped (SEL-5)."""
        return self.finalizers[-1]


class Claim(enum.Enum):
    """Whose Service it is, by type and class alone."""

    OURS = "ours"
    PLAIN = "plain"
    """Not of type LoadBalancer."""
    FOREIGN = "foreign"
    """A load balancer of somebody else's."""


def claim_of(spec: ServiceSpec, selection: Selection) -> Claim:
    """Whose Service it is. Classes are compared exactly (SEL-4)."""
    if spec.type != "LoadBalancer":
        return Claim.PLAIN
    return Claim.OURS if spec.load_balancer_class == selection.load_balancer_class else Claim.FOREIGN


def parse_wish(metadata: ServiceMeta, spec: ServiceSpec, selection: Selection) -> TenantService | Refusal:
    """What the tenant asks for, or why it cannot be asked for."""
    translated = translate(metadata.annotations or {}, selection.dialects)
    if isinstance(translated, Refusal):
        return translated
    asked = parse_annotations(*translated)
    if isinstance(asked, Refusal):
        return asked
    ranges = _source_ranges(spec, translated.annotations)
    if isinstance(ranges, Refusal):
        return ranges
    ports = _ports(spec.ports or ())
    if isinstance(ports, Refusal):
        return ports
    other = next((port for port in ports if asked.proxy_protocol and port.protocol is not Protocol.TCP), None)
    if other:
        what = f"port {other.port}/{other.protocol} cannot carry it; put that port into a Service of its own"
        return Refusal(Reason.UNSUPPORTED, f"annotation {Annotation.PROXY_PROTOCOL}: {what}")
    families = _families(spec.ip_families)
    if isinstance(families, Refusal):
        return families
    addresses = _addresses(asked.addresses, spec.load_balancer_ip, families)
    if isinstance(addresses, Refusal):
        return addresses
    labels = _labels(metadata.labels or _NO_LABELS, selection)
    if isinstance(labels, Refusal):
        return labels
    local = spec.external_traffic_policy == TrafficPolicy.LOCAL
    return TenantService(
        namespace=sys.intern(metadata.namespace),
        name=metadata.name,
        ports=ports,
        ip_families=families,
        prefers_dual_stack=spec.ip_family_policy == "PreferDualStack" and len(families) > 1,
        external_traffic_policy=TrafficPolicy.LOCAL if local else TrafficPolicy.CLUSTER,
        health_check_node_port=spec.health_check_node_port if local else 0,
        affinity_seconds=_affinity_seconds(spec),
        addresses=addresses,
        pool=asked.pool,
        sharing_key=asked.sharing_key,
        source_ranges=ranges,
        scheduler=asked.scheduler,
        proxy_protocol=asked.proxy_protocol,
        drain_seconds=asked.drain_seconds,
        hostname=asked.hostname,
        labels=labels,
    )


def _labels(labels: Mapping[str, str], selection: Selection) -> dict[str, str] | Refusal:
    """Those that the hub is told of: an edit of any other is no news."""
    told = sorted(key for key in labels if key.startswith(PREFIX) or key in selection.labels)
    if len(told) > MAX_LABELS:
        what = f"{len(told)} labels of {PREFIX} and FLEETLB_SERVICE_LABELS, at most {MAX_LABELS} are supported"
        return Refusal(Reason.UNSUPPORTED, f"metadata.labels: {what}; remove some")
    # One empty dict for all Services without any, and one string for a key of many.
    return {sys.intern(key): labels[key] for key in told} if told else _NO_LABELS


def _source_ranges(spec: ServiceSpec, annotations: Mapping[str, str]) -> tuple[str, ...] | Refusal:
    """Networks whose clients are let in; the field wins over its annotation (SRC-3)."""
    field = "spec.loadBalancerSourceRanges"
    texts = [text.strip() for text in spec.load_balancer_source_ranges or ()]
    if not texts:
        field = f"annotation {SOURCE_RANGES}"
        texts = [text.strip() for text in annotations.get(SOURCE_RANGES, "").split(",") if text.strip()]
    try:
        ranges = canonical_ranges(texts)
    except ValueError as problem:
        return Refusal(Reason.INVALID, f"{field}: {problem}; write one such as 192.0.2.0/24")
    if len(ranges) > MAX_SOURCE_RANGES:
        message = f"{field}: {len(ranges)} networks, at most {MAX_SOURCE_RANGES} are supported; use wider ones"
        return Refusal(Reason.UNSUPPORTED, message)
    return ranges


def _ports(specs: tuple[ServicePortSpec, ...]) -> tuple[ServicePort, ...] | Refusal:
    """A port without a node port is passed on: whether pods are reached directly is for the hub to say (NPT-1)."""
    if not specs:
        return Refusal(Reason.INVALID, "spec.ports: empty; a load balancer needs a port")
    if len(specs) > MAX_PORTS:
        message = f"spec.ports: {len(specs)} ports, at most {MAX_PORTS} are supported; use several Services"
        return Refusal(Reason.UNSUPPORTED, message)
    for spec in specs:
        if spec.protocol not in _PROTOCOLS:
            known = ", ".join(_PROTOCOLS)
            message = f"spec.ports: protocol {spec.protocol[:16]!r} of port {spec.port} is not supported; use {known}"
            return Refusal(Reason.UNSUPPORTED, message)
    return tuple(_port(spec) for spec in specs)


def _port(spec: ServicePortSpec) -> ServicePort:
    name = sys.intern(spec.name)  # many Services, few names of ports
    return ServicePort(port=spec.port, node_port=spec.node_port, protocol=Protocol(spec.protocol), name=name)


def _families(names: tuple[str, ...] | None) -> tuple[Family, ...] | Refusal:
    try:
        families = tuple(Family(name) for name in dict.fromkeys(names or (Family.IPV4,)))
    except ValueError:
        return Refusal(Reason.UNSUPPORTED, f"spec.ipFamilies: {', '.join(names or ())[:64]}: use IPv4 or IPv6")
    return _IPV4_ONLY if families == _IPV4_ONLY else families


def _addresses(asked: tuple[str, ...], field: str, families: tuple[Family, ...]) -> tuple[str, ...] | Refusal:
    """The addresses asked for; `spec.loadBalancerIP` is an alias that may repeat one of the annotation's."""
    try:
        alias = (str(parse_address(field)),) if field else ()
    except ValueError as problem:
        return Refusal(Reason.INVALID, f"spec.loadBalancerIP: {problem}")
    if alias and asked and alias[0] not in asked:
        listed = ",".join(asked)[:96]
        message = f"spec.loadBalancerIP {alias[0]} is not among {Annotation.ADDRESSES} {listed}; remove one of them"
        return Refusal(Reason.INVALID, message)
    source, wanted = (f"annotation {Annotation.ADDRESSES}", asked) if asked else ("spec.loadBalancerIP", alias)
    kinds = [family_of(address) for address in wanted]
    if len(set(kinds)) < len(kinds):
        return Refusal(Reason.INVALID, f"{source}: at most one address of each family")
    for address, kind in zip(wanted, kinds, strict=True):
        if kind not in families:
            message = f"{source}: {address} is {kind}, but spec.ipFamilies is {', '.join(families)}"
            return Refusal(Reason.INVALID, message)
    return wanted


def _affinity_seconds(spec: ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    timeout = config.client_ip.timeout_seconds if config and config.client_ip else None
    return timeout or DEFAULT_AFFINITY_SECONDS
