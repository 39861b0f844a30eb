"""Plays one history to its end, with the fates that are told, and says what was broken on the way."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fleetlb.testkit.virtual_time import VirtualTimeLoop
from tests.simulation.chance import chance_by
from tests.simulation.effects import Effect, Fate
from tests.simulation.fleet import Fleet
from tests.simulation.histories import BASE, History, Stage, let_in, moved
from tests.simulation.outside import NETWORKS, Outside
from tests.simulation.picture import Picture
from tests.simulation.promises import Promises
from tests.simulation.resting import untruths
from tests.simulation.wandering import some_fate, wander

REPLICAS = ("manager", "manager-b")
STILL = tuple(history for history in BASE.values() if history is not moved)
"""Histories in which the pool stays with its group."""
PARTITIONS = 3
"""Of a fleet that is divided; each tenant is in another one."""
SAID_AGAIN = re.compile(r"^publish observed\.|^notify fleetlb\.v1\.reported\.|^push account |/leases/")


class Played(NamedTuple):
    """What came of a history."""

    effects: tuple[Effect, ...]
    """Those with a number."""
    digest: str
    met: tuple[str, ...]
    broken: tuple[str, ...]


def play(
    history: History, disks: Path, fates: Mapping[int, Fate], seed: int = 1, *, is_divided: bool = False
) -> Played:
    """From the first process to the last rest. `disks`: an empty folder. The same arguments give the same answer."""
    managers, partitions = (REPLICAS, PARTITIONS) if is_divided else (REPLICAS[:1], 1)
    with chance_by(seed), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_play(history, disks, fates.get, managers, partitions))


def play_at_random(seed: int, disks: Path) -> Played:
    """A history, fates and troubles that follow from a seed alone."""
    chance = random.Random(seed)
    with chance_by(seed), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        partitions = PARTITIONS if seed % 2 else 1
        return runner.run(_play(partial(wander, chance), disks, partial(some_fate, chance), REPLICAS, partitions))


async def _play(
    history: History,
    disks: Path,
    fate_of: Callable[[int], Fate | None],
    managers: tuple[str, ...],
    partitions: int,
) -> Played:
    loop = asyncio.get_running_loop()
    outside = Outside(disks, loop.time, has_spare=history not in STILL)
    outside.partitions = partitions
    outside.install()
    picture, effects = Picture(outside), outside.effects
    promises = Promises(picture)
    effects.after_each.append(promises.check)
    effects.fate_of = fate_of
    broken: list[str] = []
    async with Fleet(outside, managers) as fleet:
        try:
            await _tell(history, Stage(fleet, promises))
            broken += untruths(picture)
            broken += await _begin_anew(fleet)
        except AssertionError as problem:
            broken += [str(problem), *untruths(picture)]
    broken = [*promises.broken, *broken, *fleet.complaints]
    done = tuple(effect for effect in effects.done if effect.number)
    return Played(done, effects.digest, tuple(effects.met), tuple(broken))


async def _tell(history: History, stage: Stage) -> None:
    fleet = stage.fleet
    if history is not let_in:
        for tenant in NETWORKS:
            fleet.outside.let_in(tenant)
        await fleet.rest()
    fleet.outside.effects.is_counting = True
    await history(stage)
    await fleet.rest()
    fleet.outside.effects.is_counting = False


async def _begin_anew(fleet: Fleet) -> list[str]:
    """Every process ends and begins once more: nothing is left to do."""
    effects = fleet.outside.effects
    before = len(effects.done)
    fleet.restart_all()
    await fleet.rest()
    since = [effect for effect in effects.done[before:] if not effect.is_resting]
    # What a process knows it says again when it begins, to whoever may have missed it.
    # Who is cut from the hub for good, and begins anew, says so.
    cut = {f"watcher-{tenant}" for tenant in NETWORKS.keys() - Picture(fleet.outside).tenants.keys()}
    wrong = [effect for effect in since if not SAID_AGAIN.search(effect.what) and effect.who not in cut]
    return [f"V9: after a restart at rest {effect.who} does {effect.what}" for effect in wrong]
