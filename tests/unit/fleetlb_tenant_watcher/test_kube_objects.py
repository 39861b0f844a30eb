"""What the API server really sends fits the structs, with nulls and absences, and what does not fit is an error."""

import json

import msgspec
import pytest

from fleetlb.kube.service_objects import Service
from fleetlb.testkit.tenant_objects import a_condition, a_node, a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.kube_objects import EndpointSlice, Node


def test_a_service_is_read() -> None:
    raw = a_service(
        finalizers=("x/y",),
        annotations={"a": "ü"},
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}},
        ingress=({"ip": "192.0.2.1", "ipMode": "VIP", "ports": [{"port": 1, "protocol": "TCP"}]},),
        conditions=(a_condition("Foreign", "Maybe", "Because"),),
    )
    service = msgspec.json.decode(json.dumps(raw).encode(), type=Service)
    assert service.spec.ports is not None
    assert (service.spec.ports[0].port, service.spec.ports[0].node_port) == (443, 31777)
    assert service.metadata.finalizers == ("x/y",)
    assert service.spec.session_affinity_config is not None
    assert service.status.conditions is not None
    assert service.status.conditions[0].status == "Maybe"


@pytest.mark.parametrize(
    "raw",
    [
        {"metadata": {"name": "n", "uid": "u"}},
        {
            "metadata": {"name": "n", "uid": "u", "finalizers": None, "annotations": None, "deletionTimestamp": None},
            "spec": {"ports": None, "ipFamilies": None, "loadBalancerClass": None, "sessionAffinityConfig": None},
            "status": {"loadBalancer": {"ingress": None}, "conditions": None},
        },
    ],
    ids=["bare", "nulls"],
)
def test_a_service_may_lack_nearly_everything(raw: dict[str, object]) -> None:
    assert msgspec.convert(raw, Service).metadata.uid == "u"


def test_a_slice_without_endpoints_says_null() -> None:
    assert msgspec.json.decode(json.dumps(a_slice()).encode(), type=EndpointSlice).endpoints is None
    bare = {"metadata": {"name": "n", "uid": "u"}, "endpoints": [{"addresses": ["10.0.0.1"]}]}
    assert msgspec.convert(bare, EndpointSlice).metadata.labels is None


def test_a_slice_and_a_node_are_read() -> None:
    item = msgspec.convert(a_slice(an_endpoint("n1", ready=True)), EndpointSlice)
    assert item.metadata.labels is not None
    assert item.metadata.labels.service_name == "web"
    node = msgspec.convert(a_node(taints=("t",), labels={"a": "b"}), Node)
    assert node.metadata.labels is not None
    assert node.metadata.labels.excluded is None
    assert msgspec.convert({"metadata": {"name": "n", "uid": "u"}}, Node).status.addresses is None


@pytest.mark.parametrize("raw", [{}, {"metadata": {"name": 1, "uid": "u"}}, {"metadata": None}, []])
def test_what_is_no_object_is_an_error(raw: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, Service)
