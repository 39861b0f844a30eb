import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fleetlb.contracts import objects, tenants
from fleetlb.contracts.crds import all_crds

CRDS = {crd["spec"]["names"]["kind"]: crd for crd in all_crds()}
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "definitions", "nullable"}


def schema_of(kind: str) -> dict[str, Any]:
    (version,) = CRDS[kind]["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def parts(schema: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from parts(schema[word], f"{path}[]")


@pytest.mark.parametrize("kind", CRDS)
def test_schemas_are_structural(kind: str) -> None:
    for path, schema in parts(schema_of(kind)):
        assert not FORBIDDEN & set(schema), path
        assert isinstance(schema.get("type"), str), path
        assert schema.get("required") != [], path
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), path


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_of_the_struct_stands_in_the_schema(kind: str) -> None:
    struct = getattr(tenants if kind.startswith("Tenant") else objects, kind)
    properties = schema_of(kind)["properties"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert set(properties) == set(fields) - {"metadata"}
    for name, schema in properties.items():
        inner = fields[name].type
        assert set(schema["properties"]) == {field.encode_name for field in msgspec.structs.fields(inner)}


@pytest.mark.parametrize("kind", CRDS)
def test_names_and_scope(kind: str) -> None:
    spec, names = CRDS[kind]["spec"], CRDS[kind]["spec"]["names"]
    assert CRDS[kind]["metadata"]["name"] == f"{names['plural']}.fleetlb.dev"
    assert names["listKind"] == f"{kind}List"
    assert names["categories"] == ["fleetlb"]
    assert (spec["scope"] == "Namespaced") == (kind in ("LoadBalancer", "TenantCluster"))


def test_short_names_are_unique() -> None:
    short = [name for crd in CRDS.values() for name in crd["spec"]["names"]["shortNames"]]
    assert len(set(short)) == len(CRDS)


@pytest.mark.parametrize("kind", CRDS)
def test_only_objects_with_a_status_have_the_subresource(kind: str) -> None:
    (version,) = CRDS[kind]["spec"]["versions"]
    assert ("subresources" in version) == ("status" in schema_of(kind)["properties"]) == (kind != "AddressClaim")


@pytest.mark.parametrize("kind", CRDS)
def test_columns_point_at_fields(kind: str) -> None:
    (version,) = CRDS[kind]["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    assert columns[-1]["name"] == "Age"
    for column in columns[:-1]:
        schema = schema_of(kind)
        for name in re.sub(r"\[[^]]*\]", "", column["jsonPath"]).strip(".").split("."):
            schema = schema.get("items", schema)["properties"][name]
        assert schema["type"] == column["type"] or column["type"] in ("string", "date"), column["name"]


def test_conditions_are_a_map_by_type() -> None:
    for kind in ("Tenant", "AddressPool", "BalancerGroup", "LoadBalancer"):
        conditions = schema_of(kind)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
        assert "type" in conditions["items"]["required"]


def test_defaults_stand_only_in_what_people_write() -> None:
    found = {
        kind: {path: schema["default"] for path, schema in parts(schema_of(kind)) if "default" in schema}
        for kind in CRDS
    }
    assert {kind: defaults for kind, defaults in found.items() if defaults} == {
        "Tenant": {
            "$.spec.nodePortRange": "30000-32767",
            "$.spec.suspended": False,
            "$.spec.failurePolicy": "open",
        },
        "AddressPool": {
            "$.spec.priority": 0,
            "$.spec.autoAssign": True,
            "$.spec.avoidBuggyIPs": False,
            "$.spec.quarantineSeconds": 60,
            "$.spec.group": "default",
            "$.spec.announcement": "none",
        },
        "BalancerGroup": {
            "$.spec.forwarding": "masquerade",
            "$.spec.scheduler": "lc",
            "$.spec.drainSeconds": 60,
        },
    }


def test_each_call_gives_fresh_definitions() -> None:
    all_crds()[0]["spec"]["group"] = "spoiled"
    assert all_crds()[0]["spec"]["group"] == "fleetlb.dev"
    assert (
        schema_of("AddressClaim")["x-kubernetes-validations"]
        == all_crds()[5]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    )
