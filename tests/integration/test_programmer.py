"""The dataplane-programmer as a process, with a real bus, a real Envoy, real clients and real backends."""

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.v1 import Probe, RealizedState
from fleetlb.domain.addresses import Family
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.testkit.echo import ask_tcp, ask_udp, tcp_echo, udp_echo
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.proxy_protocol import proxied_server
from fleetlb.testkit.wishes import a_wish
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from tests.integration.balancer_node import DESIRED, REALIZED, BalancerNode, balancer_node, keys

pytestmark = pytest.mark.integration


@pytest.fixture
async def node() -> AsyncIterator[BalancerNode]:
    async with balancer_node() as made:
        yield made


async def test_a_wish_becomes_traffic_and_is_said_with_an_answered_probe(node: BalancerNode) -> None:
    tcp, udp = parse_key(*keys(1)), parse_key(*keys(1, protocol="udp"))
    async with tcp_echo("one") as tcp_port, udp_echo("two") as udp_port:
        await node.wish(a_wish(tcp, [f"127.0.0.1:{tcp_port}"]), a_wish(udp, [f"127.0.0.1:{udp_port}"]))
        await node.until(tcp, 1, Probe.ANSWERED)
        await node.until(udp, 1, Probe.ANSWERED)
        assert await ask_tcp(tcp.address, tcp.port) == "one hello"
        assert await ask_udp(udp.address, udp.port) == "two hello"
        said = [word for word in node.said if word.probe is not Probe.PENDING]  # on a busy machine, that comes first
        assert [(word.state, word.probe) for word in said] == [(RealizedState.PROGRAMMED, Probe.ANSWERED)] * 2
        assert [hop.name for hop in node.realized[tcp].hops] == ["program", "acknowledge", "probe"]


async def test_a_virtual_server_that_admits_no_node_is_probed_all_the_same(node: BalancerNode) -> None:
    """Source ranges are for clients: the node's own probe goes through, to a backend that expects a header."""
    key = parse_key(*keys(1))
    async with proxied_server() as backend:
        wish = a_wish(key, [f"127.0.0.1:{backend.port}"])
        assert wish.server is not None
        guarded = msgspec.structs.replace(wish.server, source_ranges=("192.0.2.0/24",), proxy_protocol=True)
        await node.wish(msgspec.structs.replace(wish, server=guarded))
        await node.until(key, 1, Probe.ANSWERED)
        assert await ask_tcp(key.address, key.port) == ""
        probes = {(header.source[0], *header.destination) for header in backend.headers}
        assert probes == {(PROBE_SOURCES[Family.IPV4], key.address, key.port)}
        assert backend.complaints == []


async def test_a_killed_programmer_leaves_traffic_alone_and_its_successor_sends_nothing(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        await eventually(lambda: (node.programmer.state / "desired.jsonl").exists())
        node.programmer.kill()
        assert await ask_tcp(key.address, key.port) == "one hello"

        before = len(node.said)
        node.programmer.start()
        await node.programmer.ready()
        other = parse_key(*keys(1))
        await node.wish(a_wish(other, [f"127.0.0.1:{port}"]))
        await node.until(other, 1, Probe.ANSWERED)
        sent = {name: value for name, value in (await node.programmer.metrics()).items() if "envoy_" in name}
        assert sent['fleetlb_envoy_pushed_resources_total{kind="listener"}'] == 1.0
        assert sent['fleetlb_envoy_pushed_resources_total{kind="cluster"}'] == 1.0
        assert [said.key for said in node.said[before:]] == [other]
        assert await ask_tcp(key.address, key.port) == "one hello"


async def test_a_stopped_programmer_leaves_traffic_alone(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        assert node.programmer.stop() == 0
        assert (node.programmer.state / "desired.jsonl").exists()
        assert await ask_tcp(key.address, key.port) == "one hello"


async def test_with_the_whole_hub_gone_a_cold_node_serves_what_it_remembers(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        assert node.programmer.stop() == 0
        node.nats.kill()
        await node.envoy.kill()
        await node.envoy.start()
        with pytest.raises(ConnectionRefusedError):
            await ask_tcp(key.address, key.port)

        node.programmer.start()
        await node.programmer.ready()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await ask_tcp(key.address, key.port) == "one hello"
                    break
                except OSError:
                    await asyncio.sleep(0.02)

        node.nats.start()
        other = parse_key(*keys(1))
        await eventually(lambda: node.bus.connected, 15)
        await node.streams()
        await node.wish(a_wish(other, [f"127.0.0.1:{port}"]))
        await node.until(other, 1, Probe.ANSWERED, 20)


async def until_refused(key: VirtualServerKey) -> None:
    """Envoy's workers close a socket a moment after Envoy has acknowledged that its listener is gone."""
    async with asyncio.timeout(5):
        while True:
            try:
                await ask_tcp(key.address, key.port)
            except ConnectionRefusedError:
                return


async def test_a_removal_closes_the_port_and_is_said(node: BalancerNode) -> None:
    key, bystander = (parse_key(text) for text in keys(2))
    async with tcp_echo("one") as port:
        backends = [f"127.0.0.1:{port}"]
        await node.wish(a_wish(key, backends), a_wish(bystander, backends))
        await node.until(key, 1, Probe.ANSWERED)
        await node.until(bystander, 1, Probe.ANSWERED)
        await node.wish(a_wish(key, None, revision=2))
        await node.until(key, 2, Probe.PENDING)
        assert node.realized[key].state is RealizedState.REMOVED
        await until_refused(key)
        assert await ask_tcp(bystander.address, bystander.port) == "one hello"


async def test_a_dead_backend_is_noticed_and_so_is_its_return(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
    # The sweep comes by every 15 s and looks twice; a new revision is probed at once.
    await node.wish(a_wish(key, [f"127.0.0.1:{port}"], revision=2))
    await node.until(key, 2, Probe.UNANSWERED)
    async with tcp_echo("one", port=port):
        await node.until(key, 2, Probe.ANSWERED)
        assert await ask_tcp(key.address, key.port) == "one hello"


async def test_a_taken_port_is_said_with_the_cure_and_heals(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        async with tcp_echo("squatter", key.address, key.port):
            await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
            await node.until(key, 1, Probe.PENDING)
            assert node.realized[key].state is RealizedState.REJECTED
            assert "another process" in node.realized[key].message
        await node.until(key, 1, Probe.ANSWERED, 20)


async def test_lost_streams_disturb_nothing_and_are_filled_again(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        await eventually(lambda: node.node is not None)
        node.node = None
        for stream in (DESIRED, REALIZED):
            await node.bus.request(f"$JS.API.STREAM.DELETE.{stream.name}", b"")
        node.realized.clear()
        await node.streams()
        await node.until(key, 1, Probe.ANSWERED, 20)
        await eventually(lambda: node.node is not None, 20)
        assert await ask_tcp(key.address, key.port) == "one hello"


async def test_a_restarted_envoy_is_given_everything_again(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        await node.envoy.kill()
        await eventually(lambda: node.node is not None and not node.node.ready)
        await node.until(key, 1, Probe.UNANSWERED)
        assert await node.programmer.page("/readyz") == 503
        await node.envoy.start()
        await node.until(key, 1, Probe.ANSWERED, 20)
        assert await ask_tcp(key.address, key.port) == "one hello"
        await eventually(lambda: node.node is not None and node.node.ready)


async def test_the_process_says_what_it_is_told_wrong_and_prints_the_bootstrap(node: BalancerNode) -> None:
    checked = node.programmer.run("--check")
    assert checked.returncode == 0
    assert json.loads(checked.stdout)["node"] == "node-1"
    for arguments in (["--check"], ["--envoy-bootstrap"]):
        wrong = node.programmer.run(*arguments, FLEETLB_NODE="a b", FLEETLB_ENVOY_ADMIN="0.0.0.0:1", FLEETLB_X="1")
        assert wrong.returncode == 78
        assert all(name in wrong.stderr for name in ("FLEETLB_NODE", "FLEETLB_ENVOY_ADMIN", "FLEETLB_X"))
    assert node.programmer.run("--nonsense").returncode == 2
    assert node.programmer.bootstrap()["node"] == {"id": "node-1", "cluster": "default"}
    assert all(json.loads(line)["service"] for line in node.programmer.text().splitlines())
    assert await node.programmer.page("/healthz") == 200


async def test_a_node_that_is_taken_out_of_its_group_says_again_what_it_carries(node: BalancerNode) -> None:
    """What it had said of addresses that were freed without its word was removed while it was away."""
    key = parse_key(*keys(1))
    async with tcp_echo("one") as port:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        await node.bus.purge_subject(REALIZED.name, subjects.realized("default", "node-1", key))
        node.realized.clear()
        await node.instruct("node-1", "node-2")
        await node.instruct("node-2")
        await node.until(key, 1, Probe.ANSWERED)
        assert await ask_tcp(key.address, key.port) == "one hello"


async def test_the_group_may_be_made_after_the_node() -> None:
    async with balancer_node(streams=False) as node:
        key = parse_key(*keys(1))
        await node.streams()
        async with tcp_echo("one") as port:
            await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
            await node.until(key, 1, Probe.ANSWERED, 20)
        await node.programmer.ready()
