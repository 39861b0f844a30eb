from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleetlb.domain.partitions import partition_of
from fleetlb.domain.virtual_servers import parse_key
from fleetlb_manager.delegating import on_behalf_of_each
from fleetlb_manager.identities import AllowanceKey, Slot
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.on_behalf import OnBehalf
from fleetlb_manager.queues import Work
from fleetlb_manager.resuming import mark_everything
from tests.unit.fleetlb_manager.manager_world import Always, World, a_claim, a_key, a_tenant, a_world

SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))
FREE = Slot("default", parse_key("192.0.2.9:443/tcp"))


class Authorities:
    """Each tenant in a partition of its own."""

    def __init__(self) -> None:
        self.fleet = Always(1)
        self._of = {"acme": Always(2), "globex": Always(3)}

    def of(self, tenant: str) -> Always:
        return self._of[tenant]


def delegated(world: World, authorities: Authorities, seen: list[int]) -> Work:
    present = OnBehalf()

    async def look(key: Any) -> float | None:
        seen.append(present.generation)
        return None

    work = Work(look, look, look, look, look, look, look, look, look)
    return on_behalf_of_each(work, world.memory, authorities, stand_by=lambda _: None)


@pytest.mark.parametrize(
    ("kind", "key", "generation"),
    [
        ("service", a_key("u1"), 2),
        ("service", a_key("u1", "globex"), 3),
        ("slot", SLOT, 2),
        ("slot", FREE, 1),
        ("claim", "192.0.2.1", 2),
        ("claim", "192.0.2.9", 1),
        ("allowance", AllowanceKey("default", "globex"), 3),
        ("cluster", a_key("u1", "globex").cluster_key, 3),
        ("account", "globex", 3),
        ("status", StatusKey("tenant", "acme"), 2),
        ("status", StatusKey("pool", "acme"), 1),
        ("status", StatusKey("group", "acme"), 1),
        ("pool", "acme", 1),
    ],
)
async def test_each_key_is_worked_on_by_who_acts_for_it(kind: str, key: Any, generation: int) -> None:
    world, seen = a_world(), list[int]()
    world.folding.claim_set(a_claim())
    authorities = Authorities()
    run: Callable[[Any], Awaitable[float | None]] = getattr(delegated(world, authorities, seen), kind)
    await run(key)
    assert seen == [generation]


async def test_tenants_are_judged_together_by_everybody() -> None:
    seen: list[int] = []
    await delegated(a_world(), Authorities(), seen).tenancy("all")
    assert seen == [0]


def test_a_term_that_begins_looks_at_its_own_partition() -> None:
    world = a_world()
    world.folding.tenant_set(a_tenant("globex", "10.2.0.0/16"))
    for tenant in ("acme", "globex"):
        world.folding.claim_set(a_claim(f"192.0.2.{partition_of(tenant, 3)}", owner=a_key(f"of-{tenant}", tenant)))
    marks = world.marks
    marks.clear()
    mark_everything(world.memory, _typed(marks), is_of=lambda tenant: tenant == "globex", is_of_fleet=False)
    assert list(marks.services) == [a_key("of-globex", "globex")]
    assert list(marks.accounts) == ["globex"]
    assert list(marks.statuses) == [StatusKey("tenant", "globex")]
    assert not marks.pools
    marks.clear()
    mark_everything(world.memory, _typed(marks), is_of=lambda tenant: tenant == "acme", is_of_fleet=True)
    assert list(marks.services) == [a_key("of-acme")]
    assert list(marks.pools) == ["default"]
    assert StatusKey("group", "default") in marks.statuses


def _typed(marks: Marks) -> Marks:
    return marks
