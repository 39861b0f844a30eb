"""Backends answer with their name over TCP and UDP, and stop when told."""

import socket

import pytest

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
