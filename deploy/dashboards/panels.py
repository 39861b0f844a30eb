"""Panels of a Grafana dashboard, as plain dicts (schema version 39). Knows nothing of what they show."""

from collections.abc import Iterable, Mapping
from typing import Any

Panel = dict[str, Any]
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
TEMPO = {"type": "tempo", "uid": "${tempo}"}
GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"


def query(expression: str, legend: str = "", *, exemplar: bool = False, instant: bool = False) -> dict[str, Any]:
    """One query of Prometheus. `exemplar`: with the traces of single changes, for ranges of a histogram."""
    asked: dict[str, Any] = {
        "datasource": PROMETHEUS,
        "expr": " ".join(expression.split()),
        "legendFormat": legend or "__auto",
        "range": not instant,
    }
    if instant:
        asked |= {"instant": True, "format": "table" if legend == TABLE else "time_series"}
    if exemplar:
        asked["exemplar"] = True
    return asked


TABLE = "__table"
"""The legend of an instant query whose labels are the columns of a table."""


def steps(*limits: tuple[float | None, str]) -> dict[str, Any]:
    """Thresholds: each colour holds from its limit on; the first has none."""
    return {"mode": "absolute", "steps": [{"color": color, "value": limit} for limit, color in limits]}


NEVER = steps((None, GREEN), (1, RED))
"""Anything above zero is wrong."""
PLAIN = steps((None, BLUE))


def words(said: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Text and colour in place of values."""
    options = {
        value: {"text": text, "color": color, "index": number}
        for number, (value, (text, color)) in enumerate(said.items())
    }
    return [{"type": "value", "options": options}]


def graph(
    title: str,
    description: str,
    queries: Iterable[dict[str, Any]],
    unit: str = "short",
    *,
    width: int = 8,
    stacked: bool = False,
    limits: dict[str, Any] | None = None,
    links: Iterable[dict[str, Any]] = (),
) -> Panel:
    """Lines over time. `limits`: thresholds, drawn as dashed lines."""
    custom: dict[str, Any] = {
        "fillOpacity": 30 if stacked else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
    }
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if limits:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, queries, unit, width, options)
    panel["fieldConfig"]["defaults"] |= {
        "custom": custom,
        "min": 0,
        "thresholds": limits or PLAIN,
        "links": list(links),
    }
    return panel


def number(
    title: str,
    description: str,
    expression: str,
    unit: str = "short",
    *,
    limits: dict[str, Any] = PLAIN,
    said: Mapping[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
) -> Panel:
    """One number now, coloured by its thresholds; `said` has words for some values."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }
    panel = _panel("stat", title, description, [query(expression, instant=True)], unit, 3, options, height=4)
    panel["fieldConfig"]["defaults"] |= {"thresholds": limits, "mappings": words(said or {}) if said else []}
    if decimals is not None:
        panel["fieldConfig"]["defaults"]["decimals"] = decimals
    return panel


def bars(title: str, description: str, asked: dict[str, Any], unit: str, limits: dict[str, Any]) -> Panel:
    """One bar for each series now, as a share of the whole."""
    options = {
        "displayMode": "lcd",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    panel = _panel("bargauge", title, description, [asked], unit, 8, options)
    panel["fieldConfig"]["defaults"] |= {"min": 0, "max": 1, "thresholds": limits}
    return panel


def heat(title: str, description: str, buckets: str, *, width: int = 12) -> Panel:
    """How many changes took how long, over time; each dot is one change, and leads to its trace."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(0,120,255,0.8)"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"unit": "s"},
    }
    asked = query(buckets, "{{le}}", exemplar=True) | {"format": "heatmap"}
    return _panel("heatmap", title, description, [asked], "s", width, options)


def table(
    title: str,
    description: str,
    expression: str,
    columns: Mapping[str, str],
    unit: str = "short",
    *,
    width: int = 12,
) -> Panel:
    """A line for each series now. `columns`: title by label, and by `Value`; all others are left out."""
    panel = _panel(
        "table", title, description, [query(expression, TABLE, instant=True)], unit, width, {"showHeader": True}
    )
    order = {name: place for place, name in enumerate(columns)}
    panel["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"indexByName": order, "renameByName": dict(columns)}},
    ]
    return panel


def found_traces(title: str, description: str, traceql: str, *, width: int = 12) -> Panel:
    """Traces that Tempo finds, each a link to itself."""
    asked = {"datasource": TEMPO, "queryType": "traceql", "query": traceql, "limit": 20, "tableType": "traces"}
    panel = _panel("table", title, description, [asked], "short", width, {"showHeader": True})
    return panel | {"datasource": TEMPO}


def one_trace(title: str, description: str, trace: str) -> Panel:
    """The spans of one trace."""
    asked = {"datasource": TEMPO, "queryType": "traceql", "query": trace}
    panel = _panel("traces", title, description, [asked], "short", 24, {}, height=14)
    return panel | {"datasource": TEMPO}


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Iterable[dict[str, Any]],
    unit: str,
    width: int,
    options: dict[str, Any],
    *,
    height: int = 8,
) -> Panel:
    targets = [{"refId": chr(ord("A") + place), **asked} for place, asked in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": PROMETHEUS,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": unit, "color": {"mode": "thresholds" if kind in _COLOURED else "palette-classic"}},
            "overrides": [],
        },
        "options": options,
        "targets": targets,
    }


_COLOURED = ("stat", "bargauge")
