"""The one verdict that report, object and metrics share, and the right to act on it."""

from collections.abc import Callable
from typing import NamedTuple

from fleetlb.contracts.objects import AnnouncedAddress, LoadBalancer
from fleetlb.domain.verdicts import Verdict
from fleetlb_status.announcements import Announcements
from fleetlb_status.memory import Key, Memory
from fleetlb_status.reporting import Realized, judge_load_balancer

Term = Callable[[], int | None]
"""The fencing generation while this replica may act, else None."""
Clock = Callable[[], float]
"""Seconds that never jump."""


class Judged(NamedTuple):
    """A verdict and what it was made from."""

    balancer: LoadBalancer
    verdict: Verdict
    nodes: tuple[str, ...]
    realized: Realized
    announced: tuple[AnnouncedAddress, ...] = ()


class Judging:
    """Verdicts from memory."""

    def __init__(self, memory: Memory, announcements: Announcements | None = None) -> None:
        """Nothing was published yet. `announcements`: None where no addresses are announced."""
        self.memory = memory
        self._announcements = announcements
        self.published: dict[Key, tuple[str, ...]] = {}
        """Addresses that tenants were told in this term: what the object shows may lag behind."""

    def judge(self, key: Key) -> Judged | None:
        """Judge a load balancer; None when there is none, or not enough is known yet."""
        balancer = self.memory.load_balancers.get(key)
        if balancer is None and self._announcements is not None:
            self._announcements.forget(key)
        if balancer is None or not self._can_judge(balancer):
            return None
        nodes, realized = self.memory.nodes(balancer.spec.group), self.memory.realized(key)
        verdict = judge_load_balancer(balancer, nodes, realized, self.published.get(key, ()))
        if self._announcements is None:
            return Judged(balancer, verdict, nodes, realized)
        verdict, announced = self._announcements.judged(key, balancer, verdict, realized)
        return Judged(balancer, verdict, nodes, realized, announced)

    def _can_judge(self, balancer: LoadBalancer) -> bool:
        is_followed = self._announcements is None or self._announcements.can_judge(balancer)
        return is_followed and self.memory.can_judge(balancer)


class Patience:
    """How long a verdict has been only that work is under way."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        """`seconds`: how long a better verdict is waited for."""
        self._seconds = seconds
        self._clock = clock
        self._since: dict[Key, float] = {}

    def left(self, key: Key, verdict: Verdict) -> float:
        """Seconds to wait for a better verdict; 0 when it is settled or has been waited for."""
        if verdict.is_settled:
            self._since.pop(key, None)
            return 0.0
        now = self._clock()
        return max(0.0, self._since.setdefault(key, now) + self._seconds - now)

    def exhaust(self, key: Key) -> None:
        """Wait no longer until the verdict has been settled once."""
        self._since[key] = float("-inf")

    def forget(self, key: Key) -> None:
        """The load balancer is gone."""
        self._since.pop(key, None)

    def clear(self) -> None:
        """Begin anew with every key."""
        self._since.clear()
