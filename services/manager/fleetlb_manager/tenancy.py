"""Keeps the judgement over all tenants up to date: who is served, what each is granted, and whom a change concerns."""

from fleetlb.domain.annotation_policy import AnnotationPolicy
from fleetlb_manager.doubting import Doubts
from fleetlb_manager.marking import Marks
from fleetlb_manager.memory import Memory
from fleetlb_manager.registering import NO_RULES, register


class Tenancy:
    """Judges all tenants together, whenever one of them changed."""

    def __init__(
        self, memory: Memory, marks: Marks, *, allow_loopback: bool, rules: AnnotationPolicy = NO_RULES
    ) -> None:
        """`allow_loopback`: for a fleet on one machine; `rules`: the fleet's, about annotations."""
        self._memory = memory
        self._marks = marks
        self._doubts = Doubts(memory, marks)
        self._allow_loopback = allow_loopback
        self._rules = rules

    async def reconcile(self, _: str) -> None:
        """Judge, and mark whatever depends on a judgement that changed."""
        before = self._memory.registrations
        now = register(self._memory.tenants.values(), allow_loopback=self._allow_loopback, rules=self._rules)
        self._memory.registrations = now
        changed = {name for name in now if before.get(name) != now[name]}
        for name in changed:
            self._marks.account(name)
        for name in changed.union(before.keys() - now.keys()):
            self._doubts.of_tenant(name)
        for key in sorted(self._memory.observations.services(), key=self._memory.lines.since):
            if key.tenant in changed:
                self._marks.service(key)
