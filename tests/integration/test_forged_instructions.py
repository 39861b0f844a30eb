"""Words to a balancer group that no manager has said, put into a real stream with credentials of the hub, and what a
real node makes of them: it asks for the operator's signature, and was told by the manager that it is to be emptied."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import GroupInstructed, Signed
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.signing import signed
from fleetlb.testkit.eventually import POLL_SECONDS, eventually
from fleetlb.testkit.wishes import an_allowance
from tests.integration.balancer_node import BalancerNode, balancer_node

pytestmark = pytest.mark.integration

NODES = ("node-1", "node-2")
UNBELIEVED = "fleetlb_instructions_unbelieved_total"
BACK = GroupInstructed(group="default", generation=9, revision=9, nodes=NODES)


@pytest.fixture
async def node() -> AsyncIterator[BalancerNode]:
    async with balancer_node(has_key=True) as made:
        yield made


async def says_that_it_drains(node: BalancerNode, drains: bool) -> None:
    await eventually(lambda: node.node is not None and node.node.draining is drains)


async def has_disbelieved(node: BalancerNode, count: int) -> None:
    async with asyncio.timeout(15):
        while True:
            if (await node.programmer.metrics())[UNBELIEVED] == count:
                return
            await asyncio.sleep(POLL_SECONDS)


async def restart(node: BalancerNode, *, standing: bytes) -> None:
    """It finds this in its stream."""
    assert node.programmer.stop() == 0
    await node.put_instruction(standing)
    said = len(node.nodes)
    node.programmer.start()
    await node.programmer.ready()
    await eventually(lambda: len(node.nodes) > said)


async def test_T2_what_the_operator_did_not_sign_for_the_group_moves_no_node_and_is_counted(node: BalancerNode) -> None:
    await node.instruct(*NODES, draining=("node-1",))
    await says_that_it_drains(node, True)
    good = await node.instruct(*NODES, draining=("node-1",))
    theirs: Signed = BACK
    elsewhere: tuple[Signed, ...] = (GroupInstructed(group="edge", generation=9, revision=9), an_allowance())
    forged = [
        codec.encode(theirs),
        signed(theirs, node.nats.hub_seed),
        signed(theirs, nats_accounts.new_seed(KeyKind.OPERATOR)),
        *(signed(each, node.nats.operator_seed) for each in elsewhere),
        good.replace(b'"draining":["node-1"]', b'"draining":["node-2"]'),
        good[:-2] + b'==","generation":9,"draining":[],"x":""}',
    ]
    assert all(body != good for body in forged)
    for number, body in enumerate(forged, 1):
        await node.put_instruction(body)
        await has_disbelieved(node, number)  # the stream keeps the last word alone
    assert node.node is not None
    assert node.node.draining
    await node.instruct(*NODES)
    await says_that_it_drains(node, False)


async def test_T2_neither_a_forged_word_nor_an_older_one_that_was_signed_moves_a_node_that_restarts(
    node: BalancerNode,
) -> None:
    older = await node.instruct(*NODES)
    await node.instruct(*NODES, draining=("node-1",))
    await says_that_it_drains(node, True)
    node.nodes.clear()
    await restart(node, standing=older)
    await node.put_instruction(older)
    await node.put_instruction(b"torn")
    await has_disbelieved(node, 1)
    await restart(node, standing=codec.encode(BACK))
    await has_disbelieved(node, 1)
    assert all(word.draining for word in node.nodes)
    await node.instruct(*NODES)
    await says_that_it_drains(node, False)
