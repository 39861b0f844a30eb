"""Bugs that do no harm as long as nobody dies: each is found only by who is killed at the right moment."""

from tests.seeded_bugs.bugs import MANAGER, PROGRAMMER, WATCHER, Bug

KILLED_IN = "tests/simulation/test_fates.py::test_promises_are_kept_whoever_ends_after_whatever_effect"
"""With the name of a history."""
_SEED_GOES = "        await self._store.delete_secret(seed_name, self._system_namespace)\n"
_TENANT_GOES = "        await self._let_go(tenant)\n"

FOUND_BY_KILLING = (
    Bug(
        "a node says that it let go before it has written that down",
        f"{PROGRAMMER}/telling.py",
        "            if wanted.state is RealizedState.REMOVED and not await self._keep():\n",
        "            if False and not await self._keep():\n",
        (f"{KILLED_IN}[deleted]",),
    ),
    Bug(
        "a Tenant goes before all that was made for it",
        f"{MANAGER}/removing.py",
        _SEED_GOES + _TENANT_GOES,
        _TENANT_GOES + _SEED_GOES,
        (f"{KILLED_IN}[seen_off]",),
    ),
    Bug(
        "a watcher that begins takes who leaves for released",
        f"{WATCHER}/memory.py",
        "        record.is_released = stage is Stage.RELEASING and not inherited\n",
        "        record.is_released = stage is Stage.RELEASING\n",
        (f"{KILLED_IN}[deleted]",),
    ),
    Bug(
        "a watcher that begins overlooks who leaves",
        f"{WATCHER}/records.py",
        "    if view.is_marked(selection):\n",
        "    if view.is_marked(selection) and record is not None:\n",
        (f"{KILLED_IN}[deleted]",),
    ),
    Bug(
        "a claim without a load balancer is nobody's",
        f"{MANAGER}/granting.py",
        "grant=grant, claims=claims, around=around, preferred=preferred, lost=lost)",
        "grant=grant, claims=claims if known else (), around=around, preferred=preferred, lost=lost)",
        (f"{KILLED_IN}[edited]",),
    ),
)
