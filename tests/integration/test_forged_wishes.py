"""Wishes that no manager asked for, published with credentials of the hub, and what a real balancer node makes of them.

The node knows from the manager, by the operator's signature, what its tenant may have: backends on one loopback
address, VIPs on the range that these tests use.
"""

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.v1 import Probe, RealizedState, VirtualServerRealized
from fleetlb.domain.virtual_servers import VirtualServerKey, parse_key
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.signing import signed
from fleetlb.testkit.echo import ask_tcp, tcp_echo
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish, an_allowance
from tests.integration.balancer_node import BalancerNode, balancer_node, keys

pytestmark = pytest.mark.integration

VICTIM = "127.0.0.2"
MINE = an_allowance(node_cidrs=("127.0.0.1/32",), prefixes=("127.128.0.0/9",), node_port_range="1024-65535")


@pytest.fixture
async def node() -> AsyncIterator[BalancerNode]:
    async with balancer_node(has_key=True) as made:
        await allow(made, signed(MINE, made.nats.operator_seed))
        yield made


async def allow(node: BalancerNode, body: bytes) -> None:
    await node.bus.publish(subjects.allowed("default", "acme"), body, message_id="")


async def configured(node: BalancerNode) -> str:
    """All that Envoy was told."""
    admin = aiohttp.UnixConnector(path=str(node.programmer.state.parent / "admin"))
    url = "http://envoy/config_dump?include_eds"
    async with aiohttp.ClientSession(connector=admin) as session, session.get(url) as answer:
        return await answer.text()


async def rejected(node: BalancerNode, key: VirtualServerKey, revision: int) -> VirtualServerRealized:
    def said() -> VirtualServerRealized | None:
        word = node.realized.get(key)
        return word if word and (word.revision, word.state) == (revision, RealizedState.REJECTED) else None

    await eventually(said)
    word = said()
    assert word is not None
    return word


async def test_T2_a_forged_wish_reaches_no_data_plane_and_is_reported_while_its_neighbour_is_served(
    node: BalancerNode,
) -> None:
    forged, mine = (parse_key(text) for text in keys(2))
    async with tcp_echo("mine") as port, tcp_echo("victim", VICTIM) as victim:
        await node.wish(
            a_wish(forged, [f"127.0.0.1:{port}", f"{VICTIM}:{victim}"]), a_wish(mine, [f"127.0.0.1:{port}"])
        )
        await node.until(mine, 1, Probe.ANSWERED)
        word = await rejected(node, forged, 1)
        assert await ask_tcp(mine.address, mine.port) == "mine hello"
        with pytest.raises(ConnectionRefusedError):
            await ask_tcp(forged.address, forged.port)
        told = await configured(node)
    assert mine.address in told
    assert VICTIM not in told
    assert forged.address not in told
    assert word.reason == "BackendNotAllowed"
    assert f"{VICTIM} port {victim}" in word.message
    assert "spec.nodeCIDRs" in word.message


async def test_T2_what_was_served_outlives_a_forged_revision_and_a_restart(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("mine") as port, tcp_echo("victim", VICTIM) as victim:
        await node.wish(a_wish(key, [f"127.0.0.1:{port}"]))
        await node.until(key, 1, Probe.ANSWERED)
        await node.wish(a_wish(key, [f"{VICTIM}:{victim}"], generation=9, revision=2))
        await rejected(node, key, 2)
        assert await ask_tcp(key.address, key.port) == "mine hello"
        assert node.programmer.stop() == 0
        node.programmer.start()
        await node.programmer.ready()
        assert await ask_tcp(key.address, key.port) == "mine hello"
        assert VICTIM not in await configured(node)


async def test_T2_an_allowance_that_the_operator_did_not_sign_helps_no_forged_wish(node: BalancerNode) -> None:
    forged, mine = (parse_key(text) for text in keys(2))
    wider = msgspec.structs.replace(
        an_allowance(node_cidrs=("127.0.0.0/8",), prefixes=("127.128.0.0/9",), node_port_range="1024-65535"),
        generation=9,
    )
    async with tcp_echo("mine") as port, tcp_echo("victim", VICTIM) as victim:
        await allow(node, signed(wider, nats_accounts.new_seed(KeyKind.OPERATOR)))
        await allow(node, signed(wider, node.nats.hub_seed))
        await node.wish(a_wish(forged, [f"{VICTIM}:{victim}"]), a_wish(mine, [f"127.0.0.1:{port}"]))
        await node.until(mine, 1, Probe.ANSWERED)
        await rejected(node, forged, 1)
        assert VICTIM not in await configured(node)
        metrics = await node.programmer.metrics()
        assert metrics["fleetlb_allowances_unbelieved_total"] == 2.0


async def test_T2_a_wish_for_a_tenant_that_nobody_vouches_for_is_refused(node: BalancerNode) -> None:
    key = parse_key(*keys(1))
    async with tcp_echo("mine") as port:
        wish = a_wish(key, [f"127.0.0.1:{port}"])
        made_up = msgspec.structs.replace(wish, owner=msgspec.structs.replace(wish.owner, tenant="nobody"))
        await node.wish(made_up)
        word = await rejected(node, key, 1)
        assert "has not said what its tenant may have" in word.message
        assert key.address not in await configured(node)
