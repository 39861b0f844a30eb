"""docs/install.md, the hub and a tenant: its lines on real API servers, and the processes as the manifests start them.

There is no kubelet: what it would do with a pod's settings, Secrets and account is done here.
"""

import base64
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb_cli.hub.keeping import ACCOUNTS
from fleetlb_cli.local import probes
from fleetlb_cli.local.ports import free_port
from fleetlb_cli.local.probes import Probe
from tests.integration.conftest import KubeApis
from tests.upstream.admitting import Kubectl, watchers_kubeconfig

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text()
NAMESPACE = "fleetlb-system"
PATIENCE = 90.0
COMMANDS = {
    "fleetlb-manager": "fleetlb-manager",
    "fleetlb-status": "fleetlb-status",
    "fleetlb-tenant-watcher": "fleetlb-tenant-watcher",
}
SERVER = """
server_name: hub
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{keys}/jetstream" }}
include "{accounts}"
resolver {{ type: full, dir: "{keys}/accounts", allow_delete: true, interval: "2m" }}
"""


def block(name: str) -> str:
    """What stands on the page below a mark."""
    (text,) = re.findall(rf"(?s)<!-- {name} -->\n```\w+\n(.*?)```", PAGE)
    return str(text)


class Desk:
    """An operator's machine: the page's lines are typed there."""

    def __init__(self, folder: Path, kubectl: Kubectl) -> None:
        self.folder, self.kubectl = folder, kubectl
        (folder / "deploy").symlink_to(ROOT / "deploy")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environ = {**os.environ, "PATH": path, "KUBECONFIG": str(kubectl.kubeconfig)}

    def type(self, name: str) -> str:
        lines = [line[2:] for line in block(name).splitlines() if line.startswith("$ ")]
        return "".join(self.run(line) for line in lines)

    def run(self, line: str) -> str:
        answer = subprocess.run(
            ["bash", "-euc", line], cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=120
        )
        assert answer.returncode == 0, f"{line}: {answer.stderr}"
        return answer.stdout


class Pod:
    """A Deployment's container, on this host."""

    def __init__(self, folder: Path, kubectl: Kubectl, deployment: str, nats: str) -> None:
        template = kubectl.read("--namespace", NAMESPACE, "get", "deployment", deployment)["spec"]["template"]["spec"]
        (container,) = template["containers"]
        self._folder, self._kubectl, self.name = folder, kubectl, deployment
        folder.mkdir()
        places = {volume["name"]: self._mounted(volume) for volume in template["volumes"]}
        mounts = {mount["mountPath"]: places[mount["name"]] for mount in container["volumeMounts"]}
        environ = {each["name"]: self._value(each, mounts) for each in container["env"]}
        account = template["serviceAccountName"]
        token = kubectl.run("--namespace", NAMESPACE, "create", "token", account).strip()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            watchers_kubeconfig(kubectl.read("config", "view", "--raw", "--minify", "--flatten"), token)
        )
        self.port = free_port()
        own = {"HTTP_ADDRESS": f"127.0.0.1:{self.port}", "KUBECONFIG": str(kubeconfig), "NATS_URL": nats}
        environ |= {f"FLEETLB_{name}": text for name, text in own.items()}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            command = [Path(sys.executable).with_name(COMMANDS[deployment])]
            self._child = subprocess.Popen(command, env={"PATH": os.defpath, **environ}, stdout=log, stderr=log)

    def until_ready(self) -> None:
        """As its readiness probe would say."""
        probe = Probe(url=f"http://127.0.0.1:{self.port}/readyz")
        until(lambda: probes.trouble(probe) is None, lambda: self.log.read_text()[-2000:])
        assert self._child.poll() is None

    def end(self) -> None:
        self._child.terminate()
        assert self._child.wait(30) == 0, self.log.read_text()[-2000:]

    def _secret(self, name: str) -> dict[str, bytes]:
        data = self._kubectl.read("--namespace", NAMESPACE, "get", "secret", name)["data"]
        return {key: base64.b64decode(text) for key, text in data.items()}

    def _mounted(self, volume: dict[str, Any]) -> Path:
        place = self._folder / str(volume["name"])
        place.mkdir()
        secret = volume["secret"]
        held = self._secret(secret["secretName"])
        for item in secret.get("items", [{"key": key, "path": key} for key in held]):
            (place / item["path"]).write_bytes(held[item["key"]])
        return place

    def _value(self, setting: dict[str, Any], mounts: dict[str, Path]) -> str:
        source = setting.get("valueFrom", {})
        if "fieldRef" in source:
            return {"metadata.name": "pod-1", "metadata.namespace": NAMESPACE}[source["fieldRef"]["fieldPath"]]
        if "secretKeyRef" in source:
            return self._secret(source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
        text = str(setting["value"])
        for path, place in mounts.items():
            text = text.replace(path, str(place))
        return text


def until(condition: Callable[[], object], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.1)


@pytest.fixture
def desk(kube_apis: KubeApis, tmp_path: Path) -> Desk:
    server = kube_apis.start("install-hub")
    kube_apis.start_controllers(server)
    return Desk(tmp_path, Kubectl(kubeconfig=server.kubeconfig))


@pytest.fixture
def tenants(kube_apis: KubeApis) -> Kubectl:
    return Kubectl(kubeconfig=kube_apis.start("install-tenant").kubeconfig)


@pytest.fixture
def nats(desk: Desk) -> Iterator[str]:
    """With what `fleetlb hub init` has written for it."""
    desk.type("hub")
    keys, port = desk.folder / "keys", free_port()
    (keys / "nats.conf").write_text(SERVER.format(port=port, keys=keys, accounts=ACCOUNTS))
    server = subprocess.Popen([Path(sys.executable).with_name("nats-server"), "-c", keys / "nats.conf"])
    yield f"nats://127.0.0.1:{port}"
    assert server.poll() is None
    server.terminate()
    server.wait(10)


def test_the_page_installs_a_hub_and_lets_a_tenant_in(desk: Desk, tenants: Kubectl, nats: str) -> None:
    desk.type("flat")
    desk.run(f"kubectl apply -f - <<'E'\n{block('pool')}\nE")
    pods = [Pod(desk.folder / name, desk.kubectl, f"fleetlb-{name}", nats) for name in ("manager", "status")]
    try:
        for pod in pods:
            pod.until_ready()
        assert "tenant acme is ready" in desk.type("tenant")
        tenants.run("apply", "--filename", str(desk.folder / "acme.yaml"))
        pods.append(Pod(desk.folder / "watcher", tenants, "fleetlb-tenant-watcher", nats))
        pods[-1].until_ready()
        service = ("create", "service", "loadbalancer", "web", "--tcp=80:8080")
        tenants.run(*service)
        until(lambda: claimed(desk.kubectl), lambda: pods[0].log.read_text()[-2000:])
        (address,) = claimed(desk.kubectl)
        assert address.startswith("203.0.113.")
    finally:
        for pod in reversed(pods):
            pod.end()


def claimed(hub: Kubectl) -> list[str]:
    """Addresses of the tenant's LoadBalancers."""
    items = hub.read("--namespace", "tenant-acme", "get", "loadbalancers.fleetlb.dev")["items"]
    return [address for item in items for address in item["spec"].get("addresses", [])]


def test_the_pool_of_the_page_is_one_that_its_node_serves() -> None:
    group, pool = yaml.safe_load_all(block("pool"))
    (line,) = [line for line in block("bootstrap").splitlines() if line.startswith("$ fleetlb node bootstrap")]
    words = line.split()
    assert words[4] in group["spec"]["nodes"]
    assert words[words.index("--engine") + 1] == group["spec"]["engine"]
    assert words[words.index("--pool") + 1] in pool["spec"]["addresses"]
    assert pool["spec"]["group"] == group["metadata"]["name"]
