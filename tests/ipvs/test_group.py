"""A group of three nodes on layer 2: one answers, the others take over, and never do two answer one question (P3, P4).

The lab's clock runs with its load, so nothing here measures time: who answers in the end counts, and that no question
was ever answered twice.
"""

import asyncio
import contextlib
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup as GroupObject
from fleetlb.contracts.objects import BalancerGroupSpec
from fleetlb.domain.capabilities import EngineName
from fleetlb.explaining.announcing import announced, unannounced
from fleetlb.explaining.gathering import Place, situation_of
from fleetlb.explaining.situation import Situation
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import BALANCER_GROUPS
from fleetlb.kube.holding import Held, Holders
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import CLUSTER, SERVICE, a_load_balancer, a_tenant
from fleetlb_dataplane_programmer.ownership.carriers import weight
from tests.stage.asking import Asker
from tests.stage.balancer_group import NODES, PORT, BalancerGroup, Running, ask, vip
from tests.stage.programmer_process import GROUP, Programmer

pytestmark = pytest.mark.timeout(240)
SECONDS = 60.0
VIP = vip(1)
ENOUGH = 60
"""Questions in two leases."""


@contextlib.asynccontextmanager
async def asking(network: BalancerGroup, address: str) -> AsyncIterator[Asker]:
    """Somebody asks for an address all the time, and is never answered by two."""
    asker = Asker(network.client, "lan", address)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(asker.run())
        yield asker
        running.cancel()
    assert [question.who for question in asker.overlaps()] == []


def answering(group: Running, asker: Asker) -> list[str]:
    """Who answered the last questions."""
    return sorted({group.network.macs[mac] for question in asker.questions[-10:] for mac in question.who})


async def owner_other_than(group: Running, asker: Asker, before: str) -> str:
    """Another node than before, once it alone answers."""
    await eventually(lambda: len(answering(group, asker)) == 1 and answering(group, asker) != [before], SECONDS)
    return answering(group, asker)[0]


async def test_one_node_answers_and_traffic_arrives(group: Running) -> None:
    async with asking(group.network, VIP) as asker, group.network.serving():
        await eventually(lambda: answering(group, asker) == group.owners(VIP), SECONDS)
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)


async def test_nobody_answers_for_what_is_not_served(group: Running) -> None:
    async with asking(group.network, vip(2)) as nobody, asking(group.network, VIP) as asker:
        await eventually(lambda: len([each for each in asker.questions if each.who]) > 20, SECONDS)
        assert nobody.answered_by() == set()


async def test_when_a_programmer_is_killed_another_answers_and_connections_go_on(group: Running) -> None:
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker, group.network.serving():
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)
            group.programmers[owner].kill()
            assert await ask(*connection), "the kernel of the node carries it on"
            await owner_other_than(group, asker, owner)
            group.programmers[owner].start()
            await eventually(lambda: answering(group, asker) == [owner], SECONDS)
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)


async def test_a_programmer_that_was_stopped_answers_nothing_when_it_wakes(group: Running) -> None:
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker:
        group.programmers[owner].signal(signal.SIGSTOP)
        await owner_other_than(group, asker, owner)
        group.programmers[owner].signal(signal.SIGCONT)
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)


@pytest.mark.parametrize("link", ["hub", "lan"])
async def test_a_node_that_is_cut_off_gives_way(group: Running, link: str) -> None:
    """From the hub it must stop by itself; from the link it sees that nobody could hear it."""
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker:
        group.network.cut(owner, link)
        await owner_other_than(group, asker, owner)
        group.network.mend(owner, link)
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)


async def test_P4_a_node_that_rebooted_answers_only_once_it_carries_again(group: Running) -> None:
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker, group.network.serving():
        group.programmers[owner].kill()
        group.network.nodes[owner].run("ipvsadm", "-C")
        other = await owner_other_than(group, asker, owner)
        assert other != owner
        group.programmers[owner].start()
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)
        assert "10.20.0.9" in group.network.nodes[owner].run("ipvsadm", "-Ln")
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)


async def test_a_vip_that_is_let_go_is_answered_for_by_nobody(group: Running) -> None:
    async with asking(group.network, VIP) as asker:
        await eventually(lambda: len(answering(group, asker)) == 1, SECONDS)
        await group.wish(VIP, serves=False, revision=2)
        await eventually(lambda: answering(group, asker) == [], SECONDS)
        await eventually(lambda: not any(said.carried for said in group.said.values()), SECONDS)


async def test_a_vip_of_ipv6_is_found_and_carried(group: Running) -> None:
    address = vip(3, "v6")
    await group.wish(address)
    first = max(NODES, key=lambda node: weight(node, address))
    await eventually(lambda: group.owners(address) == [first], SECONDS)
    async with group.network.serving("v6"), group.network.connection(address) as connection:
        assert await ask(*connection)
    group.programmers[first].kill()
    await eventually(lambda: bool({*group.owners(address)} - {first}), SECONDS)
    async with group.network.serving("v6"), group.network.connection(address) as connection:
        assert await ask(*connection)


async def test_a_node_that_is_emptied_gives_way_and_comes_back(group: Running) -> None:
    """New connections go on being answered. One that is open at the moment may be cut: the next node knows nothing of
    how its packets were masqueraded (docs/networking.md)."""
    [owner] = group.owners(VIP)
    cut: list[OSError] = []
    async with asking(group.network, VIP) as asker, group.network.serving(), asyncio.TaskGroup() as tasks:
        dialling = tasks.create_task(dialling_for_ever(group, cut))
        await group.drain(owner)
        other = await owner_other_than(group, asker, owner)
        await eventually(lambda: group.owners(VIP) == [other], SECONDS)
        await group.drain()
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)
        dialling.cancel()
    assert len(cut) <= 2, "at most one with each move"


async def test_the_last_of_a_group_keeps_what_nobody_else_can_have(group: Running) -> None:
    async with asking(group.network, VIP) as asker:
        await group.drain(*NODES)
        await eventually(lambda: all(group.is_draining(name) for name in NODES), SECONDS)
        await eventually(lambda: len(answering(group, asker)) == 1, SECONDS)


async def test_a_node_that_is_taken_out_of_its_group_answers_no_more_until_it_is_back(group: Running) -> None:
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker, group.network.serving():
        group.members = tuple(name for name in NODES if name != owner)
        await group.drain()
        other = await owner_other_than(group, asker, owner)
        await eventually(lambda: not group.said[owner, VIP].carried, SECONDS)
        async with group.network.connection(VIP) as connection:
            assert await ask(*connection)
        await eventually(lambda: (group.owners(VIP), answering(group, asker)) == ([other], [other]), SECONDS)
        group.members = NODES
        await group.drain()
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)


async def test_of_two_processes_under_one_name_the_later_counts(group: Running, tmp_path: pathlib.Path) -> None:
    """By mistake a machine got another's settings. Whoever asks is answered by one of the two at most."""
    [owner] = group.owners(VIP)
    place = next(name for name in NODES if name != owner)
    group.programmers[place].kill()
    twin = Programmer(owner, group.network.nodes[place], tmp_path / "twin", group.nats)
    try:
        async with asking(group.network, VIP) as asker, group.network.serving():
            twin.start()
            await eventually(lambda: answering(group, asker) == [place], SECONDS)
            async with group.network.connection(VIP) as connection:
                assert await ask(*connection)
            twin.kill()
            await eventually(lambda: answering(group, asker) == [owner], SECONDS)
    finally:
        twin.kill()


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_clock_that_is_set_changes_nothing(group: Running, seconds: int) -> None:
    """The lab has one clock for all nodes, which nothing that matters may look at. A busy lab may lose a lease."""
    [owner] = group.owners(VIP)
    async with asking(group.network, VIP) as asker, group.network.serving():
        await eventually(lambda: answering(group, asker) == [owner], SECONDS)
        before = len(asker.questions)
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        try:
            await eventually(lambda: len(asker.questions) > before + ENOUGH, SECONDS)
            unanswered = sum(not question.who for question in asker.questions[before : before + ENOUGH])
            assert unanswered < ENOUGH / 2
            await eventually(lambda: answering(group, asker) == [owner], SECONDS)
            async with group.network.connection(VIP) as connection:
                assert await ask(*connection)
        finally:
            time.clock_settime(time.CLOCK_REALTIME, time.time() - seconds)


async def test_over_a_bad_network_never_do_two_answer_either(network: BalancerGroup, group: Running) -> None:
    """Every way loses 2 % and takes 50 ms, to the hub and to the client; leases may lapse, so the owner may change."""
    for switch, link in ((network.hub, "hub"), (network.switch, "lan")):
        for name, node in network.nodes.items():
            for place, device in ((switch, f"to-{name}"), (node, link)):
                place.run("tc", "qdisc", "add", "dev", device, "root", "netem", "delay", "50ms", "loss", "2%")
    async with asking(network, VIP) as asker:
        await eventually(lambda: len(answering(group, asker)) == 1, SECONDS)
        [owner] = answering(group, asker)
        network.cut(owner, "hub")
        await owner_other_than(group, asker, owner)
        network.mend(owner, "hub")
        await eventually(lambda: answering(group, asker) == [max(NODES, key=lambda node: weight(node, VIP))], SECONDS)


async def dialling_for_ever(group: Running, cut: list[OSError]) -> None:
    """Connect, ask, hang up; notes what failed."""
    while True:
        try:
            async with group.network.connection(VIP) as connection:
                assert await ask(*connection)
        except OSError as problem:
            cut.append(problem)
        await asyncio.sleep(0.02)


async def looked_at(group: Running) -> Situation:
    """What whoever asks for the Service is told of."""
    cluster = Cluster(FakeWire(FakeKube()), "test")
    spec = BalancerGroupSpec(engine=EngineName.IPVS, nodes=NODES)
    await cluster.create(BALANCER_GROUPS, GroupObject(metadata=ObjectMeta(name=GROUP), spec=spec))
    nobody = Held("a-lease", "", False)
    balancer = a_load_balancer(addresses=(VIP,), ports=(PORT,))
    place = Place(a_tenant(account=""), CLUSTER, SERVICE, "shop", "web", balancer)
    return await situation_of(cluster, group.bus, place, Holders((nobody,), nobody))


async def comes_true(group: Running, condition: Callable[[Situation], bool]) -> None:
    """Look until it is so; every look asks NATS."""
    async with asyncio.timeout(SECONDS):
        while not condition(await looked_at(group)):
            continue


def names(node: str) -> Callable[[Situation], bool]:
    """Whether a node is said to answer."""
    return lambda seen: announced(seen).get(f"announced {VIP}", "").startswith(f"{node} answers for {VIP} on lan since")


def has_no_lease(seen: Situation) -> bool:
    """Whether nobody is said to answer, as no node has a lease."""
    lack = unannounced(seen)
    return lack is not None and lack.reason == "LeaseNotRenewed"


async def test_who_is_said_to_answer_is_who_does(group: Running) -> None:
    async with asking(group.network, VIP) as asker:
        await eventually(lambda: len(answering(group, asker)) == 1, SECONDS)
        [owner] = answering(group, asker)
        await comes_true(group, names(owner))
        group.programmers[owner].kill()
        other = await owner_other_than(group, asker, owner)
        await comes_true(group, names(other))
        for programmer in group.programmers.values():
            programmer.kill()
        await comes_true(group, has_no_lease)
