"""Routes of VIPs on a real kernel: ours come and go, all others stay, and what a routed address answers."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.testkit.balancer_network import Network, network
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs import routes
from fleetlb_dataplane_programmer.ipvs.nft import NftFilter
from fleetlb_dataplane_programmer.ipvs.routes import LocalRoutes

POOLS = ["10.77.0.0/16", "fd77::/64"]
NODE_PORT = 31000
VIPS = {"v4": "10.77.0.1", "v6": "fd77::1"}
family = pytest.mark.parametrize("family", ["v4", "v6"])


@pytest.fixture
def net() -> Iterator[Network]:
    """A node that has nothing but its switches; the test's thread is in it."""
    with network(backends=1, routed=False) as made, made.nodes[0].entered() as node:
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.vs.conntrack"):
            node.sysctl(name, 1)
        entries = []
        for vip, real in (("10.77.0.1", "10.20.1.2"), ("[fd77::1]", "[fd20:1::2]")):
            entries += [f"-A -t {vip}:80 -s rr", f"-a -t {vip}:80 -r {real}:{NODE_PORT} -m"]
        node.run("ipvsadm", "-R", stdin="\n".join(entries) + "\n")
        yield made


def held(node: Namespace, *selection: str) -> list[str]:
    """The destinations of ours, or of others that are selected, in the table local."""
    which = selection or ("proto", str(routes.PROTOCOL))
    listed = node.run("ip", "route", "show", "table", "local", *which)
    listed += node.run("ip", "-6", "route", "show", "table", "local", *which)
    return [line.removeprefix("local ").split()[0] for line in listed.splitlines()]


async def dial(node: Namespace, vip: str, port: int, source: str = "") -> str:
    """Whom a backend answers, and from where the connection is. Raises OSError, TimeoutError."""
    with node.entered():
        made = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
    with contextlib.closing(made):
        made.setblocking(False)
        if source:
            made.bind((source, 0))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            await loop.sock_connect(made, (vip, port))
            await loop.sock_sendall(made, b"who\n")
            answer = (await loop.sock_recv(made, 100)).decode().strip()
        return f"{answer} {made.getsockname()[0]}"


@family
async def test_a_route_lets_packets_in_and_its_removal_keeps_them_out(net: Network, family: str) -> None:
    local = LocalRoutes()
    async with net.echoing(NODE_PORT, NODE_PORT):
        for _ in range(2):
            with pytest.raises((OSError, TimeoutError)):
                async with asyncio.timeout(0.5):
                    await net.ask_tcp(VIPS[family], 80)
            await local.sync(POOLS)
            assert await net.ask_tcp(VIPS[family], 80) == f"1 {net.client_address(v6=family == 'v6')}"
            await local.sync([])


@family
async def test_where_nothing_is_served_a_client_is_told_so(net: Network, family: str) -> None:
    await LocalRoutes().sync(POOLS)
    for vip, port in ((VIPS[family], 81), (VIPS[family][:-1] + "77", 80)):
        with pytest.raises(ConnectionRefusedError):
            await net.ask_tcp(vip, port)
        with pytest.raises(ConnectionRefusedError):
            await net.ask_udp(vip, port)


@family
async def test_a_probe_from_the_node_itself_gets_its_answer(net: Network, family: str) -> None:
    """An IPv4 socket that is bound to nothing leaves with the VIP for its source; masquerading mends it."""
    await LocalRoutes().sync(POOLS)
    filtering = NftFilter()
    await filtering.start()
    await filtering.sync(POOLS, [])
    node, backends_see = net.nodes[0], {"v4": "10.20.1.11", "v6": "fd20:1::11"}[family]
    async with net.echoing(NODE_PORT, NODE_PORT):
        source = {"v4": "10.77.0.1", "v6": "fd10:1::1"}[family]
        assert await dial(node, VIPS[family], 80) == f"1 {backends_see} {source}"
        bound = {"v4": "10.10.1.1", "v6": "fd10:1::1"}[family]
        assert await dial(node, VIPS[family], 80, bound) == f"1 {backends_see} {bound}"


async def test_on_a_link_the_kernel_answers_arp_for_a_whole_pool_unless_told_otherwise(net: Network) -> None:
    await LocalRoutes().sync(POOLS)
    net.client.run("ip", "route", "replace", "10.77.0.0/16", "dev", "node1", "src", "10.10.1.2")
    with pytest.raises(ConnectionRefusedError):
        await net.ask_tcp("10.77.200.200", 80)
    net.nodes[0].sysctl("net.ipv4.conf.front.arp_ignore", 1)
    with pytest.raises(OSError, check=lambda error: error.errno in (errno.EHOSTUNREACH, None)):  # nobody has it
        await net.ask_tcp("10.77.200.201", 80)


async def test_ours_come_and_go_and_all_others_stay(fresh: Namespace) -> None:
    fresh.run("ip", "route", "add", "local", "10.78.0.0/16", "dev", "lo")
    fresh.run("ip", "-6", "route", "add", "local", "fd78::/64", "dev", "lo", "proto", "static")
    fresh.run("ip", "route", "add", "blackhole", "10.77.0.0/16")
    others = {*held(fresh, "proto", "boot"), *held(fresh, "proto", "static"), *held(fresh, "proto", "kernel")}
    local = LocalRoutes()
    assert await local.sync([*POOLS, "10.77.3.0/24", "192.0.2.1/32", "fd79::1/128"]) == 5
    assert held(fresh) == ["10.77.0.0/16", "10.77.3.0/24", "192.0.2.1", "fd77::/64", "fd79::1"]
    assert await local.sync(["10.77.3.0/24", "10.78.0.0/16", "fd78::/64"]) == 4
    assert held(fresh) == ["10.77.3.0/24"]
    await local.remove("10.78.0.0/16")  # not ours
    await local.remove("10.77.3.0/24")
    await local.remove("10.77.3.0/24")
    assert held(fresh) == []
    assert {*held(fresh, "proto", "boot"), *held(fresh, "proto", "static"), *held(fresh, "proto", "kernel")} == others
    assert "blackhole 10.77.0.0/16" in fresh.run("ip", "route", "show")


async def test_a_restart_writes_nothing_and_removes_nothing_before_every_wish_is_known(fresh: Namespace) -> None:
    await LocalRoutes().sync([*POOLS, "10.79.0.0/16"])
    successor = LocalRoutes()
    await successor.add("10.77.0.0/16")
    assert await successor.audit() == 0
    assert held(fresh) == ["10.77.0.0/16", "10.79.0.0/16", "fd77::/64"]
    assert await successor.sync([*POOLS, "10.79.0.0/16"]) == 0
    assert await successor.sync(POOLS) == 1


async def test_what_others_remove_is_put_back_and_counted(fresh: Namespace) -> None:
    local = LocalRoutes()
    await local.sync(POOLS)
    before = routes.REPAIRS._value.get()
    assert await local.audit() == 0
    fresh.run("ip", "route", "del", "local", "10.77.0.0/16", "table", "local")
    fresh.run("ip", "-6", "route", "del", "local", "fd77::/64", "table", "local")
    fresh.run("ip", "route", "add", "local", "10.99.0.0/16", "dev", "lo", "proto", str(routes.PROTOCOL))
    assert await local.audit() == 3
    assert routes.REPAIRS._value.get() == before + 3
    assert held(fresh) == POOLS


async def test_what_many_ask_for_at_once_is_looked_up_together(
    fresh: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = routes._listed

    async def counting(netlink: object) -> list[routes.Route]:
        nonlocal looks
        looks += 1
        return await real(netlink)

    monkeypatch.setattr(routes, "_listed", counting)
    local = LocalRoutes()
    async with asyncio.TaskGroup() as tasks:
        for n in range(100):
            tasks.create_task(local.add(f"10.77.0.{n}/32"))
    assert len(held(fresh)) == 100
    assert looks <= 2


async def test_what_is_asked_for_during_a_sync_comes_on_top(fresh: Namespace) -> None:
    local = LocalRoutes()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(local.sync(POOLS))
        tasks.create_task(local.add("10.78.0.0/16"))
    assert held(fresh) == ["10.77.0.0/16", "10.78.0.0/16", "fd77::/64"]
    assert await local.audit() == 0


async def test_what_is_asked_for_while_it_is_removed_is_there(fresh: Namespace) -> None:
    routes = LocalRoutes()
    await routes.sync(POOLS[:1])
    await asyncio.gather(routes.sync([]), routes.add(POOLS[0]))
    assert POOLS[0] in fresh.run("ip", "route", "show", "table", "local")


async def test_a_route_in_the_way_is_named(fresh: Namespace) -> None:
    fresh.run("ip", "route", "add", "blackhole", "10.77.0.0/16", "table", "local")
    local = LocalRoutes()
    with pytest.raises(Transient, match=r"another route of 10\.77\.0\.0/16: remove it"):
        await local.add("10.77.0.0/16")
    fresh.run("ip", "route", "del", "blackhole", "10.77.0.0/16", "table", "local")
    await local.add("10.77.0.0/16")
    assert held(fresh) == ["10.77.0.0/16"]
