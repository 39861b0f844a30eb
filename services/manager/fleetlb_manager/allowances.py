"""What a tenant may have on a balancer group, out of what it is granted and what it holds: a pure decision.

It must take in whatever the planner may publish, or nodes would refuse what the manager wants: so it names what a
tenant was given before its grant or its pools became narrower, and keeps.
"""

from collections.abc import Iterable, Iterator, Mapping

from fleetlb.contracts.objects import LoadBalancerSpec
from fleetlb.domain.addresses import Family, family_of
from fleetlb.domain.allowances import Allowance
from fleetlb.domain.pool_networks import PoolNetworks
from fleetlb.domain.tenancy import Grant
from fleetlb_manager.carried import CarriedPool

_ALONE = {Family.IPV4: "32", Family.IPV6: "128"}


def decide_allowance(
    grant: Grant, group: str, pools: Mapping[str, PoolNetworks], held: Iterable[LoadBalancerSpec]
) -> Allowance:
    """`pools`: all of the fleet, by name; `held`: the tenant's load balancers, as each group carries them. Their order
    does not matter. A pool that names another group by now is allowed as long as anything of it is left here.

    O(networks of the pools, and what is held).
    """
    held = [spec for spec in held if spec.group == group and spec.addresses]
    kept = {spec.pool for spec in held if spec.pool in pools and grant.may_use_pool(spec.pool, pools[spec.pool].group)}
    mine = [pools[name] for name in sorted(pools) if name in kept or _may_use(grant, group, name, pools[name])]
    ports = {port for spec in held for port in _node_ports(spec) if port not in grant.node_ports}
    strays = {address for spec in held for address in spec.addresses if not _is_in(mine, address)}
    return Allowance(
        node_cidrs=tuple(map(str, grant.node_networks)),
        pod_cidrs=tuple(map(str, grant.pod_networks)),
        node_port_range=f"{grant.node_ports.start}-{grant.node_ports.stop - 1}",
        more_node_ports=tuple(sorted(ports)),
        prefixes=(
            *(cidr for networks in mine for cidr in networks.cidrs()),
            *(f"{address}/{_ALONE[family_of(address)]}" for address in sorted(strays)),
        ),
    )


def goes_beyond(grant: Grant, pools: Mapping[str, PoolNetworks], spec: LoadBalancerSpec) -> bool:
    """Whether a load balancer holds what its tenant would not be given any more, so that an allowance names it. That
    it has something of a pool which another group carries by now is not asked here: that is `is_kept`.

    O(its ports) where the pool that it names has all of its addresses, and O(pools) otherwise.
    """
    if not spec.addresses:
        return False
    own = pools.get(spec.pool)
    if own is None or not grant.may_use_pool(spec.pool, own.group) or not all(map(own.around, spec.addresses)):
        mine = [networks for name, networks in pools.items() if _may_use(grant, spec.group, name, networks)]
        if not all(_is_in(mine, address) for address in spec.addresses):
            return True
    return any(port not in grant.node_ports for port in _node_ports(spec))


def is_kept(grant: Grant, pools: Mapping[str, PoolNetworks], of: CarriedPool) -> bool:
    """Whether a pool is allowed on a group only because something of it is left there."""
    own = pools.get(of.pool)
    return own is not None and own.group != of.group and grant.may_use_pool(of.pool, own.group)


def _may_use(grant: Grant, group: str, pool: str, networks: PoolNetworks) -> bool:
    return networks.group == group and grant.may_use_pool(pool, group)


def _is_in(networks: Iterable[PoolNetworks], address: str) -> bool:
    return any(pool.around(address) for pool in networks)


def _node_ports(spec: LoadBalancerSpec) -> Iterator[int]:
    yield from (port.node_port for port in spec.service.ports if port.node_port)
    if spec.service.health_check_node_port:
        yield spec.service.health_check_node_port
