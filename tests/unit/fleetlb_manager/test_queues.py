import asyncio

import pytest

from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_manager.identities import ClusterKey, Slot
from fleetlb_manager.marking import StatusKey
from fleetlb_manager.queues import Queues, Work
from fleetlb_manager.statuses import COALESCE_SECONDS
from tests.unit.fleetlb_manager.manager_world import a_key

SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))


async def _every_mark() -> list[str]:
    queues, seen = Queues(), []

    def noting(kind: str):  # type: ignore[no-untyped-def]
        async def work(key: object) -> None:
            seen.append(f"{kind} {key} {asyncio.get_running_loop().time():.1f}")

        return work

    queues.begin(Work(*(noting(kind) for kind in Work._fields)))
    tasks = [asyncio.get_running_loop().create_task(run()) for run in queues.runs().values()]
    queues.service(a_key())
    queues.slot(SLOT)
    queues.claim("192.0.2.1")
    queues.cluster(ClusterKey("acme", "cluster-1"))
    queues.account("acme")
    queues.tenancy()
    queues.pool("default")
    for _ in range(5):
        queues.status(StatusKey("pool", "default"))
    assert not queues.idle()
    await asyncio.sleep(COALESCE_SECONDS / 2)
    assert queues.idle()
    queues.status(StatusKey("pool", "default"))
    await asyncio.sleep(COALESCE_SECONDS * 2)
    for task in tasks:
        task.cancel()
    return seen


def test_every_mark_wakes_its_worker_and_statuses_wait_for_more() -> None:
    assert sorted(run_virtually(_every_mark())) == [
        "account acme 0.0",
        "claim 192.0.2.1 0.0",
        "cluster acme/cluster-1 0.0",
        "pool default 0.0",
        "service acme/cluster-1/u1 0.0",
        "slot default/192.0.2.1:443/tcp 0.0",
        f"status pool/default {COALESCE_SECONDS:.1f}",
        "tenancy all 0.0",
    ]


async def _an_account_looked_at_again() -> list[float]:
    queues, seen = Queues(), []

    async def nothing(key: object) -> None:
        return None

    async def look(key: object) -> float | None:
        seen.append(asyncio.get_running_loop().time())
        return 5.0 if len(seen) == 1 else None

    queues.begin(Work(*([nothing] * len(Work._fields)))._replace(account=look))
    task = asyncio.get_running_loop().create_task(queues.runs()["accounts"]())
    queues.account("acme")
    await asyncio.sleep(20)
    task.cancel()
    return seen


def test_an_account_is_looked_at_again_when_its_worker_asks_for_it() -> None:
    assert run_virtually(_an_account_looked_at_again()) == [0.0, 5.0]


async def test_a_flood_is_worked_off_although_every_service_fails() -> None:
    queues, seen = Queues(), set()

    async def fail(key: object) -> None:
        seen.add(key)
        raise ValueError("a bug")

    async def nothing(key: object) -> None:
        return None

    queues.begin(Work(fail, *([nothing] * (len(Work._fields) - 1))))
    task = asyncio.get_running_loop().create_task(queues.runs()["services"]())
    keys = {a_key(f"u{number}") for number in range(100)}
    for key in keys:
        queues.service(key)
    async with asyncio.timeout(5):
        while seen != keys:  # noqa: ASYNC110 - nothing tells of the last one
            await asyncio.sleep(0)
    task.cancel()


async def test_work_that_is_not_known_is_an_error_of_the_wiring() -> None:
    with pytest.raises(RuntimeError, match="work"):
        await Queues()._claim("192.0.2.1")
