"""The charts on a real API server: taken by it as they are, installed, upgraded and uninstalled by Helm.

There is no kubelet, so no pod runs; that the services can work with these rights is what every local fleet shows.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb.kube.resources import Object
from tests.e2e.fleet import FLEETLB
from tests.integration.conftest import KubeApis
from tests.stage import charts
from tests.stage.charts import CASES, HUB, NAMESPACE, TENANT, pods, rendered
from tests.upstream.admitting import Kubectl

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
each_case = pytest.mark.parametrize(("chart", "file"), CASES.values(), ids=CASES.keys())
PROMETHEUS = "monitoring.coreos.com/v1"
URL = {"nats.url": "nats://hub:4222"}
KINDS = "deployments,statefulsets,services,serviceaccounts,configmaps,roles,rolebindings,networkpolicies"
FLAT = charts.ROOT / "deploy" / "install"
EVERYWHERE = "clusterroles,clusterrolebindings,customresourcedefinitions"


OVERLAY = """
resources: [../base]
namespace: elsewhere
images:
  - {name: ghcr.io/fleetlb/manager, newName: registry.example.org/manager, newTag: 1.2.3}
  - {name: ghcr.io/fleetlb/status, newName: registry.example.org/status, newTag: 1.2.3}
  - {name: ghcr.io/fleetlb/tenant-watcher, newName: registry.example.org/tenant-watcher, newTag: 1.2.3}
"""


@pytest.fixture(scope="module")
def administrators(kube_apis: KubeApis) -> Path:
    """Kubeconfig of an API server whose namespaces end."""
    server = kube_apis.start("charts")
    kube_apis.start_controllers(server)
    return server.kubeconfig


@pytest.fixture
def kubectl(administrators: Path) -> Iterator[Kubectl]:
    """An administrator; the releases that a test leaves are uninstalled."""
    yield Kubectl(kubeconfig=administrators)
    for release in json.loads(_helm(administrators, "list", "--all", "--output", "json")):
        _helm(administrators, "uninstall", release["name"])


def _helm(kubeconfig: Path, *arguments: str) -> str:
    return charts.run(*arguments, "--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE)


def install(kubectl: Kubectl, chart: Path, verb: str = "install", **values: Any) -> None:
    given = {path.replace("__", "."): value for path, value in values.items()}
    more = ["--create-namespace"] if verb == "install" else []
    _helm(kubectl.kubeconfig, verb, charts.RELEASES[chart], str(chart), *more, *charts.settings(given))


def uninstall(kubectl: Kubectl, chart: Path) -> None:
    """Return when all is gone: an API server takes its time with definitions."""
    _helm(kubectl.kubeconfig, "uninstall", charts.RELEASES[chart], "--wait", "--timeout", "60s")


def present(kubectl: Kubectl) -> dict[str, str]:
    """Versions of all objects of fleetlb, by kind and name."""
    ours = ["--selector", "app.kubernetes.io/part-of=fleetlb"]
    items = kubectl.read("get", f"{KINDS},poddisruptionbudgets", "--namespace", NAMESPACE, *ours)["items"]
    items += kubectl.read("get", EVERYWHERE, *ours)["items"]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


def offered(objects: list[Object]) -> str:
    """As a stream of documents, without kinds that this API server has no definition of."""
    return str(yaml.safe_dump_all([item for item in objects if item["apiVersion"] != PROMETHEUS]))


@each_case
def test_an_api_server_takes_every_object_and_knows_every_field(chart: Path, file: Path, kubectl: Kubectl) -> None:
    kubectl.attempt("create", "namespace", NAMESPACE)
    apply = ("apply", "--server-side", "--validate=strict", "--dry-run=server", "--filename", "-")
    answer = kubectl.attempt(*apply, given=offered(rendered(chart, file)))
    assert answer.returncode == 0, answer.stderr
    assert "unknown field" not in answer.stderr


@each_case
def test_pods_keep_to_the_restricted_standard(chart: Path, file: Path, kubectl: Kubectl) -> None:
    kubectl.attempt("create", "namespace", "restricted")
    label = "pod-security.kubernetes.io/enforce=restricted"
    kubectl.run("label", "namespace", "restricted", label, "--overwrite")
    templates = pods(rendered(chart, file))
    assert templates
    for template in templates:
        answer = kubectl.attempt("create", "--dry-run=server", "--filename", "-", given=_pod(template))
        assert answer.returncode == 0, answer.stderr
        template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        answer = kubectl.attempt("create", "--dry-run=server", "--filename", "-", given=_pod(template))
        assert "violates PodSecurity" in answer.stderr


def _pod(template: Object) -> str:
    spec = {key: value for key, value in template["spec"].items() if key != "priorityClassName"}
    volumes = [volume for volume in spec["volumes"] if "persistentVolumeClaim" not in volume]
    claimed = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} - {each["name"] for each in volumes}
    volumes += [{"name": name, "emptyDir": {}} for name in claimed]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "restricted"},
        "spec": {**spec, "volumes": volumes},
    }
    return json.dumps(pod)


def test_the_hub_is_installed_upgraded_and_uninstalled(kubectl: Kubectl) -> None:
    install(kubectl, HUB)
    first = present(kubectl)
    assert {"Deployment/fleetlb-manager", "StatefulSet/fleetlb-nats", "ClusterRole/fleetlb-status"} <= set(first)
    install(kubectl, HUB, "upgrade")
    assert present(kubectl) == first, "nothing changed, so nothing is written"
    install(kubectl, HUB, "upgrade", manager__replicas=3, status__page__enabled=True)
    changed = {name for name, version in present(kubectl).items() if first.get(name) != version}
    assert changed == {
        "Deployment/fleetlb-manager", "Deployment/fleetlb-status",
        *(f"{kind}/fleetlb-status-page" for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
    }  # fmt: skip
    pool = {"apiVersion": "fleetlb.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "kept"},
            "spec": {"addresses": ["192.0.2.0/24"], "group": "default"}}  # fmt: skip
    assert kubectl.attempt("apply", "--filename", "-", given=json.dumps(pool)).returncode == 0
    uninstall(kubectl, HUB)
    left = set(present(kubectl))
    assert left == {name for name in first if name.startswith("CustomResourceDefinition/")}
    assert kubectl.read("get", "addresspool", "kept")["metadata"]["name"] == "kept"
    install(kubectl, HUB)
    assert set(present(kubectl)) == set(first), "the definitions that were kept are the release's own again"
    kubectl.run("delete", "addresspool", "kept")


def test_definitions_that_are_not_to_be_kept_go(kubectl: Kubectl) -> None:
    install(kubectl, HUB, crds__keep=False)
    uninstall(kubectl, HUB)
    assert not present(kubectl)


def test_a_tenant_is_installed_beside_a_hub_and_uninstalled(kubectl: Kubectl) -> None:
    install(kubectl, HUB)
    hub = present(kubectl)
    install(kubectl, TENANT, nats__url="nats://hub:4222")
    both = present(kubectl)
    assert {name: version for name, version in both.items() if name in hub} == hub
    assert "Deployment/fleetlb-tenant-watcher" in both
    install(kubectl, TENANT, "upgrade", nats__url="nats://hub:4222")
    assert present(kubectl) == both
    uninstall(kubectl, TENANT)
    assert present(kubectl) == hub


def test_two_hubs_of_different_names_are_strangers(kubectl: Kubectl) -> None:
    """Of all that is not in a namespace."""
    one = {(item["kind"], item["metadata"]["name"]) for item in rendered(HUB)}
    other = {(item["kind"], item["metadata"]["name"]) for item in rendered(HUB, values={"fullnameOverride": "other"})}
    assert {kind for kind, _ in one & other} == {"CustomResourceDefinition"}


@pytest.mark.parametrize("path", ["fleetlb/install.yaml", "fleetlb-tenant/install.yaml", "fleetlb-tenant/rights.yaml"])
def test_a_flat_manifest_can_be_applied_again_and_again(path: str, kubectl: Kubectl) -> None:
    file = str(FLAT / path)
    try:
        kubectl.run("apply", "--filename", file)
        first = present(kubectl)
        assert first
        kubectl.run("apply", "--filename", file)
        assert present(kubectl) == first
    finally:
        kubectl.run("delete", "--filename", file, "--ignore-not-found")


@pytest.mark.parametrize("name", ["fleetlb", "fleetlb-tenant"])
def test_kustomize_takes_the_flat_manifest_for_a_base(name: str, kubectl: Kubectl, tmp_path: Path) -> None:
    plain = list(yaml.safe_load_all((FLAT / name / "install.yaml").read_text()))
    built = list(yaml.safe_load_all(kubectl.run("kustomize", str(FLAT / name))))
    assert charts.by_name(built) == charts.by_name(plain)
    shutil.copytree(FLAT / name, tmp_path / "base")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(OVERLAY)
    overlaid = list(yaml.safe_load_all(kubectl.run("kustomize", str(tmp_path / "overlay"))))
    namespaces = {item["metadata"]["namespace"] for item in overlaid if "namespace" in item["metadata"]}
    subjects = {whom["namespace"] for item in overlaid for whom in item.get("subjects", ())}
    assert namespaces == subjects == {"elsewhere"}
    images = {each["spec"]["containers"][0]["image"] for each in pods(overlaid)} - {"docker.io/library/nats:2.15.1"}
    assert images <= {f"registry.example.org/{service}:1.2.3" for service in ("manager", "status", "tenant-watcher")}
    answer = kubectl.attempt("apply", "--dry-run=client", "--kustomize", str(tmp_path / "overlay"))
    assert answer.returncode == 0, answer.stderr


def test_the_commands_of_the_documents_can_be_typed(kubectl: Kubectl, tmp_path: Path) -> None:
    """Those of the hub and of its roles, in the order in which they stand there."""
    page = (charts.ROOT / "docs" / "helm.md").read_text()
    hub, rights = (page.partition(f"## {title}\n")[2].partition("\n## ")[0] for title in ("The hub", "Rights"))
    typed = [shlex.split(line, comments=True) for part in (hub, rights) for line in re.findall(r"(?m)^\$ (.*)$", part)]
    assert [words[0] for words in typed] == ["fleetlb", "kubectl", "kubectl", "helm", "kubectl", "kubectl", "kubectl"]
    kubectl.attempt("delete", "namespace", NAMESPACE, "--wait")
    programs = {"fleetlb": FLEETLB, "kubectl": kubectl.program, "helm": charts.helm()}
    (tmp_path / "deploy").symlink_to(charts.ROOT / "deploy")
    for program, *words in typed:
        if "rollout" in words:  # no pod runs here
            continue
        command = [programs[program], *words]
        environ = {"KUBECONFIG": str(kubectl.kubeconfig), "PATH": os.defpath, "HOME": str(tmp_path)}
        answer = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, f"{program} {words}: {answer.stderr}"
    assert "Deployment/fleetlb-manager" in present(kubectl)
