"""Several managers that share the tenants of a fleet, against a real API server (ADR 11)."""

import time
from functools import partial

import pytest

from fleetlb.kube.leases import TYPED_LEASES
from fleetlb.kube.partition_leases import MANAGER_LEASE, partitions_of
from fleetlb_manager import timestamps
from tests.integration.manager_stage import CIDRS, SYSTEM_NAMESPACE, Stage, Watcher, a_wish

pytestmark = pytest.mark.integration

TENANTS = ("acme", "globex", "initech")
CIDRS["initech"] = "10.3.0.0/16"


async def share(stage: Stage, *managers: str, partitions: int = 3, pool: str = "192.0.2.0/28") -> dict[str, Watcher]:
    """These managers, and tenants of three partitions."""
    await stage.set_up(*TENANTS, pool=pool)
    stage.partitions = partitions
    for name in managers:
        stage.start(name)
    await stage.until(lambda: acted_for(stage) == list(range(partitions)), 30)
    return {name: await stage.watcher(name, f"cluster-{name}") for name in TENANTS}


def acted_for(stage: Stage) -> list[int]:
    """Each partition as often as a manager acts for it."""
    return sorted(number for held in stage.held().values() for number in held)


def objection_of(stage: Stage, name: str) -> str:
    manager = stage.managers.get(name)
    return manager.partitions.objection if manager else ""


async def wish_everywhere(stage: Stage, watchers: dict[str, Watcher], name: str) -> None:
    before = len(await stage.addresses())
    for tenant, watcher in watchers.items():
        await watcher.say(f"{tenant}-{name}", a_wish(name))
    await stage.until(lambda: are_served(stage, before + len(watchers)))


async def are_served(stage: Stage, count: int) -> bool:
    return sum(bool(addresses) for addresses in (await stage.addresses()).values()) == count


async def test_partitions_spread_over_the_managers_and_come_back_when_one_ends(stage: Stage) -> None:
    node = stage.add_node()
    watchers = await share(stage, "manager-1")
    assert stage.held() == {"manager-1": (0, 1, 2)}
    stage.start("manager-2")
    await stage.until(lambda: sorted(len(held) for held in stage.held().values()) == [1, 2], 30)
    await wish_everywhere(stage, watchers, "web")
    before = await stage.addresses()
    assert len(set(before.values())) == 3
    await stage.end("manager-1")
    await stage.until(lambda: stage.held() == {"manager-2": (0, 1, 2)}, 30)
    await wish_everywhere(stage, watchers, "later")
    found = await stage.addresses()
    assert {uid: found[uid] for uid in before} == before
    assert len(set(found.values())) == 6
    await stage.until(lambda: len(node.serving) == 6)


async def test_two_managers_at_one_pool_give_no_address_twice_and_none_away_in_vain(stage: Stage) -> None:
    """Both choose out of the whole pool; it is just large enough."""
    stage.add_node()
    watchers = await share(stage, "manager-1", "manager-2", pool="192.0.2.0/28")
    for number in range(5):
        for tenant, watcher in watchers.items():
            await watcher.say(f"{tenant}-{number}", a_wish(f"web{number}"))
    await stage.until(lambda: are_served(stage, 15), 30)
    claims = await stage.claims()
    assert len({claim.spec.owner.service_uid for claim in claims.values()}) == 15
    assert not await stage.refusals()


async def test_an_address_passes_to_a_tenant_whose_manager_has_a_lower_generation(stage: Stage) -> None:
    node = stage.add_node()
    watchers = await share(stage, "manager-1", pool="192.0.2.0/32")
    manager = stage.managers["manager-1"]
    acme, globex = manager.partitions.of("acme"), manager.partitions.of("globex")
    acme.rise_above(acme.generation + 1000)
    await stage.until(lambda: acme.generation > globex.generation + 900)
    await watchers["acme"].say("a", a_wish())
    await stage.until_addresses({"a": ("192.0.2.0",)})
    await stage.until(lambda: node.serving)
    await watchers["acme"].say("a", None)
    await stage.until_addresses({})
    await watchers["globex"].say("g", a_wish())
    await stage.until_addresses({"g": ("192.0.2.0",)})
    await stage.until(lambda: [server.real_servers[0].address for server in node.serving.values()] == ["10.2.0.1"])
    assert globex.acting
    assert globex.generation > acme.generation


async def test_managers_that_were_told_different_numbers_do_not_act_beside_each_other(stage: Stage) -> None:
    stage.add_node()
    watchers = await share(stage, "manager-1", partitions=2)
    stage.partitions = 3
    stage.start("manager-2")
    await stage.until(lambda: "FLEETLB_PARTITIONS" in objection_of(stage, "manager-2"))
    await wish_everywhere(stage, watchers, "web")
    assert stage.held() == {"manager-1": (0, 1), "manager-2": ()}
    before = await stage.addresses()
    await stage.end("manager-1")
    await stage.until(lambda: stage.held() == {"manager-2": (0, 1, 2)}, 30)
    first = await stage.cluster.get(TYPED_LEASES, MANAGER_LEASE, SYSTEM_NAMESPACE)
    assert partitions_of(first) == 3
    await wish_everywhere(stage, watchers, "later")
    found = await stage.addresses()
    assert {uid: found[uid] for uid in before} == before


async def test_the_number_does_not_change_while_one_of_the_old_ones_acts(stage: Stage) -> None:
    """The newcomer gets the first Lease, and no other."""
    stage.add_node()
    await share(stage, "manager-1", "manager-2", partitions=3)
    await stage.until(lambda: all(stage.held().values()), 30)
    first = next(name for name, held in stage.held().items() if 0 in held)
    stage.partitions = 1
    stage.start("newcomer")
    await stage.until(lambda: "FLEETLB_PARTITIONS" in objection_of(stage, "newcomer"))
    stays = stage.held()
    await stage.end(first)
    other = next(name for name in stays if name not in (first, "newcomer"))
    newcomer = stage.managers["newcomer"].partitions
    await stage.until(lambda: newcomer.leases[0].is_valid() or 0 in stage.held()[other], 30)
    assert stage.held()["newcomer"] == ()
    assert set(stays[other]) <= set(stage.held()[other])


async def test_A5_an_address_that_becomes_free_goes_to_the_oldest_of_all_managers(stage: Stage) -> None:
    stage.add_node()
    watchers = await share(stage, "manager-1", "manager-2", pool="192.0.2.0/32")
    await stage.until(lambda: all(stage.held().values()), 30)
    of_first = held_tenants(stage, "manager-1")
    pairs = [(mine, other) for mine in of_first for other in set(TENANTS) - set(of_first)]
    for number, (older, younger) in enumerate((*pairs, *(pair[::-1] for pair in pairs))):
        holder, first, second = (f"{name}-{number}" for name in ("holder", "first", "second"))
        await watchers["acme"].say(holder, a_wish(holder))
        await stage.until_addresses({holder: ("192.0.2.0",)})
        await watchers[older].say(first, a_wish(first))
        await stage.until(partial(is_refused, stage, first))
        created = (await stage.load_balancers())[first].metadata.creation_timestamp
        await stage.until(partial(is_past, created))
        await watchers[younger].say(second, a_wish(second))
        await stage.until(partial(is_refused, stage, second))
        await watchers["acme"].say(holder, None)
        await stage.until_addresses({first: ("192.0.2.0",), second: ()})
        await watchers[older].say(first, None)
        await stage.until_addresses({second: ("192.0.2.0",)})
        await watchers[younger].say(second, None)
        await stage.until_addresses({})


def is_past(second: str | None) -> bool:
    return second is not None and timestamps.to_text(time.time()) > second


def held_tenants(stage: Stage, manager: str) -> list[str]:
    return [name for name in TENANTS if stage.managers[manager].partitions.of(name).acting]


async def is_refused(stage: Stage, uid: str) -> bool:
    return uid in await stage.refusals()
