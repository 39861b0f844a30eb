"""The options of `fleetlb local up` that say which fleet it is. Imports nothing that carries a command out."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding

_Several = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    """One field for each option, as it was given."""

    tenants: Annotated[str, Parameter(help="Names of the tenants, separated by commas.")] = "acme,globex"
    engine: Annotated[
        EngineName,
        Parameter(
            help="What carries the traffic: envoy on the loopback, or ipvs in the kernel of the current network"
            " namespace, which becomes the balancer node. Ipvs needs root; nodes and clients are yours to connect."
        ),
    ] = EngineName.ENVOY
    forwarding: Annotated[
        Forwarding,
        Parameter(
            help="How the engine ipvs hands packets on: masquerade, or direct, ipip or gue, which keep the client's"
            " address."
        ),
    ] = Forwarding.MASQUERADE
    pool_cidr: Annotated[
        _Several,
        Parameter(
            negative=(),
            help="Range of the VIPs; may be repeated, one of each family; a free one is chosen otherwise.",
        ),
    ] = ()
    node_cidr: Annotated[
        _Several,
        Parameter(
            negative=(),
            help="TENANT=CIDR, where that tenant's nodes live; may be repeated, one of each family; a free one is"
            " chosen otherwise.",
        ),
    ] = ()
    pod_cidr: Annotated[
        _Several,
        Parameter(
            negative=(),
            help="TENANT=CIDR, where that tenant's pods live; may be repeated. Its Services are served by them"
            " directly.",
        ),
    ] = ()
    attach: Annotated[
        _Several,
        Parameter(
            negative=(),
            help="TENANT=KUBECONFIG, a tenant whose cluster runs already; may be repeated. Needs root: the addresses of"
            " --pool-cidr become this machine's own, and the cluster's network must bring them here.",
        ),
    ] = ()
    replicas: Annotated[int, Parameter(help="How many managers and status services.")] = 1
    partitions: Annotated[int, Parameter(help="Between how many Leases the managers divide the tenants.")] = 1
    load_balancer_class: Annotated[
        str | None, Parameter(help="Serve only Services with this spec.loadBalancerClass.")
    ] = None
    ipv6: Annotated[bool, Parameter(help="Choose IPv6 ranges too where none is given. Any IPv6 range needs root.")] = (
        False
    )
    own_etcd: Annotated[
        bool,
        Parameter(
            help="Keep the management cluster in an etcd of its own, etcd/management, which can be wiped or put back to"
            " an older state without the tenants' clusters. From the folder's first start on."
        ),
    ] = False


AS_USUAL = Options()
