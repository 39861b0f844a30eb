"""The API servers of the local fleet: identities, separation, controllers."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetlb_cli.local.kubernetes import ApiServer

pytestmark = pytest.mark.integration

KUBECTL = str(Path(sys.executable).parent / "kubectl")


def kubectl(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl with a home of its own, so that no discovery cache is shared."""
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'cache'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def get(kubeconfig: Path, *arguments: str) -> Any:
    """The object as kubectl shows it."""
    answer = kubectl(kubeconfig, "get", "-o", "json", *arguments)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.1)


def test_the_api_server_tells_its_version_and_identity(kube_api: Path) -> None:
    version = json.loads(kubectl(kube_api, "version", "-o", "json").stdout)
    assert version["serverVersion"]["minor"].startswith("36")
    assert get(kube_api, "namespace", "kube-system")["metadata"]["uid"]


def test_services_are_dual_stack(kube_api: Path) -> None:
    answer = kubectl(kube_api, "create", "service", "loadbalancer", "dual", "--tcp=443:443")
    assert answer.returncode == 0, answer.stderr
    patch = '{"spec": {"ipFamilyPolicy": "RequireDualStack"}}'
    assert kubectl(kube_api, "patch", "service", "dual", "-p", patch).returncode == 0
    spec = get(kube_api, "service", "dual")["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert spec["ports"][0]["nodePort"] >= 30000


def test_two_api_servers_on_one_etcd_are_strangers(
    kube_api: Path, another_kube_api: Callable[[str], ApiServer], tmp_path: Path
) -> None:
    other = another_kube_api("other")
    uids = {get(config, "namespace", "kube-system")["metadata"]["uid"] for config in (kube_api, other.kubeconfig)}
    assert len(uids) == 2
    assert kubectl(kube_api, "create", "namespace", "only-here").returncode == 0
    assert kubectl(other.kubeconfig, "get", "namespace", "only-here").returncode == 1

    mixed = tmp_path / "mixed"  # the token of one on the other
    mine = kubectl(kube_api, "config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}").stdout
    mixed.write_text(other.kubeconfig.read_text().replace(other.token, mine))
    assert "must be logged in" in kubectl(mixed, "get", "namespaces").stderr

    foreign = tmp_path / "foreign"  # the CA of one on the other
    address = kubectl(kube_api, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
    foreign.write_text(other.kubeconfig.read_text().replace(other.url, address))
    assert "x509" in kubectl(foreign, "get", "namespaces").stderr


def test_the_controllers_end_namespaces_and_mirror_endpoints(kube_api_with_controllers: Path) -> None:
    config = kube_api_with_controllers
    assert kubectl(config, "create", "namespace", "shortlived").returncode == 0
    assert kubectl(config, "-n", "shortlived", "create", "service", "clusterip", "web", "--tcp=80:80").returncode == 0
    slices = ("-n", "shortlived", "endpointslices", "-l", "kubernetes.io/service-name=web")
    eventually(lambda: bool(get(config, *slices)["items"]), "the Service has an EndpointSlice")
    assert kubectl(config, "delete", "namespace", "shortlived", "--wait=false").returncode == 0
    eventually(lambda: kubectl(config, "get", "namespace", "shortlived").returncode == 1, "the namespace is gone")


def test_the_garbage_collector_removes_what_an_owner_left(kube_api_with_controllers: Path) -> None:
    config = kube_api_with_controllers
    assert kubectl(config, "create", "configmap", "owner").returncode == 0
    uid = get(config, "configmap", "owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    assert kubectl(config, "create", "configmap", "owned").returncode == 0
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    assert kubectl(config, "patch", "configmap", "owned", "-p", patch).returncode == 0
    assert kubectl(config, "delete", "configmap", "owner").returncode == 0
    eventually(lambda: kubectl(config, "get", "configmap", "owned").returncode == 1, "the owned object is gone")


def test_nodes_made_by_hand_stay_as_they_are(kube_api_with_controllers: Path) -> None:
    config = kube_api_with_controllers
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "by-hand"}}
    (config.parent / "node.json").write_text(json.dumps(node))
    assert kubectl(config, "create", "-f", str(config.parent / "node.json")).returncode == 0
    status = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert kubectl(config, "patch", "node", "by-hand", "--subresource=status", "-p", status).returncode == 0
    stays = get(config, "node", "by-hand")
    assert stays["status"]["conditions"][0]["status"] == "True"
    assert "taints" not in stays.get("spec", {})
