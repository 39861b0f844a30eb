import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressClaim,
    AddressPool,
    AddressPoolSpec,
    BalancerGroup,
    BalancerGroupSpec,
    ClaimPhase,
    IpMode,
    LoadBalancer,
)
from fleetlb.contracts.tenants import Tenant, TenantCluster, TenantSpec

METADATA = {
    "name": "x",
    "namespace": "tenant-acme",
    "uid": "u",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "deletionTimestamp": None,
    "managedFields": [{"manager": "kubectl"}],
    "finalizers": ["f"],
}
SERVICE = {"namespace": "shop", "name": "web", "ports": [{"port": 443, "nodePort": 30443}]}
OWNER = {"tenant": "acme", "clusterUID": "c", "serviceUID": "s", "namespace": "shop", "name": "web"}


def test_metadata_keeps_what_is_used_and_drops_the_rest() -> None:
    metadata = msgspec.convert(METADATA, ObjectMeta)
    assert (metadata.resource_version, metadata.generation, metadata.finalizers) == ("7", 3, ("f",))
    assert metadata.deletion_timestamp is None
    assert metadata.labels == {}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (Tenant, {"nodeCIDRs": ["10.1.0.0/16"], "quotas": {"loadBalancers": 3}}),
        (AddressPool, {"addresses": ["192.0.2.0/24"], "avoidBuggyIPs": True}),
        (BalancerGroup, {"engine": "envoy", "nodes": ["node-1"]}),
        (
            BalancerGroup,
            {"engine": "ipvs", "nodes": ["n"], "forwarding": "gue", "scheduler": "wrr", "drainSeconds": 0},
        ),
        (LoadBalancer, {"tenant": "acme", "clusterUID": "c", "wish": "d", "service": SERVICE, "ipMode": "VIP"}),
        (TenantCluster, {"tenant": "acme", "nodes": [{"name": "n", "addresses": ["10.1.0.1"]}]}),
        (AddressClaim, {"address": "192.0.2.7", "pool": "p", "owner": OWNER, "phase": "Releasing"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_objects_are_written_as_they_are_read(kind: type[msgspec.Struct], spec: dict[str, object]) -> None:
    body = {"apiVersion": "fleetlb.dev/v1alpha1", "kind": kind.__name__, "metadata": METADATA, "spec": spec}
    item = msgspec.convert(body, kind)
    written = msgspec.json.decode(msgspec.json.encode(item))
    assert written["spec"] == spec
    assert "status" not in written
    assert msgspec.convert(written, kind) == item


def test_defaults() -> None:
    tenant = msgspec.convert({"metadata": {"name": "acme"}, "spec": {"nodeCIDRs": ["10.1.0.0/16"]}}, Tenant)
    assert tenant.namespace == "tenant-acme"
    assert tenant.spec == TenantSpec(node_cidrs=("10.1.0.0/16",), node_port_range="30000-32767")
    assert tenant.spec.quotas.load_balancers is None
    group = msgspec.convert({"engine": "envoy", "nodes": ["n"]}, BalancerGroupSpec)
    assert (group.forwarding, group.scheduler, group.drain_seconds) == ("masquerade", "lc", 60)
    pool = AddressPoolSpec(addresses=("192.0.2.0/24",))
    assert (pool.auto_assign, pool.quarantine_seconds, pool.group) == (True, 60, "default")
    claim = msgspec.convert(
        {"metadata": {}, "spec": {"address": "192.0.2.7", "pool": "p", "owner": OWNER}}, AddressClaim
    )
    assert claim.spec.phase is ClaimPhase.BOUND
    service = msgspec.convert(
        {"metadata": {}, "spec": {"tenant": "a", "clusterUID": "c", "wish": "", "service": SERVICE}}, LoadBalancer
    )
    assert service.spec.ip_mode is IpMode.PROXY
    assert service.status.addresses == ()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"nodeCIDRs": []},
        {"nodeCIDRs": ["10.1.0.0/16"], "pools": ["Upper"]},
        {"nodeCIDRs": ["10.1.0.0/16"], "nodePortRange": "all"},
        {"nodeCIDRs": ["10.1.0.0/16"], "quotas": {"ports": -1}},
    ],
)
def test_a_tenant_outside_its_bounds_is_not_read(spec: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(spec, TenantSpec)
