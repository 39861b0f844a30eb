"""What kube-proxy answers on the health check node port of a Service: whether its node has a pod."""

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fleetlb.domain.addresses import Protocol
from tests.stage.talking import listening_socket

if TYPE_CHECKING:
    from tests.stage.tenants import Tenant


class Says(enum.Enum):
    """What is answered."""

    HEALTHY = b"200 OK"
    UNHEALTHY = b"503 Service Unavailable"
    NOTHING = b""


class HealthPort:
    """One node's; set `says` at any time."""

    def __init__(self) -> None:
        """Healthy."""
        self.says = Says.HEALTHY
        self.asked = 0
        """Times that it was asked."""
        self.paths: set[str] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            self.paths.add(request.split()[1].decode())
            if self.says is Says.NOTHING:
                await reader.read()  # until they give up
            else:
                writer.write(b"HTTP/1.1 " + self.says.value + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        writer.close()


@asynccontextmanager
async def health_ports(tenant: "Tenant", port: int) -> AsyncIterator[dict[str, HealthPort]]:
    """On this port of every node, within a block; by name of the node."""
    ports = {name: HealthPort() for name in tenant.machines}
    async with contextlib.AsyncExitStack() as stack:
        for name, machine in tenant.machines.items():
            for address in machine.addresses.values():
                listening = listening_socket(machine.place, address, Protocol.TCP, port)
                server = await asyncio.start_server(ports[name].answer, sock=listening)
                stack.callback(server.close)
        yield ports
