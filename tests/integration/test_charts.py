"""The charts as Helm renders them, with each of the files of values in their folders `ci`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb.runtime import settings
from fleetlb.runtime.settings import ProcessSettings
from fleetlb_cli.rights.granting import rights_of
from fleetlb_cli.tenants.manifests import Joining, manifest, to_yaml
from fleetlb_manager.settings import ManagerSettings
from fleetlb_status.settings import Settings as StatusSettings
from fleetlb_tenant_watcher.settings import WatcherSettings
from tests.stage import charts
from tests.stage.charts import CASES, HUB, TENANT, HelmError, by_name, environ_of, pods, rendered

pytestmark = pytest.mark.integration
each_case = pytest.mark.parametrize(("chart", "file"), CASES.values(), ids=CASES.keys())
SETTINGS: dict[str, type[ProcessSettings]] = {
    "manager": ManagerSettings,
    "status": StatusSettings,
    "watcher": WatcherSettings,
}
URL = {"nats.url": "nats://hub:4222"}


def test_what_is_committed_is_what_is_generated() -> None:
    command = [sys.executable, str(charts.FOLDER / "generate_charts.py"), "--check"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert answer.returncode == 0, answer.stderr


@each_case
def test_helm_finds_no_fault(chart: Path, file: Path) -> None:
    charts.run("lint", "--strict", str(chart), "--values", str(file))


@each_case
def test_services_understand_what_they_are_told(chart: Path, file: Path) -> None:
    told = {each["spec"]["containers"][0]["name"]: environ_of(each) for each in pods(rendered(chart, file))}
    assert set(told) - {"nats"} == ({"manager", "status"} if chart == HUB else {"watcher"})
    for name, environ in told.items():
        if name != "nats":
            settings.load(SETTINGS[name], environ)


@each_case
def test_secrets_are_files_and_whole_folders(chart: Path, file: Path) -> None:
    """A kubelet renews no file that is mounted by itself, and whoever may look at a pod sees its environment."""
    for template in pods(rendered(chart, file)):
        (container,) = template["spec"]["containers"]
        for mount in container["volumeMounts"]:
            assert "subPath" not in mount
        named = [each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "secretKeyRef" in str(each)]
        assert set(named) <= {"hub.account"}, "a public key"
        assert template["spec"]["enableServiceLinks"] is False


@each_case
def test_a_change_of_credentials_restarts_nobody(chart: Path, file: Path) -> None:
    for template in pods(rendered(chart, file)):
        annotations = template["metadata"].get("annotations", {})
        assert {name for name in annotations if "checksum" in name} <= {"checksum/config"}
        if template["spec"]["containers"][0]["name"] != "nats":
            assert not [name for name in annotations if "checksum" in name]


def test_the_hubs_rights_are_those_of_the_rules() -> None:
    objects = by_name(rendered(HUB, values={"status.page.enabled": True}))
    for name in ("manager", "status", "status-page"):
        rights, bound = rights_of(name), "manager" if name == "manager" else "status"
        for kind, rules in (("ClusterRole", rights.cluster), ("Role", rights.namespace)):
            assert objects[kind, f"fleetlb-{name}"]["rules"] == list(rules)
            binding = objects[f"{kind}Binding", f"fleetlb-{name}"]
            assert binding["roleRef"]["name"] == f"fleetlb-{name}"
            whom = {"kind": "ServiceAccount", "name": f"fleetlb-{bound}", "namespace": charts.NAMESPACE}
            assert binding["subjects"] == [whom]
    granted = [item for item in rendered(HUB) if item["kind"] in ("ClusterRole", "Role")]
    assert not [item for item in granted if item["metadata"]["name"] == "fleetlb-status-page"]


@pytest.mark.parametrize(
    ("choice", "values"),
    [
        ({}, {}),
        ({"load_balancer_class": "a.b/c", "pod_backends": True}, {"loadBalancerClass": "a.b/c", "podBackends": True}),
    ],
    ids=["plain", "class and pods"],
)
def test_a_manifest_to_join_with_is_what_the_chart_makes(choice: dict[str, Any], values: dict[str, Any]) -> None:
    image = "ghcr.io/fleetlb/tenant-watcher:1.2.3"
    joining = Joining(nats_url="nats://hub:4222", image=image, credentials="", **choice)
    made = by_name(list(yaml.safe_load_all(to_yaml(manifest(joining)))))
    wanted = by_name(rendered(TENANT, values={**URL, "image.tag": "1.2.3", **values}))
    assert set(made) - set(wanted) == {("Namespace", "fleetlb-system"), ("Secret", "fleetlb-watcher-creds")}
    for key, item in wanted.items():
        _forget_helm(item)
        assert made[key] == item, key


def _forget_helm(item: dict[str, Any]) -> None:
    template = item.get("spec", {}).get("template", {"metadata": {}})
    for metadata in (item["metadata"], template["metadata"]):
        for label in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
            metadata.get("labels", {}).pop(label, None)


@pytest.mark.parametrize(
    ("chart", "values", "words"),
    [
        (HUB, {"manager.replica": 3}, "additional properties 'replica' not allowed"),
        (HUB, {"loglevel": "debug"}, "additional properties 'loglevel' not allowed"),
        (HUB, {"nats.replicas": 2}, "at '/nats/replicas': value must be one of 1, 3"),
        (HUB, {"manager.partitions": 65}, "at '/manager/partitions': maximum: got 65, want 64"),
        (HUB, {"image.pullPolicy": "Sometimes"}, "at '/image/pullPolicy': value must be one of"),
        (HUB, {"nats.enabled": False}, "nats.url: say where NATS is"),
        (HUB, {"status.serviceAccount.create": False}, "status.serviceAccount.name: name the account"),
        (TENANT, {}, "nats.url: say where the hub's NATS is"),
        (TENANT, {**URL, "serviceMonitor.enabled": True}, "serviceMonitor.tenant: name the tenant"),
        (TENANT, {**URL, "dialects": ["metalb"]}, "at '/dialects/0': value must be one of"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_cannot_be_meant_is_refused_with_the_fields_name(chart: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refusal:
        rendered(chart, values=values)
    assert words in str(refusal.value)


def test_everything_has_its_labels_in_one_namespace() -> None:
    for chart, file in CASES.values():
        for item in rendered(chart, file):
            assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "fleetlb"
            assert item["metadata"].get("namespace", charts.NAMESPACE) == charts.NAMESPACE


def test_prometheus_and_grafana_are_given_what_they_ask_for() -> None:
    chart, file = CASES["fleetlb-everything"]
    objects = by_name(rendered(chart, file))
    monitors = [item for (kind, _), item in objects.items() if kind == "ServiceMonitor"]
    jobs = {item["spec"]["endpoints"][0]["relabelings"][0]["replacement"] for item in monitors}
    assert jobs == {"fleetlb-manager", "fleetlb-status"}
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [item for (kind, _), item in objects.items() if kind == "Service"
                 and wanted <= item["metadata"]["labels"].items()]  # fmt: skip
        assert "http" in [port["name"] for service in found for port in service["spec"]["ports"]]
    (rule,) = [item for (kind, _), item in objects.items() if kind == "PrometheusRule"]
    alerts = [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
    committed = yaml.safe_load((charts.ROOT / "deploy/observability/alerts.yaml").read_text())
    assert len(alerts) == sum(len(group["rules"]) for group in committed["groups"]) > 20
    for alert in alerts:
        assert alert["annotations"]["runbook_url"].startswith("https://example.org/fleetlb/docs/runbooks/")
    boards = [item for (kind, name), item in objects.items() if kind == "ConfigMap" and "-dashboard-" in name]
    assert len(boards) == 4
    for board in boards:
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = board["data"].values()
        assert yaml.safe_load(text)["uid"].startswith("fleetlb-")


def test_every_value_that_the_documents_name_is_one() -> None:
    page = (charts.ROOT / "docs" / "helm.md").read_text()
    named = re.findall(r"`([a-z][A-Za-z.]*)=([^`]+)`", page)
    assert len(named) > 10
    for path, text in named:
        charts.run("template", "x", str(HUB), "--set", "status.page.enabled=true,nats.url=nats://x:1", "--set",
                   f"{path}={text.replace(',', chr(92) + ',')}")  # fmt: skip
    for path in re.findall(r"`((?:nats|networkPolicy|manager|status|crds)\.[A-Za-z.]+)`", page):
        assert _has(yaml.safe_load((HUB / "values.yaml").read_text()), path) or _has(
            yaml.safe_load((TENANT / "values.yaml").read_text()), path
        ), path


def _has(values: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True
