"""The NATS of the chart: real servers understand its configuration, with the keys that `fleetlb hub init` makes."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from fleetlb.contracts.streams import desired_stream
from fleetlb.domain.errors import Transient
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_tls import TlsFiles
from fleetlb_cli.hub.commands import init
from fleetlb_cli.local.ports import free_port
from tests.stage.charts import HUB, by_name, rendered

pytestmark = pytest.mark.integration
TLS = {"nats.tls.enabled": True, "nats.tls.clientCertificate": True}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert init(tmp_path / "keys") == 0
    return tmp_path / "keys"


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """As cert-manager writes them into a Secret."""
    folder, authority = tmp_path / "papers", trustme.CA()
    folder.mkdir()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.crt").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    return folder


class Pods:
    """What a kubelet would run, with paths and ports of this host."""

    def __init__(self, folder: Path, count: int, values: dict[str, Any], keys: Path, papers: Path) -> None:
        objects = by_name(rendered(HUB, values={"nats.replicas": count, **values}))
        self._text = objects["ConfigMap", "fleetlb-nats"]["data"]["nats.conf"]
        self._folder, self._papers, self._count = folder, papers, count
        self._peers = {str(number): free_port() for number in range(count)}
        (secret,) = [
            each for each in yaml.safe_load_all((keys / "secrets.yaml").read_text())
            if each["metadata"]["name"] == _secret_of(objects["StatefulSet", "fleetlb-nats"], "accounts")
        ]  # fmt: skip
        (folder / "accounts").mkdir(parents=True)
        for name, text in secret["stringData"].items():
            (folder / "accounts" / name).write_text(text)

    @contextlib.contextmanager
    def run(self) -> Iterator[list[str]]:
        """Addresses of the servers."""
        with contextlib.ExitStack() as stack:
            addresses = [stack.enter_context(self._one(str(number))) for number in range(self._count)]
            yield addresses

    @contextlib.contextmanager
    def _one(self, number: str) -> Iterator[str]:
        port, data = free_port(), self._folder / number
        text = self._text.replace("/data/", f"{data}/").replace("/etc/nats/tls", str(self._papers))
        text = text.replace("port: 4222", f"port: {port}").replace("http: 8222", f"http: {free_port()}")
        text = text.replace("port: 6222", f"port: {self._peers[number]}")
        text = re.sub(r"nats://fleetlb-nats-(\d)\S*", lambda found: f"nats://127.0.0.1:{self._peers[found[1]]}", text)
        data.mkdir()
        (data / "nats.conf").write_text(text)
        command = [str(Path(sys.executable).with_name("nats-server")), "--config", str(data / "nats.conf")]
        with (data / "log").open("wb") as log:
            server = subprocess.Popen(command, env={"POD_NAME": f"fleetlb-nats-{number}"}, stdout=log, stderr=log)
        try:
            yield f"127.0.0.1:{port}"
            assert server.poll() is None, (data / "log").read_text()[-2000:]
        finally:
            server.terminate()
            server.wait(20)


def _secret_of(stateful: Any, volume: str) -> str:
    volumes = stateful["spec"]["template"]["spec"]["volumes"]
    (name,) = [each["secret"]["secretName"] for each in volumes if each["name"] == volume]
    return str(name)


@pytest.mark.parametrize(("count", "values"), [(1, {}), (1, TLS), (3, {})], ids=["one", "one with TLS", "three"])
async def test_servers_take_the_hubs_streams(
    keys: Path, papers: Path, tmp_path: Path, count: int, values: dict[str, Any]
) -> None:
    tls = TlsFiles(ca=papers / "ca.crt", cert=papers / "tls.crt", key=papers / "tls.key") if values else TlsFiles()
    scheme = "tls" if values else "nats"
    with Pods(tmp_path / "pods", count, values, keys, papers).run() as addresses:
        url = ",".join(f"{scheme}://{address}" for address in addresses)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(50):
            bus = await JetStreamBus.connect(url, tasks=tasks, creds=keys / "hub.creds", tls=tls)
            bus.replicate(count)
            await _ensured(bus)
            ack = await bus.publish("fleetlb.v1.desired.default.192-0-2-1_80_tcp", b"wish", message_id="1")
            assert ack.stream == desired_stream("default").name
            await bus.close()


async def _ensured(bus: JetStreamBus) -> None:
    """Servers of a cluster elect somebody first."""
    while True:
        try:
            await bus.ensure_stream(desired_stream("default"))
        except Transient:
            await asyncio.sleep(0.2)
        else:
            return
