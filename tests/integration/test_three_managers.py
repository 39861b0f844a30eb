"""Three managers that share a fleet under load: one is paused and wakes, and each is replaced in turn."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetlb.domain.services import TenantNode
from fleetlb.kube.leases import TYPED_LEASES
from fleetlb.kube.partition_leases import lease_name
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.testkit.nats_server import NatsServer
from tests.integration.manager_process import ManagerProcess, credentials_of
from tests.integration.manager_stage import CIDRS, Node, Stage, Watcher, a_wish

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAMES = ("manager-1", "manager-2", "manager-3")
PARTITIONS = 6
TENANTS = ("acme", "globex", "initech", "umbrella")
CIDRS.update({"initech": "10.3.0.0/16", "umbrella": "10.4.0.0/16"})
STAYING = 3
PAUSE_SECONDS = 60.0
"""Well beyond a Lease's 15 s: when it wakes, others have had its partitions for long."""


class Load:
    """Services that come and go all the time, beside some that stay and are watched without a break."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.watchers: dict[str, Watcher] = {}
        self.staying: set[str] = set()
        self.gaps: list[str] = []
        self.rounds = 0

    async def come_and_go(self) -> None:
        while True:
            for tenant, watcher in self.watchers.items():
                await watcher.say(f"{tenant}-passing", a_wish("passing", ports=(80,)))
            await asyncio.sleep(0.3)
            for tenant, watcher in self.watchers.items():
                await watcher.say(f"{tenant}-passing", None)
            await asyncio.sleep(0.2)
            self.rounds += 1

    async def look(self) -> None:
        while True:
            self.gaps += sorted(self.staying - self.node.serving.keys())
            await asyncio.sleep(0.01)

    async def go_on(self, stage: Stage) -> None:
        """Return when some more have come and gone, for every tenant."""
        for _ in range(2):
            seen = {tenant: self._turns(tenant) for tenant in self.watchers}
            await stage.until(lambda seen=seen: all(self._turns(tenant) > n for tenant, n in seen.items()), 60)  # type: ignore[misc]

    def _turns(self, tenant: str) -> int:
        return sum(wish.owner.tenant == tenant and wish.key.port == 80 for wish in self.node.seen)


@pytest.fixture
def managers(process_api: Path, nats: NatsServer, tmp_path: Path) -> Iterator[dict[str, ManagerProcess]]:
    more = {"FLEETLB_PARTITIONS": str(PARTITIONS)}
    made = {name: ManagerProcess(process_api, nats, tmp_path, **more, FLEETLB_IDENTITY=name) for name in NAMES}
    yield made
    for manager in made.values():
        if manager.child is not None and manager.child.poll() is None:
            manager.end()


@contextlib.asynccontextmanager
async def under_load(stage: Stage, nats: NatsServer, folder: Path) -> AsyncIterator[Load]:
    """Every tenant's Services, on real connections; two tasks go on until the block ends."""
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        hub = await JetStreamBus.connect(nats.url, tasks=tasks, creds=nats.hub_creds)
        stack.push_async_callback(hub.close)
        load = Load(Node(hub))
        running = [tasks.create_task(load.node.run())]
        stack.callback(lambda: [task.cancel() for task in running])
        for tenant in TENANTS:
            account, creds = await credentials_of(stage, tenant, folder)
            bus = await JetStreamBus.connect(nats.url, tasks=tasks, creds=creds, max_payload=256 * 1024)
            stack.push_async_callback(bus.close)
            load.watchers[tenant] = watcher = Watcher(bus, account, f"cluster-{tenant}")
            address = CIDRS[tenant].replace(".0.0/16", ".0.1")
            await watcher.say_nodes(TenantNode(name="node-a", addresses=(address,)))
            for number in range(STAYING):
                await watcher.say(f"{tenant}-{number}", a_wish(f"web{number}"))
        await stage.until(lambda: len(load.node.serving) == STAYING * len(TENANTS), 30)
        load.staying = set(load.node.serving)
        running += [tasks.create_task(load.come_and_go()), tasks.create_task(load.look())]
        yield load


async def holders(stage: Stage) -> dict[int, str]:
    """Partition to who holds its Lease."""
    leases = {lease.metadata.name: lease for lease in await stage.cluster.list(TYPED_LEASES)}
    found = {number: leases.get(lease_name(number)) for number in range(PARTITIONS)}
    return {number: (lease.spec.holder_identity if lease else "") or "" for number, lease in found.items()}


async def until_spread(stage: Stage) -> None:
    """Wait until each of the managers holds as many partitions as the others."""

    async def is_spread() -> bool:
        held = list((await holders(stage)).values())
        return all(held.count(name) == PARTITIONS // len(NAMES) for name in NAMES)

    await stage.until(is_spread, 60)


async def staying(stage: Stage) -> dict[str, tuple[str, ...]]:
    return {uid: addresses for uid, addresses in (await stage.addresses()).items() if not uid.endswith("-passing")}


async def begin(stage: Stage, nats: NatsServer, managers: dict[str, ManagerProcess]) -> None:
    nats.start()
    await stage.set_up(*TENANTS, pool="192.0.2.0/24")
    for manager in managers.values():
        manager.start()
        await stage.until(manager.is_listening)
    await until_spread(stage)


async def test_one_that_was_paused_and_wakes_changes_nothing(
    process_stage: Stage, nats: NatsServer, managers: dict[str, ManagerProcess], tmp_path: Path
) -> None:
    stage = process_stage
    await begin(stage, nats, managers)
    async with under_load(stage, nats, tmp_path) as load:
        before = await staying(stage)
        held = [number for number, name in (await holders(stage)).items() if name == "manager-2"]
        managers["manager-2"].send(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)  # how long it is away, which is what is tried
        others = await holders(stage)
        assert {others[number] for number in held} <= {"manager-1", "manager-3"}
        await load.go_on(stage)
        managers["manager-2"].send(signal.SIGCONT)
        await load.go_on(stage)
        await until_spread(stage)
        await load.go_on(stage)
        assert await staying(stage) == before
        assert not load.gaps
    claims = (await stage.claims()).values()
    assert len({claim.spec.address for claim in claims}) == len(claims)
    assert not any(b"Traceback" in manager.log.read_bytes() for manager in managers.values())


async def test_a_rolling_restart_moves_no_address_and_leaves_no_gap(
    process_stage: Stage, nats: NatsServer, managers: dict[str, ManagerProcess], tmp_path: Path
) -> None:
    stage = process_stage
    await begin(stage, nats, managers)
    async with under_load(stage, nats, tmp_path) as load:
        before = await staying(stage)
        for manager in managers.values():
            assert manager.end(signal.SIGTERM) == 0
            await load.go_on(stage)
            manager.start()
            await until_spread(stage)
        assert await staying(stage) == before
        assert not load.gaps
        assert load.rounds > len(NAMES)
    assert not any(b"Traceback" in manager.log.read_bytes() for manager in managers.values())
