import msgspec
import pytest

from fleetlb.contracts import v1
from fleetlb.contracts.channels import MESSAGES
from fleetlb.contracts.events import NodeEvent, ServiceEvent
from fleetlb.contracts.objects import IpMode
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey

KEY = VirtualServerKey("192.0.2.7", 443, Protocol.TCP)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages_are_frozen_and_named_by_their_type_id(kind: type[v1.Message]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    assert config.omit_defaults is not issubclass(kind, ServiceEvent | NodeEvent)
    assert not config.forbid_unknown_fields
    assert config.tag_field == "type"
    assert str(config.tag).startswith("dev.fleetlb.v1.")


def test_type_ids_are_stable() -> None:
    assert sorted(str(kind.__struct_config__.tag).removeprefix("dev.fleetlb.v1.") for kind in MESSAGES) == [
        "address_allocated",
        "address_released",
        "backend_healthy",
        "backend_unhealthy",
        "credentials_issued",
        "credentials_requested",
        "drift_repaired",
        "granted",
        "group_instructed",
        "inventory_observed",
        "node_joined",
        "node_lost",
        "node_present",
        "node_realized",
        "node_told",
        "nodes_observed",
        "not_serving",
        "partitions_held",
        "pool_plan_answered",
        "pool_plan_requested",
        "ports_changed",
        "refused",
        "renewal_requested",
        "resync_requested",
        "service_observed",
        "service_released",
        "service_reported",
        "service_told",
        "services_plan_answered",
        "services_plan_requested",
        "serving",
        "snapshot_answered",
        "snapshot_requested",
        "store_marked",
        "tenant_allowed",
        "vip_carried",
        "virtual_server_desired",
        "virtual_server_realized",
    ]


def test_a_tombstone_says_little() -> None:
    owner = v1.Owner(tenant="acme", cluster_uid="c", service_uid="s")
    message = v1.VirtualServerDesired(key=KEY, generation=1, revision=2, owner=owner)
    assert msgspec.to_builtins(message) == {
        "type": "dev.fleetlb.v1.virtual_server_desired",
        "key": {"address": "192.0.2.7", "port": 443, "protocol": "TCP"},
        "generation": 1,
        "revision": 2,
        "owner": {"tenant": "acme", "clusterUID": "c", "serviceUID": "s"},
    }


def test_ingress_is_written_as_kubernetes_writes_it() -> None:
    assert msgspec.to_builtins(v1.Ingress(ip="192.0.2.7", ip_mode=IpMode.VIP)) == {"ip": "192.0.2.7", "ipMode": "VIP"}


def test_domain_values_cross_the_wire_unchanged() -> None:
    hop = v1.Hop("watch", 1767225600000000)
    realized = v1.VirtualServerRealized(
        node="n",
        key=KEY,
        generation=1,
        revision=1,
        state=v1.RealizedState.PROGRAMMED,
        owner=v1.Owner(tenant="acme", cluster_uid="c", service_uid="s"),
        load_balancer=v1.LoadBalancerRevision("u", 2),
        probe=v1.Probe.ANSWERED,
        hops=(hop,),
    )
    assert msgspec.json.decode(msgspec.json.encode(realized), type=v1.VirtualServerRealized) == realized
