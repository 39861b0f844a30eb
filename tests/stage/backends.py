"""Servers of a tenant that come and go within a test, as pods do, on nodes of its choice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.resources import Object
from tests.e2e.fleet import eventually
from tests.stage.talking import Conversation, Servers
from tests.stage.tenants import Tenant

_TRIES = 50


async def start_pod(tenant: Tenant, node: str, *ports: Object, generation: str = "") -> Servers:
    """Servers for the node ports of these Service ports on one node, until they are closed.

    They answer like those of `Tenant.listen`, with `generation` behind the name of the node.
    """
    machine, servers = tenant.machines[node], Servers()
    for port in ports:
        for address in machine.addresses.values():
            name, protocol = f"{tenant.name} {node}{generation}", Protocol(port["protocol"])
            await servers.start(name, machine.place, address, protocol, port["nodePort"])
    return servers


@asynccontextmanager
async def serving(tenant: Tenant, node: str, *ports: Object, generation: str = "") -> AsyncIterator[None]:
    """The same, within a block."""
    servers = await start_pod(tenant, node, *ports, generation=generation)
    try:
        yield
    finally:
        await servers.close()


def is_from(answer: str, tenant: Tenant, node: str) -> bool:
    """Whether an answer came from a node, whoever asked."""
    return answer.rpartition(" ")[0] == f"{tenant.name} {node}"


@asynccontextmanager
async def conversation_with(
    tenant: Tenant, key: VirtualServerKey, node: str, client: int = 0
) -> AsyncIterator[Conversation]:
    """A connection through a virtual server that happens to end at this node."""
    for _ in range(_TRIES):
        async with tenant.network.conversation(key, client) as conversation:
            if is_from(await conversation.ask(), tenant, node):
                yield conversation
                return
    raise AssertionError(f"none of {_TRIES} connections to {key} ended at {node}")


async def until_answering(tenant: Tenant, key: VirtualServerKey, client: int = 0) -> None:
    """Wait until any of a tenant's nodes answers."""

    async def is_answered() -> bool:
        return (await tenant.network.ask(key, client, seconds=2.0)).ok

    await eventually(is_answered, f"an answer from {key}", tenant.patience)


async def answering(tenant: Tenant, key: VirtualServerKey, client: int = 0, times: int = 12) -> set[str]:
    """The nodes that answer a client now; what went unanswered shows as the reason."""
    answers = [await tenant.network.ask(key, client) for _ in range(times)]
    return {answer.text.rpartition(" ")[0].removeprefix(f"{tenant.name} ") or answer.failure for answer in answers}
