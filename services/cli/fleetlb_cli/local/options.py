"""The options of `fleetlb local up` that say which fleet it is, and the wish that they make. Reads no environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb_cli.local.choices import Wish, WishError, by_family, check

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


def wish_of(options: Options) -> Wish:
    """What is asked for. Raises WishError, naming the option."""
    wish = Wish(
        tenants=tuple(name.strip() for name in options.tenants.split(",") if name.strip()),
        engine=options.engine,
        forwarding=options.forwarding,
        pool=by_family("--pool-cidr", options.pool_cidr),
        nodes=_node_ranges(options.node_cidr),
        pods={tenant: tuple(cidrs) for tenant, cidrs in _by_tenant("--pod-cidr", options.pod_cidr).items()},
        attached=_attached(options.attach),
        replicas=options.replicas,
        partitions=options.partitions,
        load_balancer_class=options.load_balancer_class,
        ipv6=options.ipv6,
        own_etcd=options.own_etcd,
    )
    check(wish)
    return wish


def _node_ranges(given: tuple[str, ...]) -> dict[str, dict[Family, str]]:
    """`acme=127.10.0.0/16`, by tenant and family."""
    return {tenant: by_family(f"--node-cidr {tenant}", its) for tenant, its in _by_tenant("--node-cidr", given).items()}


def _by_tenant(option: str, given: tuple[str, ...], what: str = "CIDR") -> dict[str, list[str]]:
    """The values of `TENANT=VALUE`."""
    values: dict[str, list[str]] = {}
    for text in given:
        tenant, _, value = text.partition("=")
        if not value:
            raise WishError(f"{option} {text}: must be TENANT={what}")
        values.setdefault(tenant, []).append(value)
    return values


def _attached(given: tuple[str, ...]) -> dict[str, Path]:
    """`acme=kubeconfig`, by tenant."""
    kubeconfigs = _by_tenant("--attach", given, "KUBECONFIG")
    for tenant, paths in kubeconfigs.items():
        if len(paths) > 1:
            raise WishError(f"--attach {tenant}: a tenant has one cluster here; it is given {' and '.join(paths)}")
    return {tenant: Path(path).absolute() for tenant, (path,) in kubeconfigs.items()}
