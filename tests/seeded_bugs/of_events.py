"""Bugs of what integrations are told and may do."""

from tests.seeded_bugs.bugs import STATUS, UNIT, Bug
from tests.seeded_bugs.found_by_killing import KILLED_IN

_TELLING = (f"{UNIT}/fleetlb_status/test_telling.py",)
_WRITTEN = "        await self._records.write(key, record)\n        self._rests"

OF_EVENTS = (
    Bug(
        "events go out before anybody could know of them",
        f"{STATUS}/telling.py",
        _WRITTEN,
        "        self._rests",
        _TELLING,
    ),
    Bug(
        "what was half told when somebody ended is taken for told",
        f"{STATUS}/telling.py",
        "        if told is not None and told.on_its_way:\n",
        "        if False and told is not None:\n",
        _TELLING,
    ),
    Bug(
        "a second life of a Service has the ids of the first",
        f"{STATUS}/telling.py",
        "max(told.revision + 1 if told else 0, int(self._clock.wall() * 1_000_000))",
        "told.revision + 1 if told else 1",
        _TELLING,
    ),
    Bug(
        "what was deleted while nobody told is never told",
        f"{STATUS}/integrations.py",
        "{*self._judging.memory.load_balancers, *self._of_services.keys()}",
        "{*self._judging.memory.load_balancers}",
        _TELLING,
    ),
    Bug(
        "integrations go on believing in a Service that was deleted while nobody told",
        f"{STATUS}/integrations.py",
        "{*self._judging.memory.load_balancers, *self._of_services.keys()}",
        "{*self._judging.memory.load_balancers}",
        (f"{KILLED_IN}[deleted]",),
    ),
    Bug(
        "a replica that stands by tells",
        f"{STATUS}/telling.py",
        "        if generation is None or not self._records.is_complete:\n            return None\n",
        "        if not self._records.is_complete:\n            return None\n        generation = generation or 0\n",
        _TELLING,
    ),
    Bug(
        "who begins takes what was told for unknown",
        f"{STATUS}/telling.py",
        "        if generation is None or not self._records.is_complete:\n            return None\n",
        "        if generation is None:\n            return None\n",
        _TELLING,
    ),
    Bug(
        "a name breaks out of its header",
        "libs/fleetlb/contracts/cloud_events.py",
        'f"ce-{name}": quote(value, safe=_UNCHANGED)',
        'f"ce-{name}": value',
        (f"{UNIT}/fleetlb/contracts/test_cloud_events.py",),
    ),
    Bug(
        "an integration hears what others are answered",
        "libs/fleetlb/runtime/nats_permissions.py",
        '"_INBOX_integration.>"',
        '"_INBOX.>", "_INBOX_integration.>"',
        (f"{UNIT}/test_events_page.py", "tests/integration/test_isolation_integrations.py"),
    ),
    Bug(
        "a release that is late costs what was claimed since",
        f"{STATUS}/replica.py",
        "        if journey is None or self.memory.has(place):\n",
        "        if journey is None:\n",
        (f"{UNIT}/fleetlb_status/test_replica.py",),
    ),
)
