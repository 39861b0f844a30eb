"""VIPs on a real link: what the client's own kernel finds out by ARP and neighbour discovery, whatever happens."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Iterator

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.layer2 import interface
from fleetlb_dataplane_programmer.layer2.frames import frames_of, gratuitous, solicited_node
from fleetlb_dataplane_programmer.layer2.link import Link, look
from fleetlb_dataplane_programmer.layer2.pacing import Pace
from fleetlb_dataplane_programmer.layer2.switches import LinkSwitches
from tests.ipvs.layer2_stage import (
    DEVICE,
    SECONDS,
    Speaker,
    Stage,
    first,
    groups_in,
    has_all_multicast,
    heard,
    is_arp,
    mac_in,
)
from tests.unit.fleetlb_dataplane_programmer.layer2 import peer

VIPS = {"v4": "10.77.0.1", "v6": "fd77::1"}
OTHERS = {"v4": "10.77.0.2", "v6": "fd77::2"}
MAC = "02:00:00:00:00:99"
family = pytest.mark.parametrize("family", ["v4", "v6"])


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    with contextlib.closing(made):
        yield made


@pytest.fixture
def one(stage: Stage) -> Iterator[Speaker]:
    with Speaker(stage.nodes[0]) as speaker:
        yield speaker


async def arrives(stage: Stage, speaker: Speaker, vip: str) -> None:
    """The client finds the node by itself, and what it sends gets there."""
    stage.forget(vip)
    with stage.listening(speaker.namespace, vip) as listener:
        stage.dial(vip)
        assert await asyncio.to_thread(listener.recv, 100) == b"hello"
    assert stage.neighbour(vip)[0] == speaker.mac


async def is_known_at(stage: Stage, vip: str, mac: str) -> None:
    """Nobody asks; the client has heard of it."""
    await eventually(lambda: stage.neighbour(vip)[0] == mac)


async def remains_unknown(stage: Stage, vip: str) -> None:
    """The client asks as often as it does, and its kernel gives up."""
    stage.forget(vip)
    stage.dial(vip)
    await eventually(lambda: stage.neighbour(vip)[1] == "FAILED", SECONDS)


@family
async def test_who_owns_a_vip_is_found_and_reached(stage: Stage, one: Speaker, family: str) -> None:
    one.own(VIPS[family])
    await arrives(stage, one, VIPS[family])


@family
async def test_what_nobody_owns_remains_unknown_though_it_is_routed_to_the_nodes(
    stage: Stage, one: Speaker, family: str
) -> None:
    one.own(OTHERS[family])
    await remains_unknown(stage, VIPS[family])
    one.own(VIPS[family])
    await arrives(stage, one, VIPS[family])
    one.disown(VIPS[family])
    await remains_unknown(stage, VIPS[family])
    await arrives(stage, one, OTHERS[family])


@family
async def test_what_is_said_is_counted_and_a_vip_that_is_owned_already_is_not_told_anew(
    stage: Stage, family: str
) -> None:
    vip, name = VIPS[family], "IP" + family
    fresh, answers = interface.GRATUITOUS.labels(name, "fresh")._value, interface.ANSWERS.labels(name)._value
    told, answered = fresh.get(), answers.get()
    frames = 3 * frames_of(peer.packed(vip))
    with Speaker(stage.nodes[0], Pace(pauses=(0.05, 0.05))) as speaker:
        speaker.own(vip)
        await eventually(lambda: fresh.get() == told + frames)
        speaker.own(vip, OTHERS[family])
        await eventually(lambda: fresh.get() == told + 2 * frames)
        await arrives(stage, speaker, vip)
        await eventually(lambda: answers.get() > answered)
    assert fresh.get() == told + 2 * frames


@family
async def test_a_vip_that_is_given_up_is_told_of_no_more(stage: Stage, family: str) -> None:
    vip, other = VIPS[family], OTHERS[family]
    with Speaker(stage.nodes[0], Pace(pauses=(0.05, 0.05), repeat_seconds=0.1)) as speaker, stage.tapped() as tap:
        ours = peer.mac_of(speaker.mac)
        speaker.own(vip, other)
        await first(tap, lambda frame: peer.packed(vip) in frame)
        speaker.disown(vip)
        await stage.has_passed(tap)
        told: list[bytes] = []

        def is_round() -> bool:
            told.extend(frame for frame in heard(tap) if frame[6:12] == ours)
            return sum(peer.packed(other) in frame for frame in told) >= 10

        await eventually(is_round)
        assert not any(peer.packed(vip) in frame for frame in told)


@family
async def test_a_vip_that_moves_is_known_at_its_new_node_before_anybody_asks(
    stage: Stage, one: Speaker, family: str
) -> None:
    vip = VIPS[family]
    with Speaker(stage.nodes[1]) as other:
        one.own(vip)
        await arrives(stage, one, vip)
        with stage.tapped() as tap:
            for giver, taker in ((one, other), (other, one)):
                giver.disown(vip)
                taker.own(vip)
                await is_known_at(stage, vip, taker.mac)
            client, about = peer.mac_of(mac_in(stage.client)), peer.packed(vip)
            assert [frame for frame in heard(tap) if frame[6:12] == client and about in frame] == []


@family
async def test_what_a_host_has_wrong_is_put_right_by_the_next_round(stage: Stage, family: str) -> None:
    vip = VIPS[family]
    with Speaker(stage.nodes[0], Pace(pauses=(), repeat_seconds=0.3)) as speaker:
        speaker.own(vip, *(f"10.77.1.{number}" for number in range(9)))
        await arrives(stage, speaker, vip)
        before = interface.GRATUITOUS.labels("IP" + family, "repeat")._value.get()
        stage.client.run("ip", "neigh", "replace", vip, "dev", DEVICE, "lladdr", MAC, "nud", "reachable")
        await is_known_at(stage, vip, speaker.mac)
        await eventually(lambda: interface.GRATUITOUS.labels("IP" + family, "repeat")._value.get() > before)


async def test_who_is_about_to_take_an_owned_address_learns_that_it_is_taken(stage: Stage, one: Speaker) -> None:
    one.own(*VIPS.values())
    await arrives(stage, one, VIPS["v6"])
    stage.client.sysctl(f"net.ipv6.conf.{DEVICE}.accept_dad", 1)
    stage.client.run("ip", "-6", "address", "add", f"{VIPS['v6']}/64", "dev", DEVICE)
    await eventually(lambda: "dadfailed" in stage.client.run("ip", "-6", "address", "show", "dev", DEVICE))
    with stage.tapped() as tap:
        tap.send(peer.arp("0.0.0.0", VIPS["v4"], mac_in(stage.client)))
        answer = await first(tap, lambda frame: is_arp(frame, 2) and frame[:6] == peer.mac_of(mac_in(stage.client)))
        assert peer.read_claim(answer[:42]).address == VIPS["v4"]


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 8])
async def test_the_kernel_itself_is_silent_only_if_it_is_told_to_be(stage: Stage, value: int) -> None:
    """Where it answers, whoever owns the VIP is not the only one."""
    for node in stage.nodes:
        node.sysctl(f"net.ipv4.conf.{DEVICE}.arp_ignore", value)
    with stage.nodes[0].entered():
        is_right = LinkSwitches(DEVICE, manage=False).findings() == []
    assert is_right == (value not in (0, 4))
    if is_right:
        await remains_unknown(stage, VIPS["v4"])
        return
    stage.dial(VIPS["v4"])
    await eventually(lambda: stage.neighbour(VIPS["v4"])[0] in map(mac_in, stage.nodes))


@pytest.mark.parametrize("value", [0, 2])
async def test_the_kernel_asks_in_a_vips_name_unless_it_is_told_not_to(stage: Stage, value: int) -> None:
    """A node that has lost the VIP may still have answers to give, and would draw it back."""
    vip, node = VIPS["v4"], stage.nodes[0]
    node.sysctl(f"net.ipv4.conf.{DEVICE}.arp_announce", value)
    with stage.tapped() as tap, stage.listening(node, vip) as answering:
        node.run("ip", "neigh", "flush", "dev", DEVICE)
        answering.sendto(b"answer", ("10.5.0.1", 9))
        asked = await first(tap, lambda frame: is_arp(frame, 1))
        assert asked[28:32] == peer.packed(vip if value == 0 else "10.5.0.2")


@family
async def test_who_may_not_speak_is_silent_until_it_may(stage: Stage, family: str) -> None:
    vip = VIPS[family]
    with Speaker(stage.nodes[0]) as speaker, stage.tapped() as tap:
        speaker.own(OTHERS[family])
        await arrives(stage, speaker, OTHERS[family])
        speaker.may_answer = False
        heard(tap)
        speaker.own(vip)
        await remains_unknown(stage, vip)
        await remains_unknown(stage, OTHERS[family])
        ours, packed = peer.mac_of(speaker.mac), peer.packed(vip)
        assert [frame for frame in heard(tap) if frame[6:12] == ours and packed in frame] == []
        speaker.may_answer = True
        await first(tap, lambda frame: frame[6:12] == ours and packed in frame)  # what was due is told now
        await arrives(stage, speaker, vip)
        await arrives(stage, speaker, OTHERS[family])


@family
async def test_an_interface_that_goes_down_and_comes_back_tells_everything_again(
    stage: Stage, one: Speaker, family: str
) -> None:
    vip = VIPS[family]
    one.own(vip)
    await arrives(stage, one, vip)
    one.namespace.down(DEVICE)
    await eventually(lambda: one.troubles == [f"interface {DEVICE} is down"])
    stage.client.run("ip", "neigh", "replace", vip, "dev", DEVICE, "lladdr", MAC, "nud", "stale")
    one.namespace.up(DEVICE)
    await eventually(lambda: one.troubles == [f"interface {DEVICE} is down", ""])
    await is_known_at(stage, vip, one.mac)
    await arrives(stage, one, vip)


async def test_an_interface_that_lost_its_carrier_says_so(stage: Stage, one: Speaker) -> None:
    one.own(VIPS["v4"])
    await arrives(stage, one, VIPS["v4"])
    stage.switch.down("port1")
    await eventually(lambda: one.troubles == [f"interface {DEVICE} has no carrier"])
    stage.switch.up("port1")
    await eventually(lambda: one.troubles[-1] == "")
    await arrives(stage, one, VIPS["v4"])


@family
async def test_an_interface_that_is_deleted_and_made_again_is_taken_up_again(
    stage: Stage, one: Speaker, family: str
) -> None:
    vip = VIPS[family]
    one.own(vip)
    await arrives(stage, one, vip)
    before = one.mac
    one.namespace.run("ip", "link", "delete", DEVICE)
    await eventually(lambda: one.troubles == [f"interface {DEVICE} is not there"])
    stage.plug(1, one.namespace)
    await eventually(lambda: one.troubles[-1] == "")
    assert one.mac != before
    if family == "v6":
        await eventually(lambda: solicited_node(peer.packed(vip)).hex() in groups_in(one.namespace))
    await is_known_at(stage, vip, one.mac)
    await arrives(stage, one, vip)


@family
async def test_an_interface_that_gets_another_mac_tells_it(stage: Stage, one: Speaker, family: str) -> None:
    vip = VIPS[family]
    one.own(vip)
    await arrives(stage, one, vip)
    one.namespace.run("ip", "link", "set", DEVICE, "address", MAC)
    await is_known_at(stage, vip, MAC)
    await arrives(stage, one, vip)
    assert one.troubles == []


@family
async def test_no_question_is_answered_from_a_mac_that_was(
    stage: Stage, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the time until the interface is looked at again."""
    monkeypatch.setattr(interface, "LOOK_SECONDS", 3600.0)
    vip = VIPS[family]
    with Speaker(stage.nodes[0]) as speaker, stage.tapped() as tap:
        speaker.own(vip)
        await arrives(stage, speaker, vip)
        before = peer.mac_of(speaker.mac)
        speaker.namespace.run("ip", "link", "set", DEVICE, "address", MAC)
        heard(tap)
        await arrives(stage, speaker, vip)
        assert [frame for frame in heard(tap) if before in frame[6:] and frame[:6] != before] == []


@family
async def test_nothing_is_told_from_a_mac_that_was(stage: Stage, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "LOOK_SECONDS", 3600.0)
    with Speaker(stage.nodes[0], Pace(repeat_seconds=0.05, pauses=(0.05,))) as speaker, stage.tapped() as tap:
        speaker.own(VIPS[family])
        packed = peer.packed(VIPS[family])
        before = await first(tap, lambda frame: packed in frame)
        speaker.namespace.run("ip", "link", "set", DEVICE, "address", MAC)
        await stage.has_passed(tap)
        after = await first(tap, lambda frame: packed in frame)
        assert (before[6:12] == after[6:12], after[6:12]) == (False, peer.mac_of(MAC))


async def test_an_interface_that_goes_down_is_noticed_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "LOOK_SECONDS", 3600.0)
    with Speaker(stage.nodes[0]) as speaker:
        speaker.own(VIPS["v4"])
        await arrives(stage, speaker, VIPS["v4"])
        speaker.namespace.down(DEVICE)
        await eventually(lambda: speaker.troubles == [f"interface {DEVICE} is down"])


async def test_an_interface_that_is_not_there_yet_is_waited_for(stage: Stage) -> None:
    with Namespace("node-3") as node, Speaker(node) as late:
        late.own(*VIPS.values())
        await eventually(lambda: late.troubles == [f"interface {DEVICE} is not there"])
        for pool in ("10.77.0.0/16", "fd77::/64"):
            node.run("ip", "-6" if ":" in pool else "-4", "route", "add", "local", pool, "dev", "lo")
        stage.plug(3, node)
        await eventually(lambda: late.troubles[-1] == "")
        for vip in VIPS.values():
            await arrives(stage, late, vip)


async def test_an_interface_that_is_no_ethernet_is_named_so(stage: Stage) -> None:
    with Speaker(stage.nodes[0], device="lo") as speaker:
        await eventually(lambda: speaker.troubles)
        assert speaker.troubles == ["interface lo is no Ethernet: name one that VIPs are reached over"]


def test_without_the_right_to_open_packet_sockets_the_right_is_named(stage: Stage) -> None:
    program = (
        "from fleetlb_dataplane_programmer.layer2.link import Link, LinkUnusable, look\n"
        f"try: Link('{DEVICE}', look('{DEVICE}'))\n"
        "except LinkUnusable as problem: print(problem)"
    )
    said = stage.nodes[0].run("setpriv", "--bounding-set", "-net_raw", sys.executable, "-c", program)
    assert said == "no packet socket may be opened: give this process CAP_NET_RAW\n"


def test_what_an_interface_does_not_take_is_said(stage: Stage) -> None:
    with stage.nodes[0].entered() as node, contextlib.closing(Link(DEVICE, look(DEVICE))) as link:
        frames = [gratuitous(peer.packed(vip), link.appearance.mac)[0] for vip in VIPS.values()]
        assert [link.send(frame) for frame in frames] == [True, True]
        node.down(DEVICE)
        assert [link.send(frame) for frame in frames] == [False, False]


async def test_no_frame_stops_it(stage: Stage, one: Speaker) -> None:
    one.own(*VIPS.values())
    noise, client = random.Random(7), mac_in(stage.client)
    questions = [peer.arp("10.5.0.1", VIPS["v4"], client), peer.solicitation("fd05::1", VIPS["v6"], client)]
    with stage.tapped() as tap:
        for number in range(3000):
            frame = bytearray(questions[number % 2])
            for _ in range(noise.randrange(1, 6)):
                frame[noise.randrange(14, len(frame))] = noise.randrange(256)
            with contextlib.suppress(BlockingIOError, OSError):
                tap.send(bytes(frame[: noise.randrange(14, len(frame) + 1)]) + noise.randbytes(noise.randrange(40)))
    for vip in VIPS.values():
        await arrives(stage, one, vip)
    assert one.troubles == []


async def test_ten_thousand_vips_are_answered_for_while_they_are_told_of(stage: Stage) -> None:
    vips = [f"10.77.{number // 250 + 1}.{number % 250}" for number in range(10_000)]
    client = mac_in(stage.client)
    with Speaker(stage.nodes[0], Pace()) as speaker, stage.tapped() as tap:
        speaker.own(*vips)
        unanswered = {peer.packed(vip): vip for vip in vips[::100]}

        def ask_and_hear() -> bool:
            for packed in list(unanswered)[:10]:
                tap.send(peer.arp("10.5.0.1", unanswered[packed], client))
            for frame in heard(tap):
                if frame[:6] == peer.mac_of(client) and is_arp(frame, 2):
                    unanswered.pop(frame[28:32], None)
            return not unanswered

        await eventually(ask_and_hear)
        await arrives(stage, speaker, vips[-1])


async def test_groups_are_joined_as_long_as_a_vip_needs_them(stage: Stage, one: Speaker) -> None:
    group = solicited_node(peer.packed("fd77::ab:cdef")).hex()
    one.own("fd77::ab:cdef", "fd77::1:ab:cdef")
    await eventually(lambda: group in groups_in(one.namespace))
    one.disown("fd77::ab:cdef")
    await arrives(stage, one, "fd77::1:ab:cdef")
    assert group in groups_in(one.namespace)
    one.disown("fd77::1:ab:cdef")
    await eventually(lambda: group not in groups_in(one.namespace))


async def test_more_groups_are_joined_than_one_socket_holds(stage: Stage, one: Speaker) -> None:
    one.namespace.sysctl("net.core.optmem_max", 20480)
    vips = [f"fd77::1:{number:x}" for number in range(1, 1001)]
    wanted = {solicited_node(peer.packed(vip)).hex() for vip in vips}
    one.own(*vips)
    await eventually(lambda: wanted <= groups_in(one.namespace))
    one.disown(*vips)
    await eventually(lambda: not wanted & groups_in(one.namespace))
    one.own(*vips)  # where there is room again
    await eventually(lambda: wanted <= groups_in(one.namespace))
    assert one.troubles == []


async def test_a_switch_that_snoops_sends_questions_to_who_joined_and_to_no_other(stage: Stage, one: Speaker) -> None:
    vip = "fd77::ab:cdef"
    for word, value in (("query_interval", 100), ("query_response_interval", 50), ("querier", 1)):
        stage.switch.run("ip", "link", "set", "bridge", "type", "bridge", f"mcast_{word}", str(value))
    one.own(vip)
    await eventually(lambda: "ff02::1:ffab:cdef" in stage.switch.run("bridge", "mdb", "show"))
    with stage.tapped(stage.nodes[1]) as other:
        async with asyncio.timeout(SECONDS):  # until the switch knows everybody it sends everything everywhere
            while True:
                heard(other)
                await arrives(stage, one, vip)
                group = solicited_node(peer.packed(vip))
                if not any(frame[38:54] == group for frame in await stage.has_passed(other)):
                    break


async def test_the_device_takes_groups_that_are_not_joined_yet(stage: Stage, one: Speaker) -> None:
    one.own(VIPS["v6"])
    await arrives(stage, one, VIPS["v6"])
    assert has_all_multicast(one.namespace)


async def test_groups_that_cannot_be_joined_are_named_and_joined_later(stage: Stage, one: Speaker) -> None:
    """The kernel takes an interface of less than 1280 bytes out of IPv6."""
    one.namespace.run("ip", "link", "set", DEVICE, "mtu", "1000")
    one.own(*VIPS.values())
    text = f"groups of IPv6 VIPs cannot be joined on {DEVICE}: Invalid argument"
    await eventually(lambda: one.troubles == [text])
    await arrives(stage, one, VIPS["v4"])
    one.namespace.run("ip", "link", "set", DEVICE, "mtu", "1500")
    await eventually(lambda: one.troubles == [text, ""])
    await arrives(stage, one, VIPS["v6"])
