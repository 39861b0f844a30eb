import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetlb.kube import kubeconfig
from fleetlb.kube.kubeconfig import KubeconfigUnusable

# Not getrusage: its peak is inherited from the process that forked this one.
SLIM = """
import asyncio, pathlib, sys
from fleetlb.kube.cluster import Cluster
def peak_megabytes():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
async def main():
    cluster = await Cluster.connect(pathlib.Path(sys.argv[1]))
    await cluster.close()
asyncio.run(main())
print(peak_megabytes())
print(sum(name.startswith("kubernetes_asyncio") for name in sys.modules))
"""
WHOLE = """
import kubernetes_asyncio
print(peak_megabytes())
print(kubernetes_asyncio.client.V1Service.__name__)
"""


def write(folder: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    path = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": cluster or {"server": "https://127.0.0.1:1/"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))
    return path


def python(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_the_generated_classes_are_never_loaded_yet_anybody_else_may(tmp_path: Path) -> None:
    slim, left_behind, whole, name = python(SLIM + WHOLE, str(write(tmp_path, {"token": "t"})))
    assert (left_behind, name) == ("0", "V1Service")
    assert int(slim) < int(whole) - 20, "MB of peak memory"


def test_and_a_loaded_library_is_used_as_it_is(tmp_path: Path) -> None:
    code = "import kubernetes_asyncio\n" + SLIM + "print(kubernetes_asyncio.client.V1Service.__name__)"
    assert python(code, str(write(tmp_path, {"token": "t"})))[-1] == "V1Service"


@pytest.mark.parametrize(
    ("user", "authorization"),
    [
        ({"token": "t"}, "Bearer t"),
        ({"username": "u", "password": "p"}, "Basic dTpw"),
        ({}, None),
    ],
    ids=["token", "password", "nobody"],
)
async def test_users(tmp_path: Path, user: dict[str, Any], authorization: str | None) -> None:
    loaded = await kubeconfig.load(write(tmp_path, user))
    assert loaded.configuration.host == "https://127.0.0.1:1"
    assert loaded.configuration.api_key.get("BearerToken") == authorization
    assert loaded.renew_token is None


async def test_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    loaded = await kubeconfig.load(write(tmp_path, {"tokenFile": str(tmp_path / "token")}))
    assert loaded.configuration.api_key == {"BearerToken": "Bearer from-file"}


async def test_tls_options(tmp_path: Path) -> None:
    options = {
        "server": "https://h:1",
        "insecure-skip-tls-verify": True,
        "tls-server-name": "s",
        "proxy-url": "http://p",
    }
    configuration = (await kubeconfig.load(write(tmp_path, {}, options))).configuration
    assert (configuration.verify_ssl, configuration.tls_server_name, configuration.proxy) == (False, "s", "http://p")


def exec_plugin(folder: Path, expires: str) -> dict[str, Any]:
    """A plugin whose n-th run gives token-n; writing `broken` makes it fail."""
    plugin = folder / "plugin"
    plugin.write_text(
        f"""#!/bin/sh
cd {folder}
test -e broken && exit 1
echo x >> runs
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
 "status": {{"token": "token-'$(wc -l < runs)'", "expirationTimestamp": "{expires}"}}}}'
"""
    )
    plugin.chmod(stat.S_IRWXU)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}


async def test_an_exec_plugin_runs_again_when_its_token_expires(tmp_path: Path) -> None:
    loaded = await kubeconfig.load(write(tmp_path, exec_plugin(tmp_path, "2020-01-01T00:00:00Z")))
    assert loaded.configuration.api_key == {"BearerToken": "Bearer token-1"}
    assert loaded.renew_token is not None
    assert await loaded.renew_token() == "Bearer token-2"


async def test_but_not_before(tmp_path: Path) -> None:
    loaded = await kubeconfig.load(write(tmp_path, exec_plugin(tmp_path, "2100-01-01T00:00:00Z")))
    assert loaded.renew_token is not None
    assert await loaded.renew_token() == "Bearer token-1"


async def test_a_failing_plugin_is_named(tmp_path: Path) -> None:
    loaded = await kubeconfig.load(write(tmp_path, exec_plugin(tmp_path, "2020-01-01T00:00:00Z")))
    (tmp_path / "broken").touch()
    assert loaded.renew_token is not None
    with pytest.raises(KubeconfigUnusable, match="cannot renew the token: exec: process returned 1"):
        await loaded.renew_token()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a file: create it"),
        ("", "cannot use"),
        ("{", "cannot use"),
        ("current-context: x", "cannot use"),
        ('{"current-context": "x", "contexts": [], "clusters": []}', "Expected object with name x"),
    ],
    ids=["missing", "empty", "no yaml", "half", "no such context"],
)
async def test_what_cannot_be_used_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeconfigUnusable, match=words) as caught:
        await kubeconfig.load(path)
    assert str(path) in str(caught.value)


async def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigUnusable, match="the pod's service account: Service host/port is not set"):
        await kubeconfig.load(None)
