import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube.store import Change, Key, Mark, Store


class Thing(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    value: str = ""


def thing(name: str, uid: str = "u1", version: str = "1", value: str = "") -> Thing:
    return Thing(ObjectMeta(name=name, namespace="ns", uid=uid, resource_version=version), value)


def tombstone(key: Key, mark: Mark) -> Thing:
    return thing(key[1], mark.uid, mark.resource_version, "tombstone")


@pytest.fixture(params=["objects", "marks"])
def store(request: pytest.FixtureRequest) -> Store[Thing]:
    return Store() if request.param == "objects" else Store(tombstone)


def there(item: Thing) -> Change[Thing]:
    return Change(item, gone=False)


def told(changes: list[Change[Thing]]) -> list[tuple[str, str, str]]:
    return [("gone" if c.gone else "set", c.object.metadata.name, c.object.metadata.uid) for c in changes]


def test_a_new_object_is_told(store: Store[Thing]) -> None:
    assert store.put(thing("a")) == [there(thing("a"))]
    assert len(store) == 1


def test_the_same_version_is_not_told_again(store: Store[Thing]) -> None:
    store.put(thing("a"))
    assert store.put(thing("a")) == []


@pytest.mark.parametrize("version", ["2", "0", "x"], ids=["newer", "lower", "opaque"])
def test_another_version_is_told_whatever_it_looks_like(store: Store[Thing], version: str) -> None:
    store.put(thing("a", version="1"))
    assert store.put(thing("a", version=version)) == [there(thing("a", version=version))]


def test_another_uid_under_the_name_is_a_new_object(store: Store[Thing]) -> None:
    store.put(thing("a", "u1"))
    assert told(store.put(thing("a", "u2"))) == [("gone", "a", "u1"), ("set", "a", "u2")]


def test_another_uid_is_new_even_with_the_same_version(store: Store[Thing]) -> None:
    store.put(thing("a", "u1", "5"))
    assert told(store.put(thing("a", "u2", "5"))) == [("gone", "a", "u1"), ("set", "a", "u2")]


def test_a_deletion_tells_the_last_state(store: Store[Thing]) -> None:
    store.put(thing("a", version="1"))
    last = thing("a", version="2", value="last")
    assert store.drop(last.metadata, last) == [Change(last, gone=True)]
    assert len(store) == 0


def test_a_deletion_whose_object_cannot_be_read_tells_the_known_one(store: Store[Thing]) -> None:
    store.put(thing("a"))
    assert told(store.drop(thing("a", version="2").metadata)) == [("gone", "a", "u1")]


def test_a_deletion_of_the_unknown_is_nothing(store: Store[Thing]) -> None:
    assert store.drop(thing("a").metadata, thing("a")) == []


def test_a_late_deletion_of_a_namesake_is_nothing(store: Store[Thing]) -> None:
    store.put(thing("a", "u2"))
    assert store.drop(thing("a", "u1").metadata, thing("a", "u1")) == []
    assert len(store) == 1


def test_a_change_after_the_deletion_is_a_new_object(store: Store[Thing]) -> None:
    store.put(thing("a"))
    store.drop(thing("a").metadata)
    assert told(store.put(thing("a"))) == [("set", "a", "u1")]


def test_a_complete_list_finds_what_was_missed(store: Store[Thing]) -> None:
    for name in "abc":
        store.put(thing(name))
    store.begin()
    store.put(thing("b"))
    store.put(thing("d"))
    assert sorted(told(store.complete())) == [("gone", "a", "u1"), ("gone", "c", "u1")]
    assert len(store) == 2


def test_an_empty_complete_list_means_all_are_gone(store: Store[Thing]) -> None:
    store.put(thing("a"))
    store.begin()
    assert told(store.complete()) == [("gone", "a", "u1")]


def test_an_incomplete_list_says_nothing(store: Store[Thing]) -> None:
    store.put(thing("a"))
    store.put(thing("b"))
    store.begin()
    store.put(thing("a"))
    store.begin()
    store.put(thing("b"))
    assert told(store.complete()) == [("gone", "a", "u1")]


def test_a_deletion_within_a_list_is_told_once(store: Store[Thing]) -> None:
    store.put(thing("a"))
    store.begin()
    assert told(store.drop(thing("a").metadata)) == [("gone", "a", "u1")]
    assert store.complete() == []


def test_complete_without_begin_is_nothing(store: Store[Thing]) -> None:
    store.put(thing("a"))
    assert store.complete() == []


def test_an_unreadable_object_still_exists(store: Store[Thing]) -> None:
    store.put(thing("a"))
    store.begin()
    assert store.glimpse(thing("a", version="9").metadata) == []
    assert store.complete() == []
    assert len(store) == 1


def test_an_unreadable_namesake_means_the_old_one_is_gone(store: Store[Thing]) -> None:
    store.put(thing("a", "u1"))
    assert told(store.glimpse(thing("a", "u2").metadata)) == [("gone", "a", "u1")]
    assert len(store) == 0


def test_an_unreadable_unknown_object_is_nothing(store: Store[Thing]) -> None:
    assert store.glimpse(thing("a").metadata) == []


def test_objects_are_kept_by_namespace_and_name() -> None:
    store: Store[Thing] = Store()
    store.put(thing("a", value="x"))
    assert store.objects == {("ns", "a"): thing("a", value="x")}


def test_marks_keep_no_objects_and_revive_tombstones() -> None:
    store: Store[Thing] = Store(tombstone)
    store.put(thing("a", version="7", value="large"))
    assert store.objects == {}
    store.begin()
    assert store.complete() == [Change(thing("a", version="7", value="tombstone"), gone=True)]


events = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "glimpse"]), st.sampled_from("abc"), st.sampled_from(["u1", "u2"]),
              st.sampled_from("123")),
    max_size=30,
)  # fmt: skip


@given(events, events, st.booleans())
def test_whoever_follows_the_changes_knows_the_same(
    before: list[tuple[str, ...]], listed: list[tuple[str, ...]], m: bool
) -> None:
    store: Store[Thing] = Store(tombstone) if m else Store()
    follower: dict[str, str] = {}

    def follow(changes: list[Change[Thing]]) -> None:
        for change in changes:
            name, uid = change.object.metadata.name, change.object.metadata.uid
            if change.gone:
                assert follower.pop(name) == uid
            else:
                assert follower.get(name, uid) == uid
                follower[name] = uid

    def play(steps: list[tuple[str, ...]]) -> None:
        for verb, name, uid, version in steps:
            item = thing(name, uid, version)
            follow(store.put(item) if verb == "put" else getattr(store, verb)(item.metadata))

    play(before)
    store.begin()
    play(listed)
    follow(store.complete())
    seen = {name for _, name, _, _ in listed}
    assert set(follower) <= seen
    assert len(store) == len(follower)
