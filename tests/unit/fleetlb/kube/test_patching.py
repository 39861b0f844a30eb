"""That the API server understands these bodies is proved in tests/integration/test_kube_requests.py."""

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube import patching

META = ObjectMeta(name="a", namespace="n", uid="u", resource_version="7", finalizers=("x", "y"))


def test_finalizers() -> None:
    assert patching.add_finalizer("u", "f") == {"metadata": {"uid": "u", "finalizers": ["f"]}}
    assert patching.remove_finalizer("u", "f") == {
        "metadata": {"uid": "u", "$deleteFromPrimitiveList/finalizers": ["f"]}
    }
    assert patching.set_finalizers(META, ("x",)) == {
        "metadata": {"uid": "u", "resourceVersion": "7", "finalizers": ["x"]}
    }


def test_merges() -> None:
    assert patching.annotate("u", {"a": "b", "c": None}) == {
        "metadata": {"uid": "u", "annotations": {"a": "b", "c": None}}
    }
    assert patching.merge("u", status={"a": 1}) == {"metadata": {"uid": "u"}, "status": {"a": 1}}
    assert patching.merge_at(META, spec={"a": 1}) == {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "spec": {"a": 1},
    }


def test_conditions() -> None:
    assert patching.conditions("u", [{"type": "Ours"}], ["Old"]) == {
        "metadata": {"uid": "u"},
        "status": {"conditions": [{"type": "Ours"}, {"$patch": "delete", "type": "Old"}]},
    }


def test_replace_part() -> None:
    assert patching.replace_part("u", "status", {"a": 1}) == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status", "value": {"a": 1}},
    ]
