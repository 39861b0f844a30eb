"""As a pod: the token file that a kubelet replaces is read again, before its old token is void and after.

A kubelet's projected token is good for an hour, and replaced when most of that is over.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from fleetlb.kube import kubeconfig
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.credentials import Credentials
from fleetlb.kube.errors import AlreadyExists
from fleetlb.kube.resources import SECRETS, Object, Resource
from fleetlb_cli.local import layout, probes
from fleetlb_cli.local.kubernetes import ApiServer
from fleetlb_cli.local.probes import Probe
from tests.integration.conftest import KubeApis

pytestmark = pytest.mark.integration

ACCOUNTS = Resource("", "v1", "serviceaccounts", Object, kind_name="ServiceAccount")
TOKENS = Resource("", "v1", "serviceaccounts/pod/token", Object, kind_name="TokenRequest")
CACHED_SECONDS = 10
"""So long an API server remembers that a token was good."""


class Pod:
    """Where a kubelet puts a token, and who makes tokens."""

    def __init__(self, folder: Path, administrator: Cluster) -> None:
        self.file = folder / "token"
        self._administrator = administrator

    async def rotate(self, name: str) -> str:
        """A new token, in the file. It is good as long as the Secret of this name is there."""
        bound = await self._administrator.create(SECRETS, {"metadata": {"name": name, "namespace": "default"}})
        whom = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": bound["metadata"]["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 600, "boundObjectRef": whom},
        }
        token = str((await self._administrator.create(TOKENS, request, "default"))["status"]["token"])
        layout.replace_file(self.file, token.encode())
        return token

    async def void(self, name: str) -> None:
        await self._administrator.delete(SECRETS, name, "default")


@pytest.fixture(scope="module")
def server(kube_apis: KubeApis) -> ApiServer:
    return kube_apis.start("pods")


@pytest.fixture
async def administrator(server: ApiServer) -> AsyncIterator[Cluster]:
    cluster = await Cluster.connect(server.kubeconfig)
    with contextlib.suppress(AlreadyExists):
        await cluster.create(ACCOUNTS, {"metadata": {"name": "pod", "namespace": "default"}})
    yield cluster
    await cluster.close()


@pytest.fixture
def pod(tmp_path: Path, server: ApiServer, administrator: Cluster, monkeypatch: pytest.MonkeyPatch) -> Pod:
    incluster = kubeconfig._library().incluster
    monkeypatch.setattr(incluster, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster, "SERVICE_CERT_FILENAME", str(server.certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    return Pod(tmp_path, administrator)


async def test_a_token_that_was_replaced_is_noticed_when_the_old_one_is_refused(pod: Pod, server: ApiServer) -> None:
    old = await pod.rotate("first")
    cluster = await Cluster.connect(None)
    try:
        await cluster.raw("/version")
        await pod.rotate("second")
        await pod.void("first")
        await _until_void(server, old)
        await cluster.raw("/version")
    finally:
        await cluster.close()


async def test_a_token_that_was_replaced_is_used_before_the_old_one_is_refused(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig._library().incluster, "TOKEN_REFRESH_PERIOD", timedelta(0))
    await pod.rotate("third")
    loaded = await kubeconfig.load(None)
    credentials = Credentials(loaded, lambda: kubeconfig.load(None), fixed={})
    before = await credentials.headers()
    assert await credentials.headers() is before
    new = await pod.rotate("fourth")
    assert await credentials.headers() == {"Authorization": f"Bearer {new}"}


async def _until_void(server: ApiServer, token: str) -> None:
    probe = Probe(url=f"{server.url}/version", token=token)
    deadline = time.monotonic() + 3 * CACHED_SECONDS
    while (await asyncio.to_thread(probes.get, probe))[0] != HTTPStatus.UNAUTHORIZED:
        assert time.monotonic() < deadline, "the old token is still good"
        await asyncio.sleep(0.2)
