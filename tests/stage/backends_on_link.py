"""Backends on the link of the clients: they take VIPs for their own and answer clients past the balancer nodes.

           ┌ backend-1 ┐
the switch ┼ backend-2 ┼ the nodes' network of backends          for forwarding `direct`
           └ backend-3 ┘
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler
from fleetlb.testkit.namespaces import Namespace
from tests.stage.balancer_group import PORT, BalancerGroup

CLIENTS = "10.60.0.0/24"


def client(number: int) -> str:
    """One of the client's further addresses, from 1 to 254."""
    return f"10.60.0.{number}"


class BackendsOnLink:
    """Three, to be made where no event loop runs; and further addresses of the client, for schedulers that go by it."""

    def __init__(self, network: BalancerGroup, *pools: str) -> None:
        """`pools`: networks of VIPs, which they hold."""
        network.client.run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
        self._stack = contextlib.ExitStack()
        self._places = [self._stack.enter_context(Namespace(f"backend-{number}")) for number in (1, 2, 3)]
        for number, place in enumerate(self._places, start=1):
            # It holds VIPs, and tells nobody on the link.
            for name, value in (("arp_ignore", 1), ("arp_announce", 2)):
                place.sysctl(f"net.ipv4.conf.all.{name}", value)
            network.plug(network.switch, "lan", place, (f"10.10.0.2{number}/24",))
            network.plug(network.backend, "back", place, (f"10.20.0.2{number}/24",))
            place.route(CLIENTS, "10.10.0.9")
            for pool in pools:
                place.run("ip", "route", "add", "local", pool, "dev", "lo")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def served(self) -> dict[str, Any]:
        """Fields of a virtual server whose connections any node may take up."""
        return {
            "real_servers": tuple(RealServer(f"10.20.0.2{number}", PORT) for number in (1, 2, 3)),
            "forwarding": Forwarding.DIRECT,
            "scheduler": Scheduler.MAGLEV,
        }

    @contextlib.asynccontextmanager
    async def answering(self, *vips: str) -> AsyncIterator[None]:
        """Each answers lines over TCP with its name, and returns datagrams to these VIPs."""
        async with contextlib.AsyncExitStack() as stack:
            for place in self._places:
                with place.entered():
                    listening = socket.create_server(("0.0.0.0", PORT), backlog=1024)
                    bound = [_bound(vip) for vip in vips]
                server = await asyncio.start_server(_naming(place.name), sock=listening)
                stack.callback(server.close)
                for each in bound:
                    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Returning, sock=each)
                    stack.callback(transport.close)
            yield


def _bound(vip: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((vip, PORT))
    return made


def _naming(name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while await reader.readline():
                writer.write(f"{name}\n".encode())

    return answer


class _Returning(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)
