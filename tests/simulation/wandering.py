"""Histories, fates and troubles by chance, all of it from one generator, so that a seed tells it again."""

import random
from collections.abc import Callable

from fleetlb.contracts.streams import TOLD_STREAM, events_stream
from fleetlb.testkit.fake_kube import Place
from tests.simulation.effects import Fate
from tests.simulation.histories import Stage, ports_of
from tests.simulation.outside import NETWORKS, SHOP, Outside
from tests.simulation.picture import Owned, Picture

EVENTS = events_stream().name
STEPS = 25
NAMES = ("one", "two", "three")
PORTS = (80, 443, 1443)
FATES = {Fate.KILLED: 0.02, Fate.UNANSWERED: 0.02}
LATE = 0.2
"""Share of what is told that comes late."""
LATE_SECONDS = 0.5
LOST_DISKS = 0.1
"""Share of troubles."""
PAUSES = (0.1, 1.0, 1.0, 5.0, 40.0)
"""Seconds until a process is started again."""


def some_fate(chance: random.Random, number: int) -> Fate | None:
    """What becomes of who has done something: mostly nothing."""
    drawn = chance.random()
    for fate, share in FATES.items():
        drawn -= share
        if drawn < 0:
            return fate
    return None


async def wander(chance: random.Random, stage: Stage) -> None:
    """People and troubles do this and that; in the end all troubles are over."""
    outside = stage.fleet.outside

    def lag() -> float:
        return chance.random() * LATE_SECONDS if chance.random() < LATE else 0.0

    outside.renames_replicas = chance.random() < 0.5
    for process in stage.fleet.processes.values():
        process.pause = lambda: chance.choice(PAUSES)
    outside.hub.lag = lag
    for kube in (outside.management, *outside.tenants.values()):
        kube.lag = lag
    for _ in range(STEPS):
        step = chance.choice((_make, _make, _delete, _edit, _ready, _retype, _move, _trouble))
        step(chance, stage)
        await stage.after(chance.choice((0.0, 0.05, 0.5, 2.0, 6.0)) * chance.random())
    outside.hub.lag = lambda: 0.0
    outside.hub.faults.clear()
    for kube in (outside.management, *outside.tenants.values()):
        kube.lag = lambda: 0.0


def _make(chance: random.Random, stage: Stage) -> None:
    tenant, name = chance.choice(list(NETWORKS)), chance.choice(NAMES)
    if Place("services", SHOP, name) not in stage.fleet.outside.tenants[tenant].objects:
        stage.fleet.outside.make(tenant, name, *chance.sample(PORTS, chance.randint(1, 2)))


def _delete(chance: random.Random, stage: Stage) -> None:
    if service := _some(chance, stage):
        stage.fleet.outside.delete(service.tenant, service.name)


def _edit(chance: random.Random, stage: Stage) -> None:
    if service := _some(chance, stage):
        ports = ports_of(*chance.sample(PORTS, chance.randint(1, 3)))
        stage.fleet.outside.edit(service.tenant, service.name, ports=ports)


def _ready(chance: random.Random, stage: Stage) -> None:
    if service := _some(chance, stage):
        stage.fleet.outside.ready(service.tenant, service.name, is_ready=chance.random() < 0.5)


def _retype(chance: random.Random, stage: Stage) -> None:
    if service := _some(chance, stage):
        other = "ClusterIP" if service.is_wanted else "LoadBalancer"
        stage.retype(service.tenant, service.name, other)


def _move(chance: random.Random, stage: Stage) -> None:
    stage.fleet.outside.move_pool(chance.choice(list(stage.fleet.outside.groups)))


def _trouble(chance: random.Random, stage: Stage) -> None:
    if chance.random() < LOST_DISKS:
        _disk_lost(chance, stage)
    else:
        chance.choice(TROUBLES)(chance, stage.fleet.outside)


def _some(chance: random.Random, stage: Stage) -> Owned | None:
    services = list(Picture(stage.fleet.outside).services)
    return chance.choice(services) if services else None


def _disk_lost(chance: random.Random, stage: Stage) -> None:
    """A node comes back without its disk."""
    name = chance.choice(list(stage.fleet.outside.group_of))
    stage.fleet.processes[name].life.end()
    for file in (stage.fleet.outside.disks / name).iterdir():
        file.unlink()


def _stream_gone(chance: random.Random, outside: Outside) -> None:
    name = chance.choice(sorted(outside.hub.streams))
    # What was told goes with what was told of it: without that alone, nobody could know of what is gone since.
    for gone in (name, EVENTS) if name == TOLD_STREAM.name else (name,):
        if gone in outside.hub.streams:
            outside.hub.delete_stream(gone)


def _reconnect(chance: random.Random, outside: Outside) -> None:
    """Somebody's connection breaks; what was said to it meanwhile is lost."""
    chance.choice(outside.hub.buses).dial_anew("trouble")


def _publishes_lost(chance: random.Random, outside: Outside) -> None:
    outside.hub.lose_publishes(chance.randint(1, 3))


def _acks_lost(chance: random.Random, outside: Outside) -> None:
    outside.hub.lose_acks(chance.randint(1, 3))


def _said_twice(chance: random.Random, outside: Outside) -> None:
    outside.hub.duplicate_notifications(chance.randint(1, 3))


def _followers_begin_anew(chance: random.Random, outside: Outside) -> None:
    outside.hub.restart_followers()


def _compacted(chance: random.Random, outside: Outside) -> None:
    chance.choice([outside.management, *outside.tenants.values()]).compact()


TROUBLES: tuple[Callable[[random.Random, Outside], None], ...] = (
    _stream_gone,
    _reconnect,
    _publishes_lost,
    _acks_lost,
    _said_twice,
    _followers_begin_anew,
    _compacted,
)
