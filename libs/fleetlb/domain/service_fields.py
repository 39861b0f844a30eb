"""Every field of a Service that a load balancer could honour: each is honoured or refused, never dropped.

The one table from which balancer groups judge a Service and from which docs/service-support.md is made.
"""

from collections.abc import Callable, Mapping

import msgspec

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.annotations import Annotation
from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, Capability, EngineName
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.domain.services import MAX_LABELS, TenantService
from fleetlb.domain.virtual_servers import Scheduler

COMMON_SCHEDULERS = frozenset({Scheduler.ROUND_ROBIN, Scheduler.LEAST_CONNECTION, Scheduler.MAGLEV})
"""What every balancer group honours; the others need a capability."""
ELSEWHERE = f"ask for a pool of another group ({Annotation.POOL})"
"""The cure for what one balancer group cannot do and another may."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what is done, by every engine or by each, unless a group lacks what it needs."""

    name: str
    honoured: str | Mapping[EngineName, str]
    """In words; an engine that is missing has not got what the field needs."""
    needs: Capability | None = None
    asks: Callable[[TenantService], str] = lambda _: ""
    """What a Service asks for that needs the capability, as an objection names it; "" if it does not ask."""
    cure: str = ""
    """What the tenant can do instead, beside going elsewhere."""

    def treatment(self, engine: EngineName) -> str:
        """What an engine does with the field, in words."""
        if self.needs is not None and self.needs not in ENGINE_CAPABILITIES[engine]:
            return f"refused: `{Reason.UNSUPPORTED}`"
        return self.honoured if isinstance(self.honoured, str) else self.honoured[engine]


def judge_capabilities(service: TenantService, capabilities: frozenset[str]) -> Refusal | None:
    """Whether a balancer group can do what a Service asks for."""
    for field in FIELDS:
        what = field.asks(service) if field.needs is not None and field.needs not in capabilities else ""
        if what:
            cure = f"{field.cure}, or {ELSEWHERE}" if field.cure else ELSEWHERE
            return Refusal(Reason.UNSUPPORTED, f"{what} is not served by this balancer group; {cure}")
    return None


def _protocol(protocol: Protocol) -> Callable[[TenantService], str]:
    def asks(service: TenantService) -> str:
        number = next((port.port for port in service.ports if port.protocol is protocol), None)
        return f"spec.ports: protocol {protocol} of port {number}" if number else ""

    return asks


def _scheduler(service: TenantService) -> str:
    is_common = service.scheduler is None or service.scheduler in COMMON_SCHEDULERS
    return "" if is_common else f"{Annotation.SCHEDULER}: {service.scheduler}"


_LEFT_ALONE = "not ours; left alone"

FIELDS: tuple[Field, ...] = (
    Field(name="`spec.type: LoadBalancer`", honoured="served; any other type is left alone"),
    Field(
        name="`spec.loadBalancerClass`",
        honoured="default mode serves Services without a class; `FLEETLB_LOAD_BALANCER_CLASS` serves exactly that class"
        " instead",
    ),
    Field(
        name="`spec.ports[].protocol` TCP",
        honoured="honoured, also beside other protocols on one port number",
        needs=Capability.TCP,
        asks=_protocol(Protocol.TCP),
    ),
    Field(
        name="`spec.ports[].protocol` UDP",
        honoured="honoured, also beside other protocols on one port number",
        needs=Capability.UDP,
        asks=_protocol(Protocol.UDP),
    ),
    Field(
        name="`spec.ports[].protocol` SCTP",
        honoured="honoured, also beside other protocols on one port number",
        needs=Capability.SCTP,
        asks=_protocol(Protocol.SCTP),
        cure="use TCP or UDP",
    ),
    Field(name="`spec.ports[].port`", honoured="1 to 65535, at most 250 of them"),
    Field(
        name="`spec.ports[].nodePort`",
        honoured={
            EngineName.ENVOY: "honoured; must lie in the tenant's `nodePortRange` (`BackendNotAllowed`)",
            EngineName.IPVS: "the same; under forwarding `direct`, `ipip`, `gue` only health is checked there",
        },
    ),
    Field(
        name="`spec.ports[].appProtocol`, `targetPort`",
        honoured="of no meaning to a balancer of connections; left alone",
    ),
    Field(
        name="`spec.allocateLoadBalancerNodePorts: false`",
        honoured="honoured where the tenant's pods are backends, or with node ports; else refused: `Unsupported`",
    ),
    Field(
        name="`spec.externalTrafficPolicy` Cluster",
        honoured="every eligible node, without an EndpointSlice the nodes as they are; or the pods themselves",
    ),
    Field(
        name="`spec.externalTrafficPolicy` Local",
        honoured="only nodes with a ready endpoint, after the EndpointSlices; or the pods themselves",
    ),
    Field(
        name="`spec.healthCheckNodePort`",
        honoured="every node must say 200 there too; must lie in the tenant's `nodePortRange` (`BackendNotAllowed`)",
    ),
    Field(
        name="`spec.sessionAffinity: ClientIP`",
        honoured={
            EngineName.ENVOY: "consistent hashing on the client's address: a client stays with its backend, also beyond"
            " the timeout",
            EngineName.IPVS: "honoured, with its timeout",
        },
        needs=Capability.AFFINITY,
        asks=lambda service: "spec.sessionAffinity: ClientIP" if service.affinity_seconds else "",
        cure="use None",
    ),
    Field(
        name="`spec.loadBalancerSourceRanges`, else `service.beta.kubernetes.io/load-balancer-source-ranges`",
        honoured="enforced on the client's own address, where the nodes can filter",
        needs=Capability.SOURCE_RANGES,
        asks=lambda service: "spec.loadBalancerSourceRanges (or its annotation)" if service.source_ranges else "",
        cure="remove it to serve everybody",
    ),
    Field(
        name="`spec.ipFamilies`, `ipFamilyPolicy`",
        honoured="one address per family, the first family first, or none (`PoolExhausted`); under `PreferDualStack`"
        " one family alone will do, and the other follows when it can be had",
    ),
    Field(
        name="`spec.loadBalancerIP`",
        honoured=f"honoured as an alias of `{Annotation.ADDRESSES}`; both and different: `InvalidWish`",
    ),
    Field(
        name=f"`{Annotation.ADDRESSES}`",
        honoured="these addresses or none: `AddressInUse`, `AddressNotAllowed`",
    ),
    Field(
        name=f"`{Annotation.POOL}`",
        honoured=f"this pool or none; one that is not for this Service: `{Reason.ADDRESS_NOT_ALLOWED}`",
    ),
    Field(
        name=f"`{Annotation.SCHEDULER}` `rr`, `lc`, `mh`",
        honoured={EngineName.ENVOY: "honoured; `lc` compares two at random", EngineName.IPVS: "honoured"},
    ),
    Field(
        name=f"`{Annotation.SCHEDULER}` `wrr`, `wlc`, `sh`",
        honoured="honoured",
        needs=Capability.SCHEDULERS,
        asks=_scheduler,
        cure=f"use {', '.join(sorted(COMMON_SCHEDULERS))}",
    ),
    Field(
        name=f"`{Annotation.PROXY_PROTOCOL}: v2`",
        honoured="on TCP ports: each connection to a backend begins with the client's address",
        needs=Capability.PROXY_PROTOCOL,
        asks=lambda service: f"{Annotation.PROXY_PROTOCOL}: v2" if service.proxy_protocol else "",
        cure="remove it",
    ),
    Field(
        name=f"`{Annotation.DRAIN_SECONDS}`",
        honoured="connections of a backend that leaves end after so long, or sooner by themselves",
        needs=Capability.DRAIN,
        asks=lambda service: f"{Annotation.DRAIN_SECONDS}" if service.drain_seconds is not None else "",
        cure="remove it, and connections end by themselves",
    ),
    Field(name=f"`{Annotation.HOSTNAME}`", honoured="`status.loadBalancer.ingress` shows this name and no address"),
    Field(
        name=f"`{Annotation.SHARING_KEY}`",
        honoured="Services of one tenant with one key share an address, each with ports of its own, whatever their"
        f" clusters, namespaces and traffic policies; what collides: `{Reason.SHARING_CONFLICT}`",
    ),
    Field(name="any other `fleetlb.dev/` annotation", honoured="refused: `Unsupported`"),
    Field(
        name="`metadata.labels`",
        honoured="address pools may select by those of `fleetlb.dev/` and of `FLEETLB_SERVICE_LABELS`, at most"
        f" {MAX_LABELS} (`{Reason.UNSUPPORTED}`); others are left alone",
    ),
    Field(
        name="`spec.externalIPs`, `internalTrafficPolicy`, `trafficDistribution`, `publishNotReadyAddresses`",
        honoured=_LEFT_ALONE,
    ),
)
