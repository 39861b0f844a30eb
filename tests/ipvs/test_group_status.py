"""What the status service makes of a group of three nodes on layer 2: who answers, that it moves, that it ends.

As in `test_group`, nothing here measures time.
"""

import asyncio
import time

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.load_balancers import SERVICE, a_group, a_load_balancer, a_word
from fleetlb_status.following import Following
from fleetlb_status.judging import Judged, Judging
from fleetlb_status.memory import Memory
from tests.stage.balancer_group import NODES, POOL, PORT, Running, vip
from tests.stage.programmer_process import GROUP

pytestmark = pytest.mark.timeout(240)
SECONDS = 60.0
VIP = vip(1)
LINK = AddressPool(
    metadata=ObjectMeta(name="link"),
    spec=AddressPoolSpec(addresses=(POOL["v4"],), announcement=Announcement.LAYER2),
)


class Onlooker:
    """The part of the status service that judges the VIP's load balancer, which serves but for its announcement."""

    def __init__(self, group: Running, tasks: asyncio.TaskGroup) -> None:
        self._tasks: list[asyncio.Task[object]] = []
        memory = Memory(lambda _: None)
        following = Following(
            memory,
            group.bus,
            on_change=lambda _: None,
            spawn=lambda work, name: self._tasks.append(tasks.create_task(work, name=name)),
            clock=time.monotonic,
        )
        nodes = a_group(*NODES, name=GROUP)
        nodes = msgspec.structs.replace(nodes, spec=msgspec.structs.replace(nodes.spec, engine=EngineName.IPVS))
        memory.set_group(nodes)
        memory.complete_group(GROUP)
        memory.set_load_balancer(a_load_balancer(addresses=(VIP,), ports=(PORT,), pool="link"))
        for node in NODES:
            memory.fold_realized(a_word(f"{VIP}:{PORT}/tcp", node=node))
        following.announcements.set_group(nodes)
        following.set_pool(LINK)
        self._judging = Judging(memory, following.announcements)

    def judged(self) -> Judged | None:
        return self._judging.judge(("tenant-acme", SERVICE))

    def reason(self) -> str:
        judged = self.judged()
        return judged.verdict.serving.reason if judged else ""

    def names(self) -> list[str]:
        """Who is shown."""
        judged = self.judged()
        return [node for each in (judged.announced if judged else ()) for node in each.nodes]

    def reached_from(self) -> tuple[str, ...]:
        """Which other nodes reach it."""
        judged = self.judged()
        return tuple(node for each in (judged.announced if judged else ()) for node in each.reached_from)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


async def test_it_serves_while_a_node_answers_and_the_object_names_that_node(group: Running) -> None:
    async with asyncio.TaskGroup() as tasks:
        onlooker = Onlooker(group, tasks)
        await eventually(lambda: onlooker.names() == group.owners(VIP) != [], SECONDS)
        assert onlooker.reason() == Reason.SERVING
        [owner] = onlooker.names()
        group.programmers[owner].kill()
        await eventually(lambda: len(onlooker.names()) == 1 and onlooker.names() != [owner], SECONDS)
        assert onlooker.reason() == Reason.SERVING
        for programmer in group.programmers.values():
            programmer.kill()
        await eventually(lambda: onlooker.reason() == Reason.NOT_ANNOUNCED, SECONDS)
        judged = onlooker.judged()
        assert judged is not None
        assert f"{VIP} is carried by {', '.join(NODES)}: a node that cannot renew" in judged.verdict.serving.message
        group.programmers[owner].start()
        await eventually(lambda: (onlooker.reason(), onlooker.names()) == (Reason.SERVING, [owner]), SECONDS)
        onlooker.stop()
