"""Calls over a link of namespaces, past a kernel to which the VIP is its own, to another one that has it too."""

import asyncio
import pathlib
import socket
from collections.abc import Iterator

import pytest

from fleetlb.domain.addresses import Family, family_of
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace, connect
from fleetlb_dataplane_programmer.layer2.calling import CLAIMED_TWICE, Caller, Heard
from fleetlb_dataplane_programmer.layer2.link import LinkUnusable
from tests.unit.fleetlb_dataplane_programmer.layer2.peer import arp

VIP, NOBODY, PORT = "10.5.0.129", "10.5.0.99", 80
SIXTH = "fd05::81"
ARP = 0x0806


class Stage:
    """A caller and the machine that it calls. To be made where no event loop runs."""

    def __init__(self, caller: Namespace, owner: Namespace) -> None:
        self.caller, self.owner = caller, owner
        connect(caller, "eth0", ["10.5.0.1/24", "fd05::1/64"], owner, "eth0", ["10.5.0.2/24", "fd05::2/64"])
        # A kernel answers for no IPv6 address that is only routed to it, as a node's programmer does.
        owner.address("eth0", f"{SIXTH}/128")
        caller.run("ip", "-6", "route", "add", "local", "fd05::80/121", "dev", "lo")
        for each in (caller, owner):
            each.up("lo")
            each.run("ip", "route", "add", "local", "10.5.0.128/25", "dev", "lo")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Namespace("caller") as caller, Namespace("owner") as owner, caller.entered():
        yield Stage(caller, owner)


@pytest.fixture
def caller(stage: Stage) -> Caller:
    return Caller("eth0")


@pytest.fixture
def listening(stage: Stage) -> Iterator[socket.socket]:
    with stage.owner.entered():
        made = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    with made:
        made.settimeout(0.2)
        yield made


@pytest.mark.parametrize(("vip", "address"), [(VIP, "10.5.0.1"), (SIXTH, "fd05::1")])
async def test_a_port_that_is_open_is_reached_and_nobody_is_bothered(
    listening: socket.socket, caller: Caller, vip: str, address: str
) -> None:
    assert caller.address(family_of(vip)) == address
    outcome = await caller.call(vip, PORT)
    assert outcome.heard is Heard.OPEN
    assert 0 < outcome.seconds < 1
    with pytest.raises(TimeoutError):
        listening.accept()
    caller.close()


async def test_another_port_is_refused_and_another_address_is_nobodys(listening: socket.socket, caller: Caller) -> None:
    for vip in (VIP, SIXTH):
        assert (await caller.call(vip, PORT + 1)).heard is Heard.REFUSED
    for nobody in (NOBODY, "fd05::99"):
        assert (await caller.call(nobody, PORT)).heard is Heard.UNCLAIMED
    caller.close()


async def test_what_a_firewall_drops_is_silent(stage: Stage, listening: socket.socket, caller: Caller) -> None:
    rules = f"table ip wall {{ chain in {{ type filter hook input priority 0; tcp dport {PORT} drop; }}; }}"
    stage.owner.run("nft", "-f", "-", stdin=rules)
    assert (await caller.call(VIP, PORT)).heard is Heard.SILENT
    stage.owner.run("nft", "delete", "table", "ip", "wall")
    assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
    caller.close()


async def test_what_cannot_be_spoken_on_is_said_and_called_again_when_it_can(
    stage: Stage, listening: socket.socket, caller: Caller
) -> None:
    assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
    stage.caller.down("eth0")
    with pytest.raises(LinkUnusable, match="interface eth0 is down"):
        await caller.call(VIP, PORT)
    stage.caller.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
    stage.caller.up("eth0")
    await eventually(lambda: _is_usable(caller))
    assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
    stage.caller.run("ip", "address", "flush", "dev", "eth0")
    for vip, family in ((VIP, Family.IPV4), (SIXTH, Family.IPV6)):
        with pytest.raises(LinkUnusable, match=f"eth0 has no {family} address"):
            await caller.call(vip, PORT)
    caller.close()


async def test_two_that_answer_one_question_are_counted_once(
    stage: Stage, listening: socket.socket, caller: Caller
) -> None:
    with stage.owner.entered():
        also = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    with also:
        also.bind(("eth0", ARP))
        also.setblocking(False)

        def answer_too() -> None:
            asked = also.recv(100)
            for _ in range(3):
                also.send(arp(VIP, "10.5.0.1", "02:00:00:00:00:99", operation=2, target_mac=asked[6:12].hex(":")))

        before = CLAIMED_TWICE._value.get()
        assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
        assert CLAIMED_TWICE._value.get() == before
        also.recv(100)
        asyncio.get_running_loop().add_reader(also, answer_too)
        await caller.call(VIP, PORT)
        await eventually(lambda: CLAIMED_TWICE._value.get() == before + 1)
        asyncio.get_running_loop().remove_reader(also)
        assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
        assert CLAIMED_TWICE._value.get() == before + 1, "what came before is read by now"
    caller.close()


async def test_its_own_kernel_is_told_nothing(stage: Stage, listening: socket.socket, caller: Caller) -> None:
    """It would answer for the VIP itself, and a connection of its own must not be disturbed by what comes back."""
    before = _resets()
    assert (await caller.call(VIP, PORT)).heard is Heard.OPEN
    assert _resets() == before
    caller.close()


def _is_usable(caller: Caller) -> bool:
    try:
        return bool(caller.address(Family.IPV4))
    except LinkUnusable:
        return False


def _resets() -> str:
    """How many resets this namespace's kernel has sent."""
    names, values = [
        line.split() for line in pathlib.Path("/proc/thread-self/net/snmp").read_text().splitlines() if "Tcp:" in line
    ]
    return dict(zip(names, values, strict=True))["OutRsts"]
