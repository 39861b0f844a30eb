from msgspec.structs import replace

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.tenants import TenantCluster, TenantClusterSpec
from fleetlb.domain.services import TenantNode
from fleetlb_manager.identities import ClusterKey
from fleetlb_manager.load_balancers import LoadBalancers, TenantClusters
from tests.unit.fleetlb_manager.manager_world import EXHAUSTED, a_key, a_load_balancer

CLUSTER = ClusterKey("acme", "cluster-1")


def test_an_object_is_found_by_identity_and_cluster() -> None:
    known = LoadBalancers()
    item = a_load_balancer(a_key(), "192.0.2.1")
    assert known.put(item) == a_key()
    assert known.get(a_key()) is item
    assert known.get(a_key(cluster="cluster-2")) is None
    assert list(known.in_cluster(CLUSTER)) == [a_key()] == list(known.services())


def test_the_tenant_is_who_owns_the_namespace_whatever_the_spec_says() -> None:
    known = LoadBalancers()
    item = a_load_balancer(a_key(), "192.0.2.1")
    assert known.put(replace(item, spec=replace(item.spec, tenant="globex"))) == a_key()
    assert known.live("acme") == 1
    assert known.live("globex") == 0


def test_only_a_change_of_the_spec_is_news() -> None:
    known = LoadBalancers()
    item = a_load_balancer(a_key(), "192.0.2.1")
    known.put(item)
    assert known.put(a_load_balancer(a_key(), "192.0.2.1", version=2)) is None
    assert known.put(a_load_balancer(a_key(), "192.0.2.2", version=3)) == a_key()
    assert known.put(a_load_balancer(a_key(), "192.0.2.2", version=4, uid="made anew")) == a_key()


def test_objects_are_known_by_the_group_of_their_addresses() -> None:
    known = LoadBalancers()
    known.put(a_load_balancer(a_key(), "192.0.2.1"))
    known.put(a_load_balancer(a_key("u2"), "192.0.2.2"))
    assert set(known.in_group("default")) == {a_key(), a_key("u2")}
    moved = a_load_balancer(a_key(), "192.0.2.1", version=2)
    known.put(replace(moved, spec=replace(moved.spec, group="other")))
    assert (set(known.in_group("default")), set(known.in_group("other"))) == ({a_key("u2")}, {a_key()})
    known.drop(moved.metadata)
    assert set(known.in_group("other")) == set()


def test_refused_services_are_remembered() -> None:
    known = LoadBalancers()
    known.put(a_load_balancer(a_key(), refusal=EXHAUSTED))
    assert list(known.wanting()) == [a_key()]
    known.put(a_load_balancer(a_key(), "192.0.2.1", version=2))
    assert list(known.wanting()) == []


def test_a_deleted_object_is_forgotten() -> None:
    known = LoadBalancers()
    item = a_load_balancer(a_key(), refusal=EXHAUSTED)
    known.put(item)
    assert known.drop(item.metadata) == a_key()
    assert known.drop(item.metadata) is None
    assert list(known.services()) == list(known.wanting()) == list(known.in_cluster(CLUSTER)) == []


def test_an_object_that_changed_its_cluster_by_hand_is_another_services() -> None:
    known = LoadBalancers()
    item = a_load_balancer(a_key(), "192.0.2.1")
    known.put(item)
    moved = a_load_balancer(a_key(), "192.0.2.1", version=2)
    known.put(replace(moved, spec=replace(moved.spec, cluster_uid="cluster-2")))
    assert known.get(a_key()) is None
    assert list(known.services()) == [a_key(cluster="cluster-2")]


def test_a_cluster_is_news_only_when_its_nodes_changed() -> None:
    known = TenantClusters()
    meta = ObjectMeta(name="cluster-1", namespace="tenant-acme", uid="u", resource_version="1")
    item = TenantCluster(metadata=meta, spec=TenantClusterSpec(tenant="acme"))
    assert known.put(item) == CLUSTER
    assert known.get(CLUSTER) is item
    assert known.put(replace(item, metadata=replace(meta, resource_version="2"))) is None
    nodes = replace(item.spec, nodes=(TenantNode(name="a"),))
    assert known.put(replace(item, metadata=replace(meta, resource_version="3"), spec=nodes)) == CLUSTER
    assert known.drop(meta) == CLUSTER
    assert known.drop(meta) is None


def test_a_tenants_objects_are_known_and_those_with_addresses_are_live() -> None:
    known = LoadBalancers()
    known.put(a_load_balancer(a_key(), "192.0.2.1"))
    known.put(a_load_balancer(a_key("u2"), refusal=EXHAUSTED))
    known.put(a_load_balancer(a_key("u1", "globex"), "192.0.2.9"))
    assert (set(known.of_tenant("acme")), known.live("acme")) == ({a_key(), a_key("u2")}, 1)
    known.put(a_load_balancer(a_key(), refusal=EXHAUSTED, version=2))
    assert known.live("acme") == 0
    again = a_load_balancer(a_key(), "192.0.2.1", version=3)
    known.put(again)
    bare = a_load_balancer(a_key(), "192.0.2.1", version=4)
    known.put(replace(bare, spec=replace(bare.spec, addresses=())))
    assert known.live("acme") == 0
    known.put(a_load_balancer(a_key(), "192.0.2.1", version=5))
    for uid in ("u1", "u2"):
        known.drop(a_load_balancer(a_key(uid)).metadata)
    assert (list(known.of_tenant("acme")), known.live("acme"), known.live("globex")) == ([], 0, 1)


def test_a_tenants_clusters_are_found_by_its_namespace() -> None:
    known = TenantClusters()
    for tenant in ("acme", "globex"):
        meta = ObjectMeta(name="cluster-1", namespace=f"tenant-{tenant}", uid=tenant, resource_version="1")
        known.put(TenantCluster(metadata=meta, spec=TenantClusterSpec(tenant=tenant)))
    assert [item.metadata.uid for item in known.of_tenant("acme")] == ["acme"]
