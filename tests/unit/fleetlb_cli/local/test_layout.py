"""Paths, and env.json as others read it."""

import json
from pathlib import Path

import msgspec
import pytest

from fleetlb_cli.local import layout
from fleetlb_cli.local.layout import Environment, Layout, NoFleetError

EXAMPLE = {
    "version": 1,
    "management": {"kubeconfig": "/s/m", "cluster_uid": "u0"},
    "tenants": {
        "acme": {
            "kubeconfig": "/s/a",
            "cluster_uid": "u1",
            "namespace": "tenant-acme",
            "node_cidr": "127.10.0.0/16",
            "node_cidr6": None,
            "creds": "/s/c",
            "load_balancer_class": None,
        }
    },
    "nats": {
        "url": "nats://127.0.0.1:4222",
        "hub_creds": "/s/h",
        "system_creds": "/s/y",
        "monitor": "http://127.0.0.1:8222",
        "integration_creds": "/s/i",
    },
    "pools": {"default": {"cidr": "127.77.0.0/20", "cidr6": None}},
    "groups": {"default": {"engine": "envoy", "nodes": ["node-1"]}},
    "processes": {
        "manager": {"pid": 7, "log": "/s/l", "http": "http://127.0.0.1:1", "ui": None},
        "nats": {"pid": None, "log": "/s/n", "http": None, "ui": None},
        "status": {"pid": 8, "log": "/s/t", "http": "http://127.0.0.1:2", "ui": "http://127.0.0.1:3/ui/"},
    },
}


def test_the_documented_shape_is_read_and_written_unchanged(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text(json.dumps(EXAMPLE))
    environment = layout.read_environment(tmp_path)
    assert environment.tenants["acme"].node_cidr == "127.10.0.0/16"
    assert environment.processes["nats"].pid is None
    assert json.loads(msgspec.json.encode(environment)) == EXAMPLE


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text(json.dumps({**EXAMPLE, "later": 1}))
    assert isinstance(layout.read_environment(tmp_path), Environment)


def test_without_a_fleet_the_cure_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoFleetError, match="fleetlb local up --state"):
        layout.read_environment(tmp_path)


def test_names_with_slashes_are_one_log_file() -> None:
    assert Layout(Path("/s")).log("envoy/node-1") == Path("/s/logs/envoy-node-1.log")


def test_files_are_replaced_privately_and_leave_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "file"
    layout.replace_file(path, b"one")
    reader = path.open("rb")
    layout.replace_file(path, b"two")
    with reader:
        assert reader.read() == b"one"  # whoever has it open sees the whole old content
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    assert layout.read_json(path, dict) is None
    layout.write_json(path, {"a": [1]})
    assert layout.read_json(path, dict) == {"a": [1]}
