"""The wish that the options of `fleetlb local up` make. Reads no environment."""

from pathlib import Path

from fleetlb.domain.addresses import Family
from fleetlb_cli.local.choices import Wish, WishError, by_family, check
from fleetlb_cli.local.options import Options


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
