"""The wanted resources by name."""

from fleetlb_dataplane_programmer.envoy.resources import Resource
from fleetlb_dataplane_programmer.envoy.store import Store

ONE = (Resource("1", b""), Resource("2", b""), Resource("3", b""))


def test_it_begins_empty_and_incomplete() -> None:
    assert list(Store()) == []
    assert not Store().complete


def test_a_name_that_is_to_go_is_known_until_forgotten() -> None:
    store = Store()
    store.put("a", ONE)
    assert store.get("a") == ONE
    store.put("a", None)
    assert store.get("a") is None
    assert list(store) == ["a"]
    store.forget("a")
    store.forget("a")
    assert list(store) == []
