import pytest

from fleetlb.domain.errors import Poison
from fleetlb.domain.virtual_servers import parse_key
from fleetlb_manager.identities import ClusterKey, ServiceKey, Slot, namespace_of, require_label


@pytest.mark.parametrize("text", ["a", "0", "a-b", "x" * 63, "6f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f"])
def test_a_label_names_objects(text: str) -> None:
    assert require_label(text, "uid") == text


@pytest.mark.parametrize("text", ["", "A", "a_b", "-a", "a-", "a.b", "x" * 64, "a\n", "ä", "a b", "../x", "*", ">"])
def test_what_is_no_label_is_poison(text: str) -> None:
    with pytest.raises(Poison, match="uid"):
        require_label(text, "uid")


def test_keys_have_one_spelling() -> None:
    key = ServiceKey("acme", "cluster-1", "u1")
    assert str(key) == "acme/cluster-1/u1"
    assert key.cluster_key == ClusterKey("acme", "cluster-1")
    assert str(key.cluster_key) == "acme/cluster-1"
    assert str(Slot("default", parse_key("192.0.2.1:443/tcp"))) == "default/192.0.2.1:443/tcp"
    assert namespace_of("acme") == "tenant-acme"
