"""The objects of a local fleet fit the types that the services read."""

import msgspec
import pytest

from fleetlb.contracts import objects, tenants
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb_cli.local import seeding
from fleetlb_cli.local.choices import Ranges

BOTH = Ranges(cidr="127.77.0.0/20", cidr6="fd00::/112")


def test_the_pool() -> None:
    pool = msgspec.convert(seeding.pool_object(BOTH, "default"), objects.AddressPool)
    assert pool.spec.addresses == ("127.77.0.0/20", "fd00::/112")
    assert pool.spec.quarantine_seconds == 5
    assert pool.spec.auto_assign


@pytest.mark.parametrize("engine", EngineName)
def test_the_group(engine: EngineName) -> None:
    made = seeding.group_object("default", engine, ("node-1",), Forwarding.MASQUERADE)
    group = msgspec.convert(made, objects.BalancerGroup)
    assert group.spec.engine is engine
    assert group.spec.nodes == ("node-1",)


@pytest.mark.parametrize("forwarding", Forwarding)
def test_the_group_says_how_it_forwards(forwarding: Forwarding) -> None:
    made = seeding.group_object("default", EngineName.IPVS, ("node-1",), forwarding)
    assert msgspec.convert(made, objects.BalancerGroup).spec.forwarding is forwarding


def test_a_tenant() -> None:
    tenant = msgspec.convert(seeding.tenant_object("acme", Ranges(cidr="127.10.0.0/16"), "default"), tenants.Tenant)
    assert tenant.spec.node_cidrs == ("127.10.0.0/16",)
    assert tenant.spec.pod_cidrs == ()
    assert tenant.spec.pools == ("default",)
    assert tenant.spec.groups == ("default",)
    assert tenant.spec.quotas == tenants.Quotas()


def test_a_tenant_that_is_served_by_its_pods() -> None:
    pods = ("10.244.0.0/16", "fd44::/56")
    tenant = seeding.tenant_object("acme", Ranges(cidr="127.10.0.0/16"), "default", pods)
    assert msgspec.convert(tenant, tenants.Tenant).spec.pod_cidrs == pods
