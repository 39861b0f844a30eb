"""The dashboard of the whole fleet: whether all is well, and who would know more."""

from typing import Any

from boards import Section, dashboard
from panels import BLUE, GREEN, GREY, NEVER, RED, YELLOW, bars, graph, number, query, steps, table

OURS = 'job=~"fleetlb-.+"'
SERVES = 'state="ProbeAnswered"'
CHANGES = "fleetlb_watcher_convergence_seconds"


def fleet() -> dict[str, Any]:
    """The document."""
    sections = [_glance(), _wrong(), _services(), _addresses(), _speed(), _work(), _processes()]
    return dashboard("fleet", "The whole fleet on one page: is all well, and how has it been?", [], sections)


def _glance() -> Section:
    share = steps((None, RED), (0.9, YELLOW), (0.99, GREEN))
    back = {"0": ("as it was", GREEN), "1": ("WENT BACK", RED)}
    return "At a glance", [
        number("Alerts", "Alerts of ours that fire now.",
               'count(ALERTS{alertname=~"Fleetlb.+", alertstate="firing"}) or vector(0)', limits=NEVER),
        number("Processes away", "Processes of ours that cannot be scraped.",
               f"count(up{{{OURS}}} == 0) or vector(0)", limits=NEVER),
        number("Broken promises", "What the audit finds: nothing, or a promise does not hold.",
               "sum(fleetlb_audit_findings)", limits=NEVER),
        number("Store of the hub", "One that went back in time waits for an operator; nothing is decided until then.",
               "max(fleetlb_store_went_back)", said=back),
        number("Services", "Services that want an address.", "sum(fleetlb_services)"),
        number("Serving", "Share of them that serves: every node has them, and a probe was answered.",
               f"sum(fleetlb_services{{{SERVES}}}) / sum(fleetlb_services)", "percentunit", limits=share, decimals=1),
        number("Free addresses", "Addresses that all pools together can still give out.",
               'sum(fleetlb_pool_addresses{state="free"})', limits=steps((None, RED), (1, GREEN))),
        number("Balancer nodes", "Balancer nodes that can be scraped.", 'sum(up{job="fleetlb-dataplane-programmer"})'),
    ]  # fmt: skip


def _wrong() -> Section:
    alerts = {"alertname": "Alert", "severity": "Severity", "job": "Process", "instance": "Instance",
              "tenant": "Tenant", "node": "Node", "pool": "Pool"}  # fmt: skip
    builds = {"service": "Process", "version": "Version", "Value": "Running"}
    return "What is wrong", [
        table("Alerts that fire", "Each has a page in docs/runbooks.",
              'ALERTS{alertname=~"Fleetlb.+", alertstate="firing"}', alerts),
        graph("Who acts", "1 for the replica that holds the Lease. Two at once, or nobody, is an alert.",
              [query("leader_election_master_status", "{{name}} {{instance}}")], width=6),
        table("Versions", "How many processes run which version.", "count by (service, version) (fleetlb_build_info)",
              builds, width=6),
    ]  # fmt: skip


def _services() -> Section:
    return "Services", [
        graph("By state", "The reason of what is worst about each Service; ProbeAnswered: it serves.",
              [query("sum by (state) (fleetlb_services)", "{{state}}")], width=6,
              stacked=True),
        graph("Not serving, by tenant", "The ten tenants with most Services that do not serve.",
              [query('topk(10, sum by (tenant) (fleetlb_services{state!="ProbeAnswered"}))', "{{tenant}}")],
              width=6),
        graph("Silent watchers", "Clusters whose watcher the hub has not heard for a minute, by tenant.",
              [query("max by (tenant) (fleetlb_audit_silent_watchers)", "{{tenant}}")], width=6, limits=NEVER),
        graph("Refusals", "Wishes that the manager refused, by reason.",
              [query("sum by (reason) (rate(fleetlb_refusals_total[$__rate_interval]))", "{{reason}}")], "ops",
              width=6),
    ]  # fmt: skip


def _addresses() -> Section:
    taken = (
        'sum by (pool, family) (fleetlb_pool_addresses{state!="free"}) / sum by (pool, family) (fleetlb_pool_addresses)'
    )
    return "Addresses", [
        bars("Pools", "Share of each pool that is in use or rests.", query(taken, "{{pool}} {{family}}", instant=True),
             "percentunit", steps((None, GREEN), (0.8, YELLOW), (0.9, RED))),
        graph("In use, by pool", "Addresses that Services have.",
              [query('sum by (pool, family) (fleetlb_pool_addresses{state="used"})', "{{pool}} {{family}}")]),
        graph("Claims", "Bound: in use. Releasing: nodes let go. Quarantined: rests before anybody else may have it.",
              [query("sum by (phase) (fleetlb_address_claims)", "{{phase}}")], stacked=True),
        graph("Moving", "Addresses on their way to another balancer group; `fleetlb why svc` says what each waits for.",
              [query("sum(fleetlb_addresses_moving)", "addresses")]),
    ]  # fmt: skip


def _speed() -> Section:
    slow = steps((None, BLUE), (1, YELLOW))
    told = f"sum by (le) (rate({CHANGES}_bucket[$__rate_interval]))"
    programmed = "sum by (le, node) (rate(fleetlb_network_programming_duration_seconds_bucket[$__rate_interval]))"
    return "How fast", [
        graph("Change to status", "From the sight of a change in a tenant's cluster to the report that answers it.",
              [query(f"histogram_quantile(0.5, {told})", "half of all", exemplar=True),
               query(f"histogram_quantile(0.99, {told})", "99 %")], "s", limits=slow),
        graph("Change to data plane", "The same to the data plane of each node. Compares the clocks of two machines.",
              [query(f"histogram_quantile(0.99, {programmed})", "{{node}} 99 %", exemplar=True)], "s", limits=slow),
        graph("Changes", "Changes whose answer was told, by tenant.",
              [query(f"sum by (tenant) (rate({CHANGES}_count[$__rate_interval]))", "{{tenant}}")], "ops", stacked=True),
    ]  # fmt: skip


def _work() -> Section:
    asked = "sum by (job, code) (rate(rest_client_requests_total[$__rate_interval]))"
    return "Work", [
        graph("Messages read", "From followed streams.",
              [query("sum by (job) (rate(fleetlb_bus_messages_total[$__rate_interval]))", "{{job}}")], "ops"),
        graph("Messages published", "Stored and duplicate are well; missing: no stream takes it; unknown: no answer.",
              [query("sum by (job, outcome) (rate(fleetlb_bus_publishes_total[$__rate_interval]))",
                     "{{job}} {{outcome}}")], "ops"),
        graph("Requests to API servers", "By process and answer.", [query(asked, "{{job}} {{code}}")], "reqps"),
        graph("Keys that wait", "Longer queues than workers keep up with.",
              [query("sum by (job, name) (workqueue_depth)", "{{job}} {{name}}")],
              limits=steps((None, BLUE), (100, YELLOW))),
        graph("Retries", "Keys queued again after a failure: something does not answer.",
              [query("sum by (job, name) (rate(workqueue_retries_total[$__rate_interval]))", "{{job}} {{name}}")],
              "ops"),
        graph("Bugs", "Keys in quarantine, and handlers that raised. Never of a tenant's making.",
              [query("sum by (job) (fleetlb_quarantined_keys)", "{{job}} keys in quarantine"),
               query("sum by (job) (increase(fleetlb_bus_handler_errors_total[$__rate_interval]))", "{{job}} raised")],
              limits=NEVER),
    ]  # fmt: skip


def _processes() -> Section:
    return "Processes", [
        graph("Processor", "Of one core.",
              [query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{job}} {{instance}}")],
              "percentunit"),
        graph("Memory", "Resident.",
              [query(f"process_resident_memory_bytes{{{OURS}}}", "{{job}} {{instance}}")], "bytes"),
        graph("Connected to NATS", "1 while the connection stands.",
              [query("min by (job) (fleetlb_bus_connected)", "{{job}}")], limits=steps((None, GREY), (1, GREEN))),
    ]  # fmt: skip
