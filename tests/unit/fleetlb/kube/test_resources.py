import json
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube import resources
from fleetlb.kube.errors import Invalid
from fleetlb.kube.resources import Object, Resource, name_of


class Gadget(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metadata: ObjectMeta = ObjectMeta()
    node_port: int = 0


GADGETS = Resource("example.dev", "v1alpha1", "gadgets", Gadget)
SITES = Resource("example.dev", "v1", "sites", Gadget, namespaced=False, kind_name="Site")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (GADGETS.collection_path(), "/apis/example.dev/v1alpha1/gadgets"),
        (GADGETS.collection_path("ns"), "/apis/example.dev/v1alpha1/namespaces/ns/gadgets"),
        (GADGETS.path("a", "ns"), "/apis/example.dev/v1alpha1/namespaces/ns/gadgets/a"),
        (GADGETS.path("a", "ns", "status"), "/apis/example.dev/v1alpha1/namespaces/ns/gadgets/a/status"),
        (SITES.collection_path("ignored"), "/apis/example.dev/v1/sites"),
        (SITES.path("a"), "/apis/example.dev/v1/sites/a"),
        (resources.SERVICES.path("a", "ns", "status"), "/api/v1/namespaces/ns/services/a/status"),
        (resources.NODES.path("n"), "/api/v1/nodes/n"),
        (resources.LEASES.collection_path("x"), "/apis/coordination.k8s.io/v1/namespaces/x/leases"),
        (resources.ENDPOINT_SLICES.collection_path(), "/apis/discovery.k8s.io/v1/endpointslices"),
        (resources.CRDS.path("a.b"), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/a.b"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize("name", ["../secrets/x", "a?b=c", "a/b", "%2e%2e", "a b", "a#b", "é"])
def test_a_hostile_name_stays_one_segment(name: str) -> None:
    tail = GADGETS.path(name, "ns").removeprefix(GADGETS.collection_path("ns") + "/")
    assert not set(tail) & set("/?# ")
    assert tail.isascii()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_some_names_are_none(name: str) -> None:
    with pytest.raises(Invalid):
        GADGETS.path(name, "ns")
    if name:
        with pytest.raises(Invalid):
            GADGETS.path("a", name)


def test_a_namespaced_object_needs_a_namespace() -> None:
    with pytest.raises(Invalid, match=r"gadgets.example.dev a: .* lives in a namespace"):
        GADGETS.path("a")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Gadget(ObjectMeta(name="a"), 7), {"metadata": {"name": "a"}, "nodePort": 7}),
        (Gadget(), {}),
    ],
    ids=["fields", "all defaults"],
)
def test_structs_are_encoded_with_their_kind(item: Gadget, expected: dict[str, Any]) -> None:
    assert json.loads(GADGETS.encode(item)) == {"apiVersion": "example.dev/v1alpha1", "kind": "Gadget", **expected}


@pytest.mark.parametrize(
    "item",
    [
        {"metadata": {"name": "a"}},
        {"kind": "Secret", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}},
    ],
    ids=["none", "half", "whole"],
)
def test_dicts_get_the_kind_that_they_lack(item: Object) -> None:
    encoded = resources.SECRETS.encode(item)
    assert json.loads(encoded) == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    assert encoded.count(b'"kind"') == 1


def test_an_empty_dict_is_encoded() -> None:
    assert json.loads(resources.SECRETS.encode({})) == {"apiVersion": "v1", "kind": "Secret"}


def test_decoding_ignores_what_the_struct_does_not_know() -> None:
    gadget = GADGETS.decode(b'{"kind": "Gadget", "metadata": {"name": "a", "managedFields": []}, "nodePort": 1}')
    assert gadget == Gadget(ObjectMeta(name="a"), 1)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.nodePort"):
        GADGETS.decode(b'{"nodePort": "1"}')


def test_names_are_read_from_structs_and_dicts() -> None:
    assert name_of(Gadget(ObjectMeta(name="a", namespace="n"))) == ("n", "a")
    assert name_of({"metadata": {"name": "a", "namespace": "n"}}) == ("n", "a")
    assert name_of({"metadata": {"generateName": "a-"}}) == ("", "")


def test_it_is_named_as_kubectl_names_it() -> None:
    assert (repr(GADGETS), repr(resources.SERVICES)) == ("gadgets.example.dev", "services")


def test_a_kind_without_a_struct_must_be_named() -> None:
    with pytest.raises(ValueError, match="kind_name is needed"):
        Resource("", "v1", "secrets", dict)
