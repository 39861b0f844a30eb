"""A hub that `fleetlb hub init` began: a real server includes what it wrote, and lets its users in."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import desired_stream, realized_stream
from fleetlb.runtime.connection import Dialling
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_credentials import Keyring
from fleetlb.testkit.eventually import eventually
from fleetlb_cli.hub.commands import init
from fleetlb_cli.local.ports import free_port
from fleetlb_cli.node.commands import bootstrap

pytestmark = pytest.mark.integration

CONFIGURATION = """
server_name: "{name}"
host: "127.0.0.1"
port: {port}
jetstream {{ store_dir: "{folder}/jetstream" }}
include "accounts.conf"
resolver {{ type: full, dir: "{folder}/accounts", allow_delete: true, interval: "2m" }}
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert init(tmp_path / "keys") == 0
    return tmp_path / "keys"


@pytest.fixture
def url(keys: Path) -> Iterator[str]:
    port = free_port()
    (keys / "nats.conf").write_text(CONFIGURATION.format(name=keys.name, port=port, folder=keys))
    server = subprocess.Popen([Path(sys.executable).with_name("nats-server"), "-c", keys / "nats.conf"])
    yield f"nats://127.0.0.1:{port}"
    assert server.poll() is None, "the server did not start, or did not live"
    server.terminate()
    server.wait(10)


async def test_hub_and_node_work_with_what_was_written_for_them(keys: Path, url: str, tmp_path: Path) -> None:
    assert bootstrap("lb-1", nats_url=url, keys=keys, into=tmp_path) == 0
    node_creds = tmp_path / "etc/fleetlb/node.creds"
    inbox = subjects.node_inbox("default", "lb-1")
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        hub = await JetStreamBus.connect(url, tasks=tasks, creds=keys / "hub.creds")
        node = JetStreamBus(Dialling(url=url, name="lb-1", creds=Keyring(node_creds), inbox_prefix=inbox))
        await node.begin(tasks)
        stack.push_async_callback(node.close)
        stack.push_async_callback(hub.close)
        for spec in (desired_stream("default"), realized_stream("default")):
            await hub.ensure_stream(spec)
        heard: list[bytes] = []
        follower = tasks.create_task(
            node.replay_and_follow(
                desired_stream("default").name,
                subjects.desired_of("default"),
                lambda message: heard.append(message.data),
                on_replayed=lambda: None,
                on_restart=lambda: None,
            )
        )
        await hub.publish("fleetlb.v1.desired.default.192-0-2-1_80_tcp", b"wish", message_id="1")
        await eventually(lambda: heard == [b"wish"])
        ack = await node.publish(subjects.realized_node("default", "lb-1"), b"word", message_id="2")
        assert ack.stream == realized_stream("default").name
        follower.cancel()


async def test_the_system_user_may_push_accounts(keys: Path, url: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        system = await JetStreamBus.connect(url, tasks=tasks, creds=keys / "system.creds")
        assert b"server" in await system.request("$SYS.REQ.SERVER.PING.VARZ", b"")
        await system.close()
