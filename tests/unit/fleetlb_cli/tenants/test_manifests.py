import base64
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_SECRET
from fleetlb.runtime import settings
from fleetlb.runtime.nats_tls import TlsFiles
from fleetlb_cli.papers import Papers
from fleetlb_cli.rights.granting import rights_of
from fleetlb_cli.tenants.manifests import Joining, installing, manifest, to_yaml, trouble_with_url
from fleetlb_tenant_watcher.settings import WatcherSettings

ROOT = Path(__file__).parents[4]
PLAIN = Joining(nats_url="nats://hub:4222", image="watcher:1", credentials="c2VjcmV0")


def objects(joining: Joining = PLAIN) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, as they are read from the text."""
    read = list(yaml.safe_load_all(to_yaml(manifest(joining))))
    return {(item["kind"], item["metadata"]["name"]): item for item in read}


def environ(joining: Joining) -> dict[str, str]:
    (container,) = objects(joining)["Deployment", "fleetlb-tenant-watcher"]["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def test_a_manifest_has_everything_in_the_order_in_which_it_can_be_created() -> None:
    assert [item["kind"] for item in manifest(PLAIN)] == [
        "Namespace", "ServiceAccount", "NetworkPolicy", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
        "Secret", "Deployment",
    ]  # fmt: skip
    for item in manifest(PLAIN):
        assert item["metadata"].get("namespace", "fleetlb-system") == "fleetlb-system"


def test_the_rights_are_those_of_the_rules() -> None:
    rights = rights_of("tenant-watcher")
    for kind, rules in (("ClusterRole", rights.cluster), ("Role", rights.namespace)):
        assert objects()[kind, "fleetlb-tenant-watcher"]["rules"] == list(rules)


def test_the_secret_holds_the_credentials() -> None:
    assert objects()["Secret", WATCHER_CREDENTIALS_SECRET]["data"] == {"nats.creds": "c2VjcmV0"}
    assert "c2VjcmV0" not in repr(PLAIN)


def test_the_pod_has_no_more_than_it_needs() -> None:
    deployment = objects()["Deployment", "fleetlb-tenant-watcher"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    pod = deployment["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["image"] == "watcher:1"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert [port["name"] for port in container["ports"]] == ["http"]


def test_the_pod_reads_the_credentials_as_its_own_user_and_sees_them_renewed() -> None:
    pod = objects()["Deployment", "fleetlb-tenant-watcher"]["spec"]["template"]["spec"]
    (volume,), (container,) = pod["volumes"], pod["containers"]
    assert volume["secret"] == {"secretName": WATCHER_CREDENTIALS_SECRET, "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    (mount,) = container["volumeMounts"]
    assert "subPath" not in mount, "a kubelet renews whole folders only"
    assert environ(PLAIN)["FLEETLB_NATS_CREDS"] == f"{mount['mountPath']}/nats.creds"


def test_a_watcher_understands_its_settings() -> None:
    plain = settings.load(WatcherSettings, environ(PLAIN))
    assert plain.nats_url == "nats://hub:4222"
    assert plain.nats_creds_secret == "fleetlb-system/fleetlb-watcher-creds"
    assert (plain.load_balancer_class, plain.pod_backends) == (None, False)
    told = Joining(
        nats_url="tls://hub", image="w", credentials="", load_balancer_class="fleetlb.dev/x", pod_backends=True
    )
    other = settings.load(WatcherSettings, environ(told))
    assert (other.load_balancer_class, other.pod_backends) == ("fleetlb.dev/x", True)


def test_two_commands_install_it() -> None:
    assert installing("acme.yaml") == [
        "kubectl --context YOUR-CLUSTER apply -f acme.yaml",
        "kubectl --context YOUR-CLUSTER -n fleetlb-system rollout status deployment/fleetlb-tenant-watcher",
    ]


@pytest.mark.parametrize("url", ["nats://hub:4222", "tls://hub", "nats://a:1,nats://[2001:db8::1]:2", "wss://hub/path"])
def test_addresses_of_a_hub(url: str) -> None:
    assert trouble_with_url(url) == ""


@pytest.mark.parametrize(
    "url", ["", "hub:4222", "http://hub", "nats://", "nats://hub:99999", "nats://a,b", "nats://[x"]
)
def test_what_is_no_address_of_a_hub(url: str) -> None:
    assert trouble_with_url(url) == f"--nats-url {url}: write nats://HOST:PORT; several with commas between them"


def test_the_wheel_has_the_manifest_and_the_rules(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=25)
    (wheel,) = tmp_path.glob("*.whl")
    package = ROOT / "services" / "cli" / "fleetlb_cli"
    with zipfile.ZipFile(wheel) as archive:
        for file in (package / "tenants" / "watcher.yaml", *(package / "rights").glob("*.yaml")):
            assert archive.read(f"fleetlb_cli/{file.relative_to(package)}") == file.read_bytes()


def test_papers_go_along_as_a_secret_that_the_pod_mounts_whole() -> None:
    papers = Papers(ca=b"authority", cert=b"certificate", key=b"key")
    joining = msgspec.structs.replace(PLAIN, nats_url="tls://hub:4222", papers=papers)
    made = objects(joining)
    held = made["Secret", "fleetlb-nats-client-tls"]["data"]
    assert {name: base64.b64decode(text) for name, text in held.items()} == {
        "ca.crt": b"authority", "tls.crt": b"certificate", "tls.key": b"key",
    }  # fmt: skip
    pod = made["Deployment", "fleetlb-tenant-watcher"]["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "nats-tls"]
    assert volume["secret"]["secretName"] == "fleetlb-nats-client-tls"
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "nats-tls"]
    assert "subPath" not in mount
    told = settings.load(WatcherSettings, environ(joining))
    place = Path(mount["mountPath"])
    assert told.nats_tls == TlsFiles(ca=place / "ca.crt", cert=place / "tls.crt", key=place / "tls.key")


def test_the_authority_alone_is_enough() -> None:
    joining = msgspec.structs.replace(PLAIN, nats_url="tls://hub:4222", papers=Papers(ca=b"authority"))
    assert list(objects(joining)["Secret", "fleetlb-nats-client-tls"]["data"]) == ["ca.crt"]
    assert {name for name in environ(joining) if "TLS" in name} == {"FLEETLB_NATS_TLS_CA"}
    assert "fleetlb-nats-client-tls" not in {name for _, name in objects(PLAIN)}
