"""How an API server was asked to write Services, by its own counters."""

import re
from collections import Counter

from fleetlb.kube.cluster import Cluster

_LINE = re.compile(
    r'^apiserver_request_total\{(?P<labels>[^}]*resource="services"[^}]*)\} (?P<value>\S+)$', re.MULTILINE
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


async def service_requests(cluster: Cluster) -> Counter[tuple[str, str]]:
    """Requests since the server began, by verb and subresource: `PATCH`, `status`."""
    found: Counter[tuple[str, str]] = Counter()
    for line in _LINE.finditer((await cluster.raw("/metrics")).decode()):
        labels = dict(_LABEL.findall(line["labels"]))
        found[labels["verb"], labels["subresource"]] += int(float(line["value"]))
    return found
