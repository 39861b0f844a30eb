"""How many writes API servers have carried out, by their own counters, not ours."""

import re
from collections import Counter
from collections.abc import Iterable

from fleetlb.kube.cluster import Cluster

_LINE = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})


def parse_writes(text: str) -> Counter[str]:
    """Writes by `resource/subresource`, answered with success, from the text of /metrics."""
    writes: Counter[str] = Counter()
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        labels = dict(_LABEL.findall(found["labels"]))
        if labels.get("verb") in _WRITES and labels.get("code", "").startswith("2"):
            name = "/".join(part for part in (labels["resource"], labels.get("subresource", "")) if part)
            writes[name] += int(float(found["value"]))
    return writes


async def count_writes(clusters: Iterable[Cluster]) -> Counter[str]:
    """Writes carried out by several API servers since they began."""
    total: Counter[str] = Counter()
    for cluster in clusters:
        total += parse_writes((await cluster.raw("/metrics")).decode())
    return total
