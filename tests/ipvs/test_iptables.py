"""A node whose nftables cannot be used: iptables masquerades, and source ranges are neither offered nor taken."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.balancer_network import POOLS, Network, network
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs.filtering import Guard
from fleetlb_dataplane_programmer.ipvs.iptables import IptablesFilter
from fleetlb_dataplane_programmer.ipvs.packet_filter import FilterUnavailable, open_filter

NODE_PORT = 31000
VIPS = {"v4": "10.77.0.1", "v6": "fd77::1"}
KEY = parse_key("10.77.0.1:80/tcp")
BYSTANDERS = "*nat\n:OPERATOR - [0:0]\n-A POSTROUTING -s 192.0.2.0/24 -j OPERATOR\n-A OPERATOR -j MASQUERADE\nCOMMIT\n"
flavour = pytest.mark.parametrize("flavour", ["-nft", "-legacy"])


@pytest.fixture
def net() -> Iterator[Network]:
    """The test's thread is in the node. The backend knows no way to the client but over the node's own address."""
    with network(backends=1) as made, made.nodes[0].entered() as node:
        node.sysctl("net.ipv4.vs.conntrack", 1)
        made.backends[0].run("ip", "route", "del", "10.40.0.0/24")
        made.backends[0].run("ip", "-6", "route", "del", "fd40::/64")
        entries = []
        for flag in ("-t", "-u"):
            for vip, real in (("10.77.0.1", "10.20.1.2"), ("[fd77::1]", "[fd20:1::2]")):
                entries += [f"-A {flag} {vip}:80 -s rr", f"-a {flag} {vip}:80 -r {real}:{NODE_PORT} -m"]
        node.run("ipvsadm", "-R", stdin="\n".join(entries) + "\n")
        yield made


def saved(node: Namespace, flavour: str) -> list[str]:
    """The nat tables of both families, without times and counts."""
    both = node.run(f"iptables{flavour}-save", "-t", "nat") + node.run(f"ip6tables{flavour}-save", "-t", "nat")
    return [line.partition(" [")[0] for line in both.splitlines() if not line.startswith("#")]


@flavour
@pytest.mark.parametrize("family", ["v4", "v6"])
async def test_answers_come_back_through_the_nodes_own_address(net: Network, flavour: str, family: str) -> None:
    filtering = await open_filter("nowhere-nft", [flavour])
    assert not filtering.can_filter
    await filtering.change(KEY, None, POOLS[0])
    await filtering.change(KEY, None, POOLS[1])
    async with net.echoing(NODE_PORT, NODE_PORT):
        seen = {"v4": "1 10.20.1.11", "v6": "1 fd20:1::11"}[family]
        assert await net.ask_tcp(VIPS[family], 80) == seen
        assert await net.ask_udp(VIPS[family], 80) == seen


@pytest.mark.parametrize("family", ["v4", "v6"])
async def test_what_keeps_its_client_is_not_masqueraded(family: str) -> None:
    with network(backends=1, answers_directly=True) as net, net.nodes[0].entered() as node:
        node.sysctl("net.ipv4.vs.conntrack", 1)
        entries = "-A -t 10.77.0.1:80 -s rr\n-a -t 10.77.0.1:80 -r 10.20.1.2:80 -g\n"
        entries += "-A -t [fd77::1]:80 -s rr\n-a -t [fd77::1]:80 -r [fd20:1::2]:80 -g\n"
        node.run("ipvsadm", "-R", stdin=entries)
        filtering = await open_filter("nowhere-nft")
        await filtering.sync(POOLS, [])
        async with net.echoing(80, 80):
            assert await net.ask_tcp(VIPS[family], 80) == f"1 {net.client_address(v6=family == 'v6')}"


@flavour
async def test_others_keep_what_is_theirs_and_drift_is_mended(fresh: Namespace, flavour: str) -> None:
    fresh.run(f"iptables{flavour}-restore", stdin=BYSTANDERS)
    before = saved(fresh, flavour)
    filtering = IptablesFilter([flavour])
    await filtering.start()
    assert await filtering.sync([*POOLS, "10.78.0.1/32"], []) == 3
    right = saved(fresh, flavour)
    assert set(before) < set(right)
    assert await filtering.audit() == 0
    for damage in (
        ["-F", "FLEETLB-POSTROUTING"],
        ["-D", "POSTROUTING", "-j", "FLEETLB-POSTROUTING"],
        ["-I", "FLEETLB-POSTROUTING", "-j", "MASQUERADE"],
        ["-D", "FLEETLB-POSTROUTING", "1"],
    ):
        fresh.run(f"iptables{flavour}", "-t", "nat", *damage)
        assert await filtering.audit() > 0
        assert saved(fresh, flavour) == right


@flavour
async def test_a_restart_writes_nothing_that_is_right(
    fresh: Namespace, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtering = IptablesFilter([flavour])
    await filtering.start()
    await filtering.sync([*POOLS, "10.78.0.1/32", "fd78::1/128"], [])
    successor = IptablesFilter([flavour])
    monkeypatch.setattr(successor, "_write", None)
    await successor.start()
    await successor.change(KEY, None, "10.77.0.0/16")
    assert await successor.sync([*POOLS, "10.78.0.1/32", "fd78::1/128"], []) == 0
    assert await successor.audit() == 0


async def test_what_is_asked_for_during_a_sync_comes_on_top(fresh: Namespace) -> None:
    filtering = IptablesFilter()
    await filtering.start()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(filtering.sync(POOLS, []))
        tasks.create_task(filtering.change(KEY, None, "10.78.0.0/16"))
    assert await filtering.audit() == 0
    assert any("10.78.0.0/16" in line for line in saved(fresh, "-nft") + saved(fresh, "-legacy"))


async def test_source_ranges_are_refused_with_the_cure(fresh: Namespace) -> None:
    filtering = await open_filter("nowhere-nft")
    guard = Guard(KEY, ("192.0.2.0/24",))
    with pytest.raises(Transient, match=r"10\.77\.0\.1:80/tcp: source ranges need nftables .* package nftables"):
        await filtering.change(KEY, guard)
    with pytest.raises(Transient, match="package nftables"):
        await filtering.sync(POOLS, [guard])


async def test_a_kernel_without_inet_tables_falls_back(fresh: Namespace, tmp_path: Path) -> None:
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\necho 'Error: Could not process rule: Operation not supported' >&2\nexit 1\n")
    program.chmod(0o755)
    assert not (await open_filter(str(program))).can_filter


async def test_a_passing_failure_of_nft_does_not_fall_back(fresh: Namespace, tmp_path: Path) -> None:
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\necho 'Error: Operation not permitted (you must be root)' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(FilterUnavailable, match="CAP_NET_ADMIN"):
        await open_filter(str(program))


async def test_with_neither_the_package_to_install_is_named(fresh: Namespace) -> None:
    with pytest.raises(FilterUnavailable, match="Install the package nftables"):
        await open_filter("nowhere-nft", ["-nowhere"])


async def test_nftables_is_preferred(fresh: Namespace) -> None:
    assert (await open_filter()).can_filter
