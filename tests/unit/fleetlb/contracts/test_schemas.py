import pytest

from fleetlb.contracts.channels import MESSAGES, name_of
from fleetlb.contracts.schemas import asyncapi, documents, message_schema
from fleetlb.contracts.v1 import Message, ServiceReported


def test_one_document_per_message_and_kind_and_one_of_the_bus() -> None:
    paths = set(documents())
    assert {f"proto-schemas/v1/{name_of(kind)}.schema.json" for kind in MESSAGES} < paths
    assert {path for path in paths if path.startswith("deploy/crds/")} == {
        f"deploy/crds/{plural}.yaml"
        for plural in (
            "addressclaims",
            "addresspools",
            "balancergroups",
            "loadbalancers",
            "tenantclusters",
            "tenants",
        )
    }
    assert "proto-schemas/asyncapi.yaml" in paths
    assert len(paths) == len(MESSAGES) + 7


def test_documents_are_the_same_each_time() -> None:
    assert repr(documents()) == repr(documents())


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_schema_names_itself_and_leaves_room_for_fields_of_tomorrow(kind: type[Message]) -> None:
    schema = message_schema(kind)
    assert schema["$id"] == f"urn:fleetlb:v1:{name_of(kind)}"
    assert schema["$ref"] == f"#/$defs/{kind.__name__}"
    assert all("additionalProperties" not in part for part in schema["$defs"].values())
    assert all(part.get("description") for part in schema["$defs"].values())


def test_a_reader_receives_what_the_writer_sends() -> None:
    operations = asyncapi()["operations"]
    sent, received = operations["status_sends_serviceReported"], operations["tenant-watcher_receives_serviceReported"]
    assert sent == received | {"action": "send"}
    assert operations["status_receives_snapshotRequested"]["reply"]["messages"] == [
        {"$ref": "#/channels/snapshotRequested/messages/snapshot_answered"}
    ]


def test_a_message_is_introduced_by_its_docstring() -> None:
    message = asyncapi()["components"]["messages"]["service_reported"]
    assert message["summary"] == ServiceReported.__doc__
    assert message["name"] == "dev.fleetlb.v1.service_reported"
