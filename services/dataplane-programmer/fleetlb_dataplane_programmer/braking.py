"""Which unhealthy real servers of a virtual server lose their connections-to-come, and when that would be too many.

A pure state machine for one virtual server; it knows no clock. Members are its checked targets; each is *up*, or *down*
since a time. The state is a `Standing`: the members that are *out* (drained), and whether the *brake* is on. `step` is
told how many are up, which are down since when, and the time now. It needs no timer: nothing changes by time alone.

Policy OPEN:

* *kept* are the members that went down within the last `WINDOW_SECONDS` or, while the brake is on, all that are down
  and were not out when it engaged.
* The brake engages when more than half of the members that were up before are kept, that is when there are more kept
  than up; also when nothing is up. It is released when at least half of the set that serves is up again, that is when
  something is up and there are no more kept than up.
* Brake off: out are all that are down. Brake on: out are those down that are not kept, as before the failure, so the
  last set goes on with its weights; if there is nothing up and nothing kept, nobody is out.

Hence (tests: test_braking.py) what is up always serves; what is drained at once is never more than what remains; as
long as there are members, one serves; failures and recoveries within one window lead to the same end in any order;
once failures are spread out or over, exactly what is up serves.

Policy CLOSED: out are all that are down, even if that is everybody; there is no brake.

A member may be down for ever (`since` minus infinity): that was found when the process began and is no failure at
once. A restart therefore drains what its predecessor had drained bit by bit, but never everybody.
"""

from collections.abc import Mapping

import msgspec

from fleetlb.domain.virtual_servers import FailurePolicy
from fleetlb_dataplane_programmer.health import Target

WINDOW_SECONDS = 10.0
"""Failures that lie no further apart are one event."""


class Standing(msgspec.Struct, frozen=True):
    """The state of one virtual server."""

    out: frozenset[Target] = frozenset()
    brake: bool = False


def step(
    before: Standing, up: int, down: Mapping[Target, float], now: float, policy: FailurePolicy = FailurePolicy.OPEN
) -> Standing:
    """The next state. `up`: how many members are; `down`: since when the others are."""
    all_down = frozenset(down)
    if policy is FailurePolicy.CLOSED or not all_down:
        return Standing(all_down)
    if before.brake:
        kept = all_down - before.out
    else:
        kept = frozenset(target for target, since in down.items() if now - since < WINDOW_SECONDS)
    if up and len(kept) <= up:
        return Standing(all_down)
    return Standing(all_down - kept if up or kept else frozenset(), brake=True)
