"""What is committed for other programs to read is what the Python types say, and it is valid."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from fleetlb.contracts import events
from fleetlb.contracts.channels import MESSAGES, name_of
from fleetlb.contracts.codec import decode, encode
from fleetlb.contracts.crds import all_crds
from fleetlb.contracts.events import NodeEvent, ServiceEvent
from fleetlb.contracts.v1 import Message

ROOT = Path(__file__).resolve().parents[2]
GENERATE = ROOT / "deploy" / "schemas" / "generate.py"
SCHEMAS = ROOT / "proto-schemas" / "v1"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*.json"))
KINDS: dict[str, type[Message]] = {name_of(kind): kind for kind in MESSAGES}
OF_EVENTS = [path for path in EXAMPLES if issubclass(KINDS[path.name.split(".")[0]], ServiceEvent | NodeEvent)]
OF_TOMORROW = "ofTomorrow"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(GENERATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return schema


def test_what_is_committed_is_what_is_generated() -> None:
    answer = generate("--check")
    assert answer.returncode == 0, answer.stdout


@pytest.mark.timeout(120)
def test_drift_is_found_and_shown(tmp_path: Path) -> None:
    assert generate("--root", str(tmp_path)).returncode == 0
    schema = tmp_path / "proto-schemas" / "v1" / "service_observed.schema.json"
    schema.write_text(schema.read_text().replace('"digest"', '"checksum"'))
    (tmp_path / "deploy" / "crds" / "tenants.yaml").unlink()
    page = tmp_path / "docs" / "metrics.md"
    page.write_text(page.read_text().replace("| gauge | `phase` |", "| counter |  |"))
    (tmp_path / "proto-schemas" / "v1" / "forgotten.schema.json").write_text("{}")
    answer = generate("--check", "--root", str(tmp_path))
    assert answer.returncode == 1
    assert '-        "checksum": {' in answer.stdout
    assert "+kind: CustomResourceDefinition" in answer.stdout
    assert "+| `fleetlb_address_claims` | gauge | `phase` |" in answer.stdout
    assert "proto-schemas/v1/forgotten.schema.json: nothing generates this file" in answer.stdout
    assert "make schemas" in answer.stderr
    assert generate("--root", str(tmp_path)).returncode == 0
    assert generate("--check", "--root", str(tmp_path)).returncode == 0


@pytest.mark.parametrize("name", KINDS)
def test_every_schema_is_a_schema_and_demands_the_type(name: str) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({})
    assert "type" in schema["$defs"][KINDS[name].__name__]["required"]


def test_every_message_has_an_example_and_every_example_a_message() -> None:
    assert {path.name.split(".")[0] for path in EXAMPLES} == set(KINDS)
    assert all(len(path.name.split(".")) == 3 for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_decodes_and_is_valid(path: Path) -> None:
    name = path.name.split(".")[0]
    validator = jsonschema.Draft202012Validator(schema_of(name))
    body = path.read_bytes()
    validator.validate(json.loads(body))
    message = decode(KINDS[name], body)
    written = encode(message)
    validator.validate(json.loads(written))
    assert decode(KINDS[name], written) == message


@pytest.mark.parametrize("path", OF_EVENTS, ids=lambda path: path.stem)
def test_an_event_goes_on_saying_all_that_it_ever_said(path: Path) -> None:
    """Readers are programs of others: no field may go, be renamed or be left out."""
    said = json.loads(path.read_bytes())
    written = json.loads(encode(decode(KINDS[path.name.split(".")[0]], path.read_bytes())))
    assert {field: written[field] for field in said if field != OF_TOMORROW} == {
        field: value for field, value in said.items() if field != OF_TOMORROW
    }


def test_there_are_examples_of_every_event() -> None:
    assert {path.name.split(".")[0] for path in OF_EVENTS} == {
        events.word_of(kind).replace("-", "_") for kind in events.ALL_EVENTS
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_schema_and_decoder_refuse_the_same_missing_fields(path: Path) -> None:
    name = path.name.split(".")[0]
    validator = jsonschema.Draft202012Validator(schema_of(name))
    body = json.loads(path.read_bytes())
    for field in body:
        less = {key: value for key, value in body.items() if key != field}
        try:
            decode(KINDS[name], json.dumps(less).encode())
            decodes = True
        except Exception:
            decodes = False
        assert validator.is_valid(less) is decodes, f"without {field}"


@pytest.mark.parametrize("definition", all_crds(), ids=lambda crd: crd["spec"]["names"]["kind"])
def test_committed_crds_are_the_definitions(definition: dict[str, Any]) -> None:
    path = ROOT / "deploy" / "crds" / f"{definition['spec']['names']['plural']}.yaml"
    assert yaml.safe_load(path.read_text()) == definition


def references(node: object) -> list[str]:
    """Every $ref in a document."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def resolve(document: object, pointer: str) -> object:
    """The value that a JSON pointer names."""
    for token in pointer.removeprefix("#/").split("/"):
        assert isinstance(document, dict)
        document = document[token]
    return document


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load((ROOT / "proto-schemas" / "asyncapi.yaml").read_text())
    found = references(document)
    assert len(found) > 50
    for reference in found:
        if reference.startswith("#/"):
            assert resolve(document, reference)
        else:
            assert (ROOT / "proto-schemas" / reference).is_file()


def test_the_asyncapi_document_speaks_of_every_message_and_parameter() -> None:
    document = yaml.safe_load((ROOT / "proto-schemas" / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    assert set(document["components"]["messages"]) == set(KINDS)
    used = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert used == set(KINDS)
    for channel in document["channels"].values():
        names = {token.strip("{}") for token in channel["address"].split(".") if token.startswith("{")}
        assert set(channel["parameters"]) == names
        assert names <= set(document["components"]["parameters"])
    actions = [operation["action"] for operation in document["operations"].values()]
    assert actions.count("send") == len(document["channels"])


def test_the_asyncapi_document_describes_the_envelope_of_events_and_of_nothing_else() -> None:
    document = yaml.safe_load((ROOT / "proto-schemas" / "asyncapi.yaml").read_text())
    enveloped = {name for name, message in document["components"]["messages"].items() if "headers" in message}
    assert enveloped == {path.name.split(".")[0] for path in OF_EVENTS}
    headers = document["components"]["messages"]["serving"]["headers"]
    assert set(headers["properties"]) - set(headers["required"]) == {"ce-traceparent"}


def test_a_type_id_is_the_name_of_its_schema() -> None:
    for name, kind in KINDS.items():
        assert msgspec.json.decode(encode_minimal(kind))["type"] == f"dev.fleetlb.v1.{name}"


def encode_minimal(kind: type[Message]) -> bytes:
    """One example of a message, re-encoded."""
    path = next(path for path in EXAMPLES if path.name.split(".")[0] == name_of(kind))
    return encode(decode(kind, path.read_bytes()))
