"""Backends answer with their name over TCP and UDP, and stop when told."""

import socket

import pytest
from aiohttp import ClientSession

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_cli.demo.backends import Backend, Backends
from fleetlb_cli.demo.dialling import dial


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_they_answer_over_both_protocols_and_refuse_afterwards() -> None:
    port = _free_port()
    async with Backends([Backend("me", "127.0.0.1", (port,), (port,))]):
        for protocol in (Protocol.TCP, Protocol.UDP):
            assert (await dial(VirtualServerKey("127.0.0.1", port, protocol))).text == "me"
    for protocol in (Protocol.TCP, Protocol.UDP):
        answer = await dial(VirtualServerKey("127.0.0.1", port, protocol))
        assert answer.failure == "Connection refused"


async def test_a_taken_port_leaves_nothing_behind() -> None:
    free = _free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        backend = Backend("me", "127.0.0.1", (free, taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            await Backends([backend]).__aenter__()
    assert (await dial(VirtualServerKey("127.0.0.1", free, Protocol.TCP))).failure == "Connection refused"


async def test_nodes_say_whether_they_are_well() -> None:
    port, health = _free_port(), _free_port()
    async with (
        Backends([Backend("me", "127.0.0.1", (port,), health_ports=(health,))]) as backends,
        ClientSession() as session,
    ):
        for unwell, status in ((set[str](), 200), ({"other"}, 200), ({"me"}, 503)):
            backends.unwell = unwell
            async with session.get(f"http://127.0.0.1:{health}/healthz") as answer:
                assert answer.status == status
            assert (await dial(VirtualServerKey("127.0.0.1", port, Protocol.TCP))).text == "me"
