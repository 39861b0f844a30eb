"""Source ranges of VIPs that are no loopback addresses, as on a balancer node, in a network of their own."""

import asyncio
import subprocess
import sys

import msgspec
import pytest

from fleetlb.domain.addresses import Protocol, family_of
from fleetlb.domain.planning import ADMITS_NOBODY
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, VirtualServerKey
from fleetlb.testkit.proxy_protocol import proxied_server
from fleetlb_dataplane_programmer.envoy.admitting import PROBE_SOURCES
from fleetlb_dataplane_programmer.probing import Patience, probe
from tests.integration.envoy_node import running_node, settles
from tests.integration.private_network import run_in_private_network

pytestmark = pytest.mark.integration

SCRIPT = """
import asyncio
from tests.integration.test_envoy_addresses import main
asyncio.run(main())
"""


def test_SRC_1_clients_and_probes_of_a_vip_of_the_node() -> None:
    answer = run_in_private_network(SCRIPT)
    if answer is not None:
        assert answer.stdout.endswith("all is well\n"), answer.stdout + answer.stderr


async def main() -> None:
    """Within that network: the VIPs lie on the node's loopback device, as routes of a whole pool."""
    for command in (
        "ip route add local 10.77.0.0/24 dev lo",
        "ip -6 route add local fd77::/112 dev lo",
        *(f"ip -6 address add fd10::{host}/128 dev lo" for host in (1, 2, 3)),
        *(f"ip address add 10.10.0.{host}/32 dev lo" for host in (1, 2, 3)),
    ):
        subprocess.run(command.split(), check=True)
    async with asyncio.timeout(40):
        await check("10.77.0.5", "10.10.0.1", "10.10.0.2", "10.10.0.3")
        await check("fd77::5", "fd10::1", "fd10::2", "fd10::3")
    sys.stdout.write("all is well\n")


async def check(vip: str, host: str, inside: str, outside: str) -> None:
    async with proxied_server(host) as backend, running_node() as node:
        guarded = VirtualServer(
            key=VirtualServerKey(vip, 443, Protocol.TCP),
            real_servers=(RealServer(host, backend.port),),
            source_ranges=(inside,),
            proxy_protocol=True,
        )
        await node.program(guarded)
        await settles(guarded.key, "", outside)
        assert backend.headers == []
        client = await dial(guarded.key, inside)
        assert [header.source for header in backend.headers] == [client]

        backend.headers.clear()
        family = family_of(vip)
        nobody = msgspec.structs.replace(guarded, source_ranges=ADMITS_NOBODY[family])
        await node.program(nobody)
        await settles(guarded.key, "", inside)
        assert await probe(nobody, patience=Patience(settle=1.0)) is False, "from the VIP, as the node does by itself"
        assert await probe(nobody, sources=PROBE_SOURCES) is True
        assert {header.source[0] for header in backend.headers} == {PROBE_SOURCES[family]}


async def dial(key: VirtualServerKey, source: str) -> tuple[str, int]:
    """The address and port that a client came from, once it has been greeted with them."""
    reader, writer = await asyncio.open_connection(key.address, key.port, local_addr=(source, 0))
    address, port = writer.get_extra_info("sockname")[:2]
    assert (await reader.readline()).decode() == f"welcome {address} {port}\n"
    writer.close()
    return address, port
