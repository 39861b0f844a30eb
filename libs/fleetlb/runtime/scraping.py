"""The page of `/metrics`: OpenMetrics, which has exemplars, for whoever accepts it, otherwise the plain text format.

Values are gathered on the event loop, at one moment and before anything changes them. Spelling them takes several times
as long and is done on a thread, so that a long page holds up nobody.
"""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


class _Gathered(Collector):
    """What a registry held at one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def scrape(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page and its content type, for an `Accept` header."""
    spell, content_type = choose_encoder(accept)
    return await asyncio.to_thread(spell, _Gathered(registry.collect())), content_type
