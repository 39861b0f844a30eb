"""A local fleet's own Prometheus is told of every process, under the job and labels that dashboards ask for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fleetlb_cli.local.layout import Environment
from tests.stage.alert_rules import FOLDER, RULES

PROCESSES = {
    "nats": None, "manager": 1, "manager-2": 2, "status": 3, "tenant-watcher/acme": 4, "tenant-watcher/globex": 5,
    "dataplane-programmer/node-1": 6, "envoy/node-1": None,
}  # fmt: skip
FLEET = {
    "management": {"kubeconfig": "k", "cluster_uid": "u"},
    "tenants": {},
    "nats": {"url": "n", "hub_creds": "h", "system_creds": "s", "monitor": "m"},
    "pools": {},
    "groups": {"gold": {"engine": "envoy", "nodes": ["node-1"]}},
    "processes": {
        name: {"pid": 1, "log": "l", "http": f"http://127.0.0.1:{port}" if port else None}
        for name, port in PROCESSES.items()
    },
}


def configure(state: Path, into: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(FOLDER / "local_fleet.py"), "--state", str(state), "--into", str(into), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def targets(folder: Path, job: str) -> Any:
    return json.loads((folder / "targets" / f"{job}.yaml").read_text())


def test_every_process_is_a_target_of_its_job(tmp_path: Path) -> None:
    state, into = tmp_path / "state", tmp_path / "prometheus"
    state.mkdir()
    (state / "env.json").write_bytes(msgspec.json.encode(msgspec.convert(FLEET, Environment)))
    answer = configure(state, into, "--every", "5s", "--audit", "127.0.0.1:7")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [group["targets"] for group in targets(into, "fleetlb-manager")] == [["127.0.0.1:1"], ["127.0.0.1:2"]]
    assert targets(into, "fleetlb-status") == [{"targets": ["127.0.0.1:3"], "labels": {}}]
    assert [group["labels"] for group in targets(into, "fleetlb-tenant-watcher")] == [
        {"tenant": "acme"},
        {"tenant": "globex"},
    ]
    (programmer,) = targets(into, "fleetlb-dataplane-programmer")
    assert programmer == {"targets": ["127.0.0.1:6"], "labels": {"group": "gold", "node": "node-1"}}
    assert targets(into, "fleetlb-audit") == [{"targets": ["127.0.0.1:7"]}]
    config, ours = (yaml.safe_load((place / "prometheus.yml").read_text()) for place in (into, FOLDER))
    assert config["global"] == dict.fromkeys(ours["global"], "5s")
    assert config["scrape_configs"] == ours["scrape_configs"]
    assert (into / "alerts.yaml").read_text() == RULES.read_text()


def test_without_a_fleet_it_says_so(tmp_path: Path) -> None:
    answer = configure(tmp_path, tmp_path / "prometheus")
    assert answer.returncode == 1
    assert answer.stderr.startswith("no fleet is up in ")
    assert "Traceback" not in answer.stderr
