"""The dashboard of latency: each station of a change, and the traces of single changes."""

from typing import Any

from boards import Section, choice, dashboard, tempo, to_traces, typed
from panels import BLUE, RED, YELLOW, Panel, found_traces, graph, heat, one_trace, query, steps, table

TOLD = 'fleetlb_watcher_convergence_seconds{}{{tenant=~"$tenant"}}'
PROGRAMMED = 'fleetlb_network_programming_duration_seconds{}{{node=~"$node"}}'
GOAL_SECONDS = "1.0"
"""A bucket of both histograms, and what the alerts of slowness hold against."""
SLOW = '{resource.service.namespace="fleetlb" && trace:duration > 1s}'
TRACES = to_traces("Slow changes", SLOW)


def latency() -> dict[str, Any]:
    """The document."""
    variables = [
        tempo(),
        choice("tenant", "Tenant", "fleetlb_watcher_services"),
        choice("node", "Node", "fleetlb_virtual_servers"),
        typed("trace", "Trace id"),
    ]
    sections = [_whole(), _goal(), _stations(), _traces()]
    text = "How long changes take, where the time goes, and the traces of single ones."
    return dashboard("latency", text, variables, sections)


def _rate(histogram: str, part: str = "_bucket") -> str:
    return f"rate({histogram.format(part)}[$__rate_interval])"


def _shares(title: str, description: str, histogram: str) -> Panel:
    asked = [
        query(f"histogram_quantile({share}, sum by (le) ({_rate(histogram)}))", legend, exemplar=share == "0.99")
        for share, legend in (("0.5", "half of all"), ("0.9", "90 %"), ("0.99", "99 %"))
    ]
    limits = steps((None, BLUE), (float(GOAL_SECONDS), YELLOW))
    return graph(title, description, asked, "s", width=12, limits=limits, links=[TRACES])


def _whole() -> Section:
    return "The whole way", [
        heat("Change to status", "From the sight of a change in a tenant's cluster to the report that answers it.",
             f"sum by (le) ({_rate(TOLD)})"),
        _shares("Change to status, in shares", "A dot is one change; it leads to its trace.", TOLD),
        heat("Change to data plane", "To the data plane of each node. Compares the clocks of two machines.",
             f"sum by (le) ({_rate(PROGRAMMED)})"),
        _shares("Change to data plane, in shares", "A dot is one change; it leads to its trace.", PROGRAMMED),
    ]  # fmt: skip


def _goal() -> Section:
    def slower(histogram: str, by: str) -> str:
        fast = histogram.format("_bucket").replace("{", f'{{le="{GOAL_SECONDS}", ', 1)
        return f"1 - sum by ({by}) (rate({fast}[1h])) / sum by ({by}) (rate({histogram.format('_count')}[1h]))"

    limits = steps((None, BLUE), (0.01, YELLOW), (0.05, RED))
    return "Slower than a second", [
        graph("To the status, by tenant", "Share of the last hour's changes.",
              [query(slower(TOLD, "tenant"), "{{tenant}}")], "percentunit", width=12, limits=limits, links=[TRACES]),
        graph("To the data plane, by node", "Share of the last hour's changes.",
              [query(slower(PROGRAMMED, "node"), "{{node}}")], "percentunit", width=12, limits=limits, links=[TRACES]),
    ]  # fmt: skip


def _stations() -> Section:
    runs = "histogram_quantile(0.99, sum by (le, job, reconciler) (rate(fleetlb_reconcile_seconds_bucket[1h]))) > 0"
    columns = {"job": "Process", "reconciler": "Worker", "Value": "99 % within"}
    stored = "sum by (le, job) (rate(fleetlb_bus_publish_seconds_bucket[$__rate_interval]))"
    probes = "sum by (le, node) (rate(fleetlb_probe_seconds_bucket[$__rate_interval]))"
    mean = ("sum by (job, reconciler) (rate(fleetlb_reconcile_seconds_sum[$__rate_interval])) / "
            "sum by (job, reconciler) (rate(fleetlb_reconcile_seconds_count[$__rate_interval]))")  # fmt: skip
    return "Station by station", [
        table("Work on one key", "Within which time 99 % of the runs of the last hour ended.", runs, columns, "s"),
        graph("Work on one key, on average", "By process and worker.", [query(mean, "{{job}} {{reconciler}}")], "s",
              width=12),
        graph("NATS: publish to acknowledgement", "Within which time 99 % were stored.",
              [query(f"histogram_quantile(0.99, {stored})", "{{job}}")], "s"),
        graph("Probes through an address", "Within which time 99 % ended.",
              [query(f"histogram_quantile(0.99, {probes})", "{{node}}")], "s"),
        graph("Keys that wait", "Before a worker takes them.",
              [query("sum by (job, name) (workqueue_depth)", "{{job}} {{name}}")]),
    ]  # fmt: skip


def _traces() -> Section:
    return "Traces", [
        found_traces("Slow changes", "Traces of changes that took longer than a second; a click opens one.", SLOW),
        found_traces("Failed steps", "Traces in which a step failed.",
                     '{resource.service.namespace="fleetlb" && status=error}'),
        one_trace("One change", "Paste a trace id above: it stands at the end of a Service's conditions and Events.",
                  "${trace}"),
    ]  # fmt: skip
