"""Keeps a picture of each load balancer, and tells the feed where it is not what it was."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec
import structlog

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.runtime.tracing import microseconds
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Key
from fleetlb_status.ui.feed import Feed
from fleetlb_status.ui.pictures import Change, ServiceChanged, ServicePicture
from fleetlb_status.ui.picturing import change_of, service_of
from fleetlb_status.ui.views import View, narrowed

log = structlog.get_logger(__name__)

COLLECT_SECONDS = 0.05
"""Changes come in bursts, one per port and node; people want the outcome."""
AT_ONCE = 100
"""Load balancers that are looked at before others have their turn."""
RECENT = 50
"""Changes that a page that opens is told of."""
REMEMBERED = 500
"""Of all tenants together."""
HEARD = "hear"
"""The station at which this service has the news."""
SERVICE = "service"


class Painter:
    """O(ports x nodes) for each load balancer that changed; nothing at rest."""

    def __init__(self, judging: Judging, feed: Feed, now: Callable[[], int] = microseconds) -> None:
        """`now`: microseconds since 1970."""
        self._judging = judging
        self._feed = feed
        self._now = now
        self._pictures: dict[Key, ServicePicture] = {}
        self._changed: dict[Key, Journey] = {}
        self._news = asyncio.Event()
        self._told: dict[Key, Journey] = {}
        self._recent: deque[Change] = deque(maxlen=REMEMBERED)

    def note(self, key: Key) -> None:
        """A load balancer may have changed."""
        journey = self._judging.memory.journey(key)
        if not journey.hops or journey == self._told.get(key):
            self._changed.setdefault(key, NOT_TRAVELLED)
        else:
            self._told[key] = journey
            self._changed[key] = journey.then(HEARD, self._now())
        self._news.set()

    def begin(self) -> None:
        """All that is there is no news."""
        for key in tuple(self._judging.memory.load_balancers):
            self._told[key] = self._judging.memory.journey(key)
            try:
                self._pictures[key] = self._look(key)
            except Exception:
                log.exception("a load balancer cannot be shown", key=key)
        self._changed.clear()
        self._news.clear()

    async def run(self) -> NoReturn:
        """Tell what changes."""
        while True:
            await self._news.wait()
            await asyncio.sleep(COLLECT_SECONDS)
            self._news.clear()
            changed, self._changed = self._changed, {}
            for at, (key, journey) in enumerate(changed.items(), 1):
                self._try(key, journey)
                if at % AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _try(self, key: Key, journey: Journey) -> None:
        """Paint; one that cannot be painted costs nobody else a picture, and the service nothing."""
        try:
            self.paint(key, journey)
        except Exception:
            log.exception("a load balancer cannot be shown", key=key)

    def paint(self, key: Key, journey: Journey = NOT_TRAVELLED) -> None:
        """Look at one load balancer again. `journey`: how the news of it came."""
        before = self._pictures.get(key)
        after = self._look(key) if key in self._judging.memory.load_balancers else None
        if before == after:
            return
        if after is None:
            self._pictures.pop(key, None)
            self._told.pop(key, None)
        else:
            self._pictures[key] = after
        self._tell(key, before, after, journey)

    def _tell(self, key: Key, before: ServicePicture | None, after: ServicePicture | None, journey: Journey) -> None:
        change = change_of(before, after, journey, self._now())
        if change is not None:
            self._recent.append(change)
        seen = after or before
        tenant = seen.tenant if seen else ""
        full = ServiceChanged(tenant=tenant, uid=key[1], service=after, change=change)
        narrow = msgspec.structs.replace(full, service=narrowed(after) if after else None)
        self._feed.append(SERVICE, tenant, msgspec.json.encode(full), msgspec.json.encode(narrow))

    def _look(self, key: Key) -> ServicePicture:
        return service_of(self._judging.memory.load_balancers[key], self._judging.judge(key))

    def services(self, view: View) -> Iterator[ServicePicture]:
        """All that a view has."""
        return (view.service(each) for each in self._pictures.values() if view.has_service(each.tenant))

    def service(self, view: View, tenant: str, uid: str) -> ServicePicture | None:
        """One of them."""
        picture = self._pictures.get((f"tenant-{tenant}", uid)) if view.has_service(tenant) else None
        return view.service(picture) if picture else None

    def recent(self, view: View) -> tuple[Change, ...]:
        """The last changes that a view has, oldest first."""
        return tuple(each for each in self._recent if view.has_service(each.tenant))[-RECENT:]
