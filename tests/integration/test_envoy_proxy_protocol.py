"""Who real servers are told that the client is, by a real Envoy: the PROXY protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.planning import ADMITS_NOBODY
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb.testkit.echo import tcp_echo
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.proxy_protocol import Header, ProxiedServer, proxied_server
from fleetlb_cli.local.ports import free_port
from fleetlb_dataplane_programmer.dialling import Reach, reach
from fleetlb_dataplane_programmer.engine import State
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from fleetlb_dataplane_programmer.probing import probe
from tests.integration.envoy_node import Node, conversation, listens, real_servers, running_node, server, settles

pytestmark = pytest.mark.integration

CLIENT = "127.9.0.1"


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node whose engine knows that there is nothing yet."""
    async with running_node() as made:
        yield made


class Talk:
    """A client's connection to a virtual server with the PROXY protocol: it is greeted first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.address, self.port = writer.get_extra_info("sockname")[:2]

    async def line(self) -> str:
        async with asyncio.timeout(5):
            return (await self.reader.readline()).decode().strip()

    async def ask(self, text: str) -> str:
        self.writer.write(text.encode() + b"\n")
        return await self.line()


@contextlib.asynccontextmanager
async def talking(key: VirtualServerKey, source: str) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection(key.address, key.port, local_addr=(source, 0))
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


def proxied(backend: ProxiedServer) -> VirtualServer:
    return msgspec.structs.replace(server(backend.port), proxy_protocol=True)


async def test_a_real_server_is_told_of_client_and_vip_before_anybody_speaks(node: Node) -> None:
    async with proxied_server() as backend, proxied_server("::1") as backend6:
        asked = proxied(backend)
        key6 = VirtualServerKey("::1", free_port(), Protocol.TCP)
        asked6 = VirtualServer(key=key6, real_servers=(RealServer("::1", backend6.port),), proxy_protocol=True)
        await node.program(asked, asked6)
        for each, key, source in ((backend, asked.key, CLIENT), (backend6, key6, "::1")):
            await listens(key)
            async with talking(key, source) as talk:
                assert await talk.line() == f"welcome {source} {talk.port}"
                assert await talk.ask("payload") == "payload"
            assert Header((source, talk.port), (key.address, key.port)) in each.headers
            assert each.complaints == []


async def test_the_proxy_protocol_turned_on_and_off_concerns_new_connections_alone(node: Node) -> None:
    async with proxied_server() as expecting, tcp_echo("plain") as plain:
        asked = proxied(expecting)
        unasked = msgspec.structs.replace(asked, proxy_protocol=False, real_servers=real_servers(plain))
        await node.program(unasked)
        await settles(asked.key, "plain hello")
        async with conversation(asked.key) as before:
            assert await before.ask() == "plain hello"
            await node.program(asked)
            await listens(asked.key)
            async with talking(asked.key, CLIENT) as talk:
                assert await talk.line() == f"welcome {CLIENT} {talk.port}"
                assert await before.ask() == "plain hello"

                await node.program(unasked)
                await settles(asked.key, "plain hello")
                assert await talk.ask("still here") == "still here"
                assert await before.ask() == "plain hello"
        assert expecting.complaints == []


async def test_probes_and_checks_are_right_where_a_header_is_expected(node: Node) -> None:
    """A probe goes through Envoy, which puts the header on; a check only connects, and says nothing."""
    async with proxied_server() as backend:
        asked = msgspec.structs.replace(proxied(backend), source_ranges=ADMITS_NOBODY[Family.IPV4])
        await node.program(asked)
        await listens(asked.key)

        assert await probe(asked, sources=PROBE_SOURCES) is True
        assert await reach("127.0.0.1", backend.port, 1.0) is Reach.REACHED
        await eventually(lambda: backend.checks >= 2)
        assert [header.destination for header in backend.headers] == [(asked.key.address, asked.key.port)]
        assert backend.complaints == []


async def test_the_proxy_protocol_of_datagrams_is_refused(node: Node) -> None:
    asked = msgspec.structs.replace(server(9, protocol=Protocol.UDP), proxy_protocol=True)
    node.wish(asked)
    await node.told(State.REJECTED, asked)
    assert "TCP ports only" in node.outcomes[-1][1].message
