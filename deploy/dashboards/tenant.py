"""The dashboard of one tenant, or of several: their Services, and their watchers."""

from typing import Any

from boards import Section, choice, dashboard, tempo, to_traces
from panels import BLUE, GREEN, NEVER, RED, YELLOW, Panel, graph, heat, number, query, steps, table

OF = 'tenant=~"$tenant"'
WATCHER = f'job="fleetlb-tenant-watcher", {OF}'
TOLD = "fleetlb_watcher_convergence_seconds"
TRACES = to_traces("Slow changes", '{resource.service.name="fleetlb-tenant-watcher" && trace:duration > 1s}')


def tenant() -> dict[str, Any]:
    """The document."""
    known = '{__name__=~"fleetlb_services|fleetlb_watcher_services"}'
    variables = [tempo(), choice("tenant", "Tenant", known)]
    sections = [_glance(), _services(), _speed(), _talk(), _watcher()]
    return dashboard("tenant", "How a tenant is served, and how its watchers are.", variables, sections)


def _glance() -> Section:
    soon = steps((None, RED), (864000, GREEN))
    share = steps((None, RED), (0.9, YELLOW), (0.99, GREEN))
    expire = f"(min(fleetlb_credentials_expire_timestamp_seconds{{{OF}}} > 0) - time()) or vector(+Inf)"
    mine = f'sum(fleetlb_services{{{OF}, state="ProbeAnswered"}}) / sum(fleetlb_services{{{OF}}})'
    return "At a glance", [
        number("Services", "As the hub knows them.", f"sum(fleetlb_services{{{OF}}})"),
        number("Serving", "Share of them that serves.", mine, "percentunit", limits=share, decimals=1),
        number("Waiting", "Services that the hub owes an answer, as watchers see it.",
               f"sum(fleetlb_watcher_waiting_services{{{OF}}})", limits=NEVER),
        number("Nodes", "Nodes of the tenant's clusters.", f"sum(fleetlb_watcher_nodes{{{OF}}})"),
        number("Watchers away", "Watchers that cannot be scraped.",
               f"count(up{{{WATCHER}}} == 0) or vector(0)", limits=NEVER),
        number("Connected to NATS", "Watchers whose connection stands.", f"sum(fleetlb_bus_connected{{{WATCHER}}})"),
        number("Credentials expire in", "Of the watcher whose credentials expire first.", expire, "s", limits=soon),
        number("Crowded Services", "With more pods than the hub is told of; nodes serve them instead.",
               f"sum(fleetlb_watcher_crowded_services{{{OF}}})"),
    ]  # fmt: skip


def _services() -> Section:
    columns = {"tenant": "Tenant", "state": "State", "Value": "Services"}
    return "Services", [
        graph("By state", "The reason of what is worst about each Service; ProbeAnswered: it serves.",
              [query(f"sum by (state) (fleetlb_services{{{OF}}})", "{{state}}")], stacked=True),
        table("What does not serve", "`fleetlb why svc` explains each of them.",
              f'sum by (tenant, state) (fleetlb_services{{{OF}, state!="ProbeAnswered"}})', columns, width=8),
        graph("Messages that nobody can read", "Parked by the manager, with the reason, in the stream FLEETLB_PARKED.",
              [query(f"sum by (tenant) (rate(fleetlb_parked_messages_total{{{OF}}}[$__rate_interval]))", "{{tenant}}")],
              "ops", limits=NEVER),
    ]  # fmt: skip


def _speed() -> Section:
    rate = f"rate({TOLD}_bucket{{{OF}}}[$__rate_interval])"
    return "How fast", [
        heat("Change to status", "From the sight of a change to the report that answers it; a dot is one change.",
             f"sum by (le) ({rate})"),
        _quantiles(f"sum by (le) ({rate})"),
    ]  # fmt: skip


def _quantiles(buckets: str) -> Panel:
    shares = {"0.5": "half of all", "0.9": "90 %", "0.99": "99 %"}
    asked = [
        query(f"histogram_quantile({share}, {buckets})", legend, exemplar=share == "0.99")
        for share, legend in shares.items()
    ]
    return graph(
        "Change to status, in shares", "Within which time so many changes were answered.", asked, "s",
        width=12, limits=steps((None, BLUE), (1, YELLOW)), links=[TRACES],
    )  # fmt: skip


def _talk() -> Section:
    def rates(title: str, description: str, metric: str, by: str) -> Panel:
        asked = query(f"sum by ({by}) (rate({metric}{{{OF}}}[$__rate_interval]))", f"{{{{{by}}}}}")
        return graph(title, description, [asked], "ops", width=6)

    return "What watchers and hub say to each other", [
        rates("Told to the hub", "Messages that the hub has stored, by kind.", "fleetlb_published_total", "kind"),
        rates("Told by the hub", "Reports heard, by what became of them.", "fleetlb_watcher_reports_total", "result"),
        rates("Everything again", "Times that all was published again, by reason.",
              "fleetlb_watcher_republished_total", "reason"),
        rates("Asked for everything again", "Requests for every report, by outcome.",
              "fleetlb_watcher_snapshots_total", "outcome"),
    ]  # fmt: skip


def _watcher() -> Section:
    return "Watchers", [
        graph("Patches", "Of the tenant's own Services: status, and finalizers.",
              [query(f"sum(rate(fleetlb_status_patches_total{{{OF}}}[$__rate_interval]))", "status"),
               query(f"sum by (change) (rate(fleetlb_watcher_finalizer_patches_total{{{OF}}}[$__rate_interval]))",
                     "finalizer {{change}}")], "ops"),
        graph("Events", "Told to the tenant on its Services, by outcome.",
              [query(f"sum by (outcome) (rate(fleetlb_watcher_events_total{{{OF}}}[$__rate_interval]))",
                     "{{outcome}}")], "ops"),
        graph("Requests to the tenant's API server", "By answer.",
              [query(f"sum by (code) (rate(rest_client_requests_total{{{WATCHER}}}[$__rate_interval]))", "{{code}}")],
              "reqps"),
        graph("Keys that wait", "For a worker, by queue.",
              [query(f"sum by (tenant, name) (workqueue_depth{{{WATCHER}}})", "{{tenant}} {{name}}")]),
        graph("Processor", "Of one core.",
              [query(f"rate(process_cpu_seconds_total{{{WATCHER}}}[$__rate_interval])", "{{tenant}} {{instance}}")],
              "percentunit"),
        graph("Memory", "Resident.",
              [query(f"process_resident_memory_bytes{{{WATCHER}}}", "{{tenant}} {{instance}}")], "bytes"),
    ]  # fmt: skip
