"""What the switches do on a real kernel: that each exists, is this namespace's own, and is worth turning."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from fleetlb.testkit.balancer_network import POOLS, Network, network
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs.nft import NftFilter
from fleetlb_dataplane_programmer.ipvs.sysctls import SWITCHES, Sysctls

NODE_PORT = 31000
VIPS = {"v4": "10.77.0.1", "v6": "fd77::1"}
family = pytest.mark.parametrize("family", ["v4", "v6"])


@pytest.fixture
def net() -> Iterator[Network]:
    """Two backends; the test's thread is in the node, whose IPVS switches are as the kernel makes them."""
    with network(backends=2) as made, made.nodes[0].entered() as node:
        for name in ("expire_nodest_conn", "expire_quiescent_template"):
            node.sysctl(f"net.ipv4.vs.{name}", 0)
        yield made


@contextlib.asynccontextmanager
async def serving(net: Network, flag: str, vip: str, *, persistent: bool = False) -> AsyncIterator[None]:
    """Backends echo, and backend 1 alone serves the VIP, masqueraded by the real filter."""
    filtering = NftFilter()
    await filtering.start()
    await filtering.sync(POOLS, [])
    node = net.nodes[0]
    node.run("ipvsadm", "-A", flag, at(vip), "-s", "rr", *(["-p", "60"] if persistent else []))
    change(net, "-a", flag, vip, 1)
    async with net.echoing(NODE_PORT, NODE_PORT):
        yield


def at(vip: str, port: int = 80) -> str:
    return f"[{vip}]:{port}" if ":" in vip else f"{vip}:{port}"


def change(net: Network, verb: str, flag: str, vip: str, backend: int, *more: str) -> None:
    where = at(net.real_address(backend, v6=":" in vip), NODE_PORT)
    how = () if verb == "-d" else ("-m", *more)
    net.nodes[0].run("ipvsadm", verb, flag, at(vip), "-r", where, *how)


async def test_every_switch_exists_and_is_this_namespaces_own(fresh: Namespace) -> None:
    with Namespace("another") as another:
        before = [another.read_sysctl(switch.name) for switch in SWITCHES]
        switches = Sysctls(manage=True)
        assert any(finding.actual is not None for finding in switches.findings())
        switches.start()
        assert switches.findings() == []
        assert switches.audit() == 0
        fresh.sysctl("net.ipv4.vs.conntrack", 0)
        fresh.sysctl("net.ipv4.ip_forward", 0)
        assert switches.audit() == 2
        assert fresh.read_sysctl("net.ipv4.vs.conntrack") == "1"
        assert [another.read_sysctl(switch.name) for switch in SWITCHES] == before


@family
async def test_a_connection_whose_backend_is_deleted_is_reset_instead_of_left_hanging(
    net: Network, family: str
) -> None:
    vip = VIPS[family]
    net.nodes[0].sysctl("net.ipv4.vs.conntrack", 1)
    async with serving(net, "-t", vip), net.connection(vip, 80) as hanging, net.connection(vip, 80) as reset:
        assert (await hanging.ask()).startswith("1 ")
        assert (await reset.ask()).startswith("1 ")
        change(net, "-a", "-t", vip, 2)
        change(net, "-d", "-t", vip, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await hanging.ask()
        Sysctls(manage=True).start()
        with pytest.raises((ConnectionResetError, EOFError)):
            await reset.ask()
        assert (await net.ask_tcp(vip, 80)).startswith("2 ")


@family
async def test_a_datagram_whose_backend_is_deleted_goes_elsewhere(net: Network, family: str) -> None:
    vip = VIPS[family]
    net.nodes[0].sysctl("net.ipv4.vs.conntrack", 1)
    async with serving(net, "-u", vip):
        assert (await net.ask_udp(vip, 80, source_port=4444)).startswith("1 ")
        change(net, "-a", "-u", vip, 2)
        change(net, "-d", "-u", vip, 1)
        with pytest.raises(TimeoutError):
            await net.ask_udp(vip, 80, seconds=0.3, source_port=4444)
        Sysctls(manage=True).start()
        for _ in range(10):  # with conntrack the kernel drops the one that ends the old flow
            with contextlib.suppress(TimeoutError):
                assert (await net.ask_udp(vip, 80, seconds=0.5, source_port=4444)).startswith("2 ")
                return
        raise AssertionError("no answer")


@family
async def test_at_weight_0_a_client_with_affinity_goes_elsewhere_and_its_connections_go_on(
    net: Network, family: str
) -> None:
    vip = VIPS[family]
    net.nodes[0].sysctl("net.ipv4.vs.conntrack", 1)
    async with serving(net, "-t", vip, persistent=True), net.connection(vip, 80) as standing:
        assert (await standing.ask()).startswith("1 ")
        change(net, "-a", "-t", vip, 2)
        change(net, "-e", "-t", vip, 1, "-w", "0")
        assert (await net.ask_tcp(vip, 80)).startswith("1 ")
        Sysctls(manage=True).start()
        assert (await net.ask_tcp(vip, 80)).startswith("2 ")
        assert (await standing.ask()).startswith("1 ")
