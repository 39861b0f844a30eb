import asyncio

from fleetlb_manager.on_behalf import OnBehalf, acting_for, under
from tests.unit.fleetlb_manager.manager_world import Always


async def test_a_run_carries_the_authority_of_its_key() -> None:
    present, seen = OnBehalf(), []
    authorities = {"acme": Always(5), "globex": Always(7)}

    async def work(tenant: str) -> float | None:
        await asyncio.sleep(0)
        seen.append((tenant, present.generation, present.acting))
        return 3.0

    run = acting_for(authorities.__getitem__, work)
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(_outcome(run, tenant)) for tenant in authorities]
    assert [task.result() for task in runs] == [3.0, 3.0]
    assert sorted(seen) == [("acme", 5, True), ("globex", 7, True)], "side by side"
    assert (present.generation, present.acting) == (0, False), "outside of a run there is none"


async def _outcome(run: object, tenant: str) -> float | None:
    return await run(tenant)  # type: ignore[operator, no-any-return]


async def test_what_others_act_for_is_not_worked_on() -> None:
    authority, seen = Always(), list[str]()
    authority.acting = False

    async def work(key: str) -> float | None:
        raise AssertionError(key)

    def aside(key: str) -> float | None:
        seen.append(key)
        return 2.0

    assert await acting_for(lambda _: authority, work, otherwise=aside)("web") == 2.0
    assert seen == ["web"]


def test_a_right_that_is_lost_in_the_middle_of_a_run_is_lost_there() -> None:
    authority, present = Always(), OnBehalf()
    with under(authority):
        assert present.acting
        authority.acting = False
        assert not present.acting
        present.rise_above(9)
    assert authority.generation == 10
    present.rise_above(20)
    assert authority.generation == 10
