"""What patches make of an object, as far as fleetlb sends them: merge, strategic merge and JSON patches. Pure."""

import copy
from typing import Any

Object = dict[str, Any]

_PRIMITIVE_LISTS = {"finalizers"}
_MERGE_KEYS = {"conditions": "type"}
_DELETE_FROM = "$deleteFromPrimitiveList/"


class TestFailed(ValueError):
    """A JSON patch's `test` found another value."""

    __test__ = False


def merge(target: Object, patch: Object) -> Object:
    """RFC 7386."""
    made = dict(target)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            before = made.get(key)
            made[key] = merge(before if isinstance(before, dict) else {}, value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def strategic(target: Object, patch: Object) -> Object:
    """Like `merge`, but finalizers are a set and conditions are merged by type."""
    made = dict(target)
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            made[name] = [item for item in made.get(name, ()) if item not in value]
        elif value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            before = made.get(key)
            made[key] = strategic(before if isinstance(before, dict) else {}, value)
        elif key in _PRIMITIVE_LISTS:
            made[key] = [*made.get(key, ()), *(item for item in value if item not in made.get(key, ()))]
        elif key in _MERGE_KEYS:
            made[key] = _merged_by(_MERGE_KEYS[key], made.get(key, ()), value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def json_patch(target: Object, operations: list[Object]) -> Object:
    """RFC 6902 with `test`, `add`, `replace` and `remove` of members of objects. Raises TestFailed."""
    made = copy.deepcopy(target)
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = made
        for part in way:
            place = place.setdefault(part, {})
        match operation["op"]:
            case "test":
                if place.get(last) != operation["value"]:
                    raise TestFailed(f"testing value {operation['path']} failed")
            case "add" | "replace":
                place[last] = copy.deepcopy(operation["value"])
            case "remove":
                del place[last]
            case other:
                raise ValueError(f"this operation is not played here: {other}")
    return made


def _merged_by(key: str, before: Any, patch: list[Object]) -> list[Object]:
    """New ones first, as a real server has them."""
    kept = {item[key]: item for item in before}
    fresh = []
    for item in patch:
        if item.get("$patch") == "delete":
            kept.pop(item[key], None)
        elif item[key] in kept:
            kept[item[key]] = {**kept[item[key]], **item}
        else:
            fresh.append(dict(item))
    return [*fresh, *kept.values()]
