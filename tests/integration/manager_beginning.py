"""How most tests of one manager begin."""

from tests.integration.manager_stage import Node, Stage, Watcher


async def begin(stage: Stage, pool: str = "192.0.2.0/28", quarantine: int = 0) -> tuple[Node, Watcher]:
    """One tenant, one node, one watcher whose cluster is known, and a manager at rest."""
    await stage.set_up("acme", pool=pool, quarantine=quarantine)
    node = stage.add_node()
    stage.start()
    await stage.acting()
    watcher = await stage.watcher()
    await stage.until(stage.clusters)
    await at_rest(stage)
    return node, watcher


async def at_rest(stage: Stage) -> None:
    """Nothing to do, statuses written too; the count of writes begins anew."""
    await stage.settled(quiet=1.3)
    stage.writes.clear()
