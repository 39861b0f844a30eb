import pytest

from fleetlb.testkit.fake_patches import Object, TestFailed, json_patch, merge, strategic


def test_a_merge_removes_by_null_and_leaves_the_rest() -> None:
    before = {"spec": {"a": 1, "b": {"c": 2, "d": 3}}}
    assert merge(before, {"spec": {"a": None, "b": {"c": 4}}}) == {"spec": {"b": {"c": 4, "d": 3}}}
    assert before == {"spec": {"a": 1, "b": {"c": 2, "d": 3}}}


def test_a_strategic_merge_knows_sets_and_keys() -> None:
    before = {"metadata": {"finalizers": ["a"]}, "status": {"conditions": [{"type": "x", "status": "True", "n": 1}]}}
    grown = strategic(before, {"metadata": {"finalizers": ["a", "b"]}})
    assert grown["metadata"]["finalizers"] == ["a", "b"]
    shrunk = strategic(grown, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})
    assert shrunk["metadata"]["finalizers"] == ["b"]
    told = strategic(before, {"status": {"conditions": [{"type": "y"}, {"type": "x", "status": "False"}]}})
    assert told["status"]["conditions"] == [{"type": "y"}, {"type": "x", "status": "False", "n": 1}]
    gone = strategic(before, {"status": {"conditions": [{"$patch": "delete", "type": "x"}]}})
    assert gone["status"]["conditions"] == []


def test_a_json_patch_is_done_as_a_whole_or_not_at_all() -> None:
    before: Object = {"metadata": {"uid": "u"}, "spec": {"a": 1}}
    replaced: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/spec", "value": {}},
    ]
    assert json_patch(before, replaced) == {"metadata": {"uid": "u"}, "spec": {}}
    with pytest.raises(TestFailed):
        json_patch(before, [replaced[1], {"op": "test", "path": "/metadata/uid", "value": "v"}])
    assert before["spec"] == {"a": 1}
    assert json_patch(before, [{"op": "remove", "path": "/spec/a"}])["spec"] == {}
