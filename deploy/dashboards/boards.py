"""A dashboard around its panels: places, ids, variables, links to the others. Knows nothing of what they show."""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from panels import PROMETHEUS, Panel

SCHEMA_VERSION = 39
COLUMNS = 24
TAG = "fleetlb"
Section = tuple[str, list[Panel]]
"""A row's title and what stands below it."""


def dashboard(
    name: str, description: str, variables: Iterable[dict[str, Any]], sections: Iterable[Section]
) -> dict[str, Any]:
    """The whole document; its uid is `fleetlb-NAME`, for links that last."""
    return {
        "uid": f"fleetlb-{name}",
        "title": f"fleetlb / {name.capitalize()}",
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "fleetlb",
                "tags": [TAG],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": [_STARTS, _ALERTS]},
        "templating": {"list": [_source("datasource", "Metrics", "prometheus"), *variables]},
        "panels": placed(sections),
    }


def placed(sections: Iterable[Section]) -> list[Panel]:
    """From left to right and from top to bottom, numbered in that order, a row above each section."""
    found: list[Panel] = []
    top = 0
    for title, panels in sections:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        found.append(
            {"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        top, left, tallest = top + 1, 0, 0
        for panel in panels:
            size = panel["gridPos"]
            if left + size["w"] > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            found.append({"id": len(found) + 1, **panel, "gridPos": {"x": left, "y": top, **size}})
            left, tallest = left + size["w"], max(tallest, size["h"])
        top += tallest
    return found


def choice(name: str, label: str, expression: str) -> dict[str, Any]:
    """A variable whose values are those that a label has, in series; several may be chosen, and all are at first."""
    asked = f"label_values({expression}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": asked, "refId": name},
        "definition": asked,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
        "refresh": 2,
        "sort": 1,
    }


def tempo() -> dict[str, Any]:
    """The variable that says where traces are."""
    return _source("tempo", "Traces", "tempo")


def typed(name: str, label: str) -> dict[str, Any]:
    """A variable that somebody types or pastes."""
    return {"name": name, "label": label, "type": "textbox", "query": "", "current": {"text": "", "value": ""}}


def to_traces(title: str, traceql: str) -> dict[str, Any]:
    """A link from a line of a graph to the traces that a search finds, at the same time."""
    asked = {"refId": "A", "queryType": "traceql", "query": traceql, "limit": 20, "tableType": "traces"}
    pane = {"datasource": "${tempo}", "queries": [asked], "range": {"from": "${__from}", "to": "${__to}"}}
    text = json.dumps({"fleetlb": pane}, separators=(",", ":"))
    panes = re.sub(r"%24%7B(\w+)%7D", r"${\1}", quote(text, safe=""))  # Grafana must see its variables
    return {"title": title, "targetBlank": True, "url": f"/explore?schemaVersion=1&panes={panes}"}


def _source(name: str, label: str, kind: str) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "datasource", "query": kind, "current": {}, "refresh": 1}


def _note(name: str, color: str, expression: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": color,
        "expr": expression,
        "step": "60s",
        "titleFormat": name,
        "textFormat": text,
    }


_STARTS = _note(
    "Process started",
    "blue",
    'changes(process_start_time_seconds{job=~"fleetlb-.+"}[1m]) > 0',
    "{{job}} {{instance}}",
)
_ALERTS = _note(
    "Alert",
    "red",
    'ALERTS{alertname=~"Fleetlb.+", alertstate="firing"}',
    "{{alertname}} {{job}} {{tenant}} {{node}} {{pool}}",
)
