"""What a node counts of its wishes, and how long they take, in the default registry: names after kube-proxy's.

Two clocks are compared, that of the watcher which saw a change and this node's own.
"""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from fleetlb.contracts.journeys import Journey
from fleetlb.domain.traces import trace_id
from fleetlb_dataplane_programmer.engine import Outcome, State

WISHES = Counter("fleetlb_desired_messages_total", "Wishes read from the bus, by what they led to.", ["led_to"])
STANDING = Gauge("fleetlb_virtual_servers", "Virtual servers that this node is to serve.")
PROGRAMMING_SECONDS = Histogram(
    "fleetlb_network_programming_duration_seconds",
    "From the sight of a change in the tenant cluster to the data plane of this node that has it.",
    unit="seconds",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 120.0),
)
ASKED = Gauge(
    "fleetlb_sync_last_queued_timestamp_seconds", "When the data plane was last asked for a change.", unit="seconds"
)
ANSWERED = Gauge("fleetlb_sync_last_timestamp_seconds", "When the data plane last answered to one.", unit="seconds")


class Stopwatch:
    """Notes when the data plane is asked and when it answers."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        """`now_us`: microseconds since 1970."""
        self._now_us = now_us
        self._began_us = now_us()

    def asked(self) -> None:
        """The data plane is asked for a change."""
        ASKED.set(self._now_us() / 1e6)

    def answered(self, outcome: Outcome, before: Journey, after: Journey) -> None:
        """It has answered, and with that the journey of what is asked for may have reached a station.

        Changes from before this process began are not timed: what they waited for is no measure of a data plane.
        """
        ANSWERED.set(self._now_us() / 1e6)
        if outcome.state is not State.PROGRAMMED or after is before or not after.hops:
            return
        first, last = after.hops[0], after.hops[-1]
        if first.name == "watch" and last.name == "acknowledge" and first.at >= self._began_us:
            exemplar = {"trace_id": trace_id(after.trace)} if after.trace else None
            PROGRAMMING_SECONDS.observe(max(0.0, (last.at - first.at) / 1e6), exemplar)
