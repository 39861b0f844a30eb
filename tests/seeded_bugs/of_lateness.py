"""Bugs of what a stopped manager may still bring about, once another one has let go of it."""

from tests.seeded_bugs.bugs import DOMAIN, MANAGER, OF_MANAGER, OF_PROGRAMMER, PROGRAMMER, RANDOM, UNIT, Bug

_BARS = f"{DOMAIN}/bars.py"
_ALLOWING = f"{MANAGER}/allowing.py"
_JUDGED = (f"{OF_PROGRAMMER}/test_judging.py",)
_TOLD = (f"{RANDOM}/test_late_publishes.py",)
_DECIDED = (f"{UNIT}/fleetlb/domain/test_bars.py",)

OF_LATENESS = (
    Bug(
        "a node begins what an earlier term asks for too late",
        f"{PROGRAMMER}/judging.py",
        "        if not is_served and self._is_late(entry):\n",
        "        if False:\n",
        (*_JUDGED, *_TOLD),
    ),
    Bug(
        "a bar takes away what a node serves",
        f"{PROGRAMMER}/judging.py",
        "        if not is_served and self._is_late(entry):\n",
        "        if self._is_late(entry):\n",
        _JUDGED,
    ),
    Bug(
        "a node that restarts forgets where a wish stood",
        f"{PROGRAMMER}/programming.py",
        "            sequence=entry.sequence,\n",
        "",
        _JUDGED,
    ),
    Bug(
        "something is purged before nodes know what is late",
        f"{MANAGER}/publishing.py",
        "            if claim is not None and await self._bar(",
        "            if False and await self._bar(",
        (f"{OF_MANAGER}/test_publishing.py", *_TOLD),
    ),
    Bug(
        "what came while a bar was said is purged unseen",
        f"{MANAGER}/publishing.py",
        "                return await self.reconcile(slot)  # something may have come meanwhile\n",
        "                pass\n",
        (f"{OF_MANAGER}/test_publishing.py",),
    ),
    Bug(
        "what nodes refuse as late is taken to stand",
        f"{MANAGER}/publishing.py",
        "        if is_late(bars, published.generation, published.sequence):\n",
        "        if False:\n",
        (f"{OF_MANAGER}/test_publishing.py", *_TOLD),
    ),
    Bug(
        "a wish is said under a generation that is late",
        f"{MANAGER}/publishing.py",
        "self._memory.claims.freed_generation, *(bar.generation for bar in bars))",
        "self._memory.claims.freed_generation)",
        (f"{OF_MANAGER}/test_publishing.py",),
    ),
    Bug(
        "nothing is late where nothing was said",
        _ALLOWING,
        "            return (Bar(self._authority.generation, 0),)\n",
        "            return ()\n",
        (f"{OF_MANAGER}/test_allowing.py", *_TOLD),
    ),
    Bug(
        "a bar is raised and what it makes late is not looked at",
        _ALLOWING,
        "        if known is None or known.bars != said.bars:\n",
        "        if False:\n",
        (f"{OF_MANAGER}/test_allowing.py",),
    ),
    Bug(
        "a manager vouches for what it has not read",
        f"{MANAGER}/virtual_server_tables.py",
        "        return self._read.get(group, 0)\n",
        "        return max((said.sequence for said in self._published.values()), default=0)\n",
        (f"{OF_MANAGER}/test_allowing.py",),
    ),
    Bug(
        "a new bar lets in what an older one kept out",
        _BARS,
        "    kept = [bar for bar in bars if bar.generation > generation or bar.through < through]\n",
        "    kept: list[Bar] = []\n",
        _DECIDED,
    ),
    Bug(
        "a stream that is made anew begins where others were",
        "libs/fleetlb/runtime/stream_config.py",
        '    first = {"first_seq": round(now * 1_000_000)} if spec.counts_on else {}\n',
        "    first: dict[str, Any] = {}\n",
        ("tests/contract/test_bus_contract.py",),
    ),
)
