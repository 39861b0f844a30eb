"""The committed dashboards, read back: their panels, what these ask for, and how Grafana would ask it."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.stage.prometheus import Prometheus

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "dashboards"
Json = dict[str, Any]
NOT_OURS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
"""Names of metrics that Prometheus and prometheus-client give."""
CHOSEN = {"tenant": "(acme|globex)", "group": "(default)", "node": "(node-1)"}
INTERVAL = "10s"
"""What Grafana would take for `$__rate_interval`: some scrapes."""
QUIET = {
    "fleet / Alerts that fire": "no alert fires",
    "fleet / annotation Alert": "no alert fires",
    "tenant / annotation Alert": "no alert fires",
    "node / annotation Alert": "no alert fires",
    "latency / annotation Alert": "no alert fires",
    "fleet / annotation Process started": "all were there before Prometheus",
    "tenant / annotation Process started": "all were there before Prometheus",
    "node / annotation Process started": "all were there before Prometheus",
    "latency / annotation Process started": "all were there before Prometheus",
    "tenant / Messages that nobody can read": "watchers send what can be read",
    "tenant / Everything again": "no stream was lost",
}
"""Panels without a line while a fleet is well, and why; a slow machine can make one show something."""
OF_IPVS = {
    "node / Mended": "of IPVS alone",
    "node / Written": "of IPVS alone",
    "node / Refused packets": "of IPVS alone",
    "node / VIPs announced": "nodes that announce have IPVS",
    "node / Sessions with routers": "nodes that announce have IPVS",
    "node / Routes told": "nodes that announce have IPVS",
    "node / On the link": "nodes that announce have IPVS",
    "node / Calls to other nodes' VIPs": "nodes that announce have IPVS",
    "node / Answered by a second one": "nodes that announce have IPVS",
}
"""Panels that never have a line where the node runs Envoy, and why."""
EMPTY = QUIET | OF_IPVS
_PARTS = re.compile("_(bucket|sum|count)$")
_SELECTED = re.compile(r"\{[^{}]*\}")
_WORDS = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LISTS = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')


class Asked(NamedTuple):
    """One query of one panel."""

    board: str
    panel: str
    expression: str
    exemplar: bool

    @property
    def name(self) -> str:
        """By which people find the panel."""
        return f"{self.board} / {self.panel}"


def boards() -> dict[str, Json]:
    """Each document by its file's name."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))}


def panels(board: Json) -> Iterator[Json]:
    """Those that show something."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def asked_of_prometheus() -> list[Asked]:
    """Every query, annotations too."""
    return [asked for name, board in boards().items() for asked in _asked(name, board)]


def _asked(name: str, board: Json) -> Iterator[Asked]:
    for panel in panels(board):
        for target in panel["targets"]:
            if target["datasource"]["type"] == "prometheus":
                yield Asked(name, panel["title"], target["expr"], target.get("exemplar", False))
    for note in board["annotations"]["list"]:
        yield Asked(name, f"annotation {note['name']}", note["expr"], False)


def variables(board: Json) -> dict[str, tuple[str, str]]:
    """Of each that is asked of Prometheus: the series that it looks at, and whose label's values it takes."""
    queries = {each["name"]: each["definition"] for each in board["templating"]["list"] if each["type"] == "query"}
    found = {}
    for name, text in queries.items():
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
        assert match, text
        found[name] = (match[1], match[2])
    return found


def filled(expression: str, chosen: Mapping[str, str], interval: str) -> str:
    """As Grafana asks it: with values in place of variables."""
    for name, text in {**chosen, "__rate_interval": interval, "__interval": interval}.items():
        expression = expression.replace(f"${name}", text)
    return expression


async def shows(prometheus: Prometheus, asked: Asked) -> bool:
    """Whether a query has a number to show in the last minute. Raises PrometheusError."""
    now = time.time()
    expression = filled(asked.expression, CHOSEN, INTERVAL)
    found = await prometheus.ask("query_range", query=expression, start=str(now - 60), end=str(now), step="1")
    numbers = [float(text) for series in found["result"] for _, text in series["values"]]
    return any(not math.isnan(number) for number in numbers)


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics, without what a histogram's series add to its name."""
    named = {text for text in re.findall(r'__name__=~?"([^"]*)"', expression)}
    bare = _LISTS.sub(" ", _SELECTED.sub(" ", expression))
    words = [word for word in _WORDS.findall(_TEXTS.sub(" ", bare)) if word not in _LANGUAGE]
    return {_PARTS.sub("", word) for word in [*words, *(w for text in named for w in _WORDS.findall(text))]}


_LANGUAGE = {
    "sum", "min", "max", "count", "topk", "rate", "increase", "histogram_quantile", "vector", "clamp_min", "time",
    "changes", "absent", "min_over_time", "or", "and", "unless", "on", "by", "offset", "Inf", "inf", "s", "m", "h",
    "__rate_interval",
}  # fmt: skip
