"""The dashboard of balancer nodes: what each carries, whether its data plane follows, what it mends."""

from typing import Any

from boards import Section, choice, dashboard, tempo, to_traces
from panels import BLUE, GREEN, NEVER, RED, YELLOW, Panel, graph, heat, number, query, steps

JOB = 'job="fleetlb-dataplane-programmer"'
OF = f'{JOB}, group=~"$group", node=~"$node"'
PROGRAMMED = "fleetlb_network_programming_duration_seconds"
TRACES = to_traces("Slow changes", '{resource.service.name="fleetlb-dataplane-programmer" && trace:duration > 1s}')


def node() -> dict[str, Any]:
    """The document."""
    up = f"up{{{JOB}}}"
    within = f'up{{{JOB}, group=~"$group"}}'
    variables = [tempo(), choice("group", "Group", up), choice("node", "Node", within)]
    sections = [_glance(), _carried(), _speed(), _backends(), _announcing(), _envoy(), _ipvs(), _process()]
    return dashboard("node", "What balancer nodes carry, and how they follow the hub.", variables, sections)


def _glance() -> Section:
    owed = f"max(fleetlb_sync_last_queued_timestamp_seconds{{{OF}}} - fleetlb_sync_last_timestamp_seconds{{{OF}}})"
    apart = f"max(max by (group) (fleetlb_virtual_servers{{{OF}}}) - min by (group) (fleetlb_virtual_servers{{{OF}}}))"
    return "At a glance", [
        number("Nodes away", "Programmers that cannot be scraped; what they serve is served on.",
               f"count(up{{{OF}}} == 0) or vector(0)", limits=NEVER),
        number("Connected to NATS", "Nodes whose connection stands.", f"sum(fleetlb_bus_connected{{{OF}}})"),
        number("Virtual servers", "Of the node that has most.", f"max(fleetlb_virtual_servers{{{OF}}})"),
        number("Nodes differ by", "Virtual servers that a node of a group has, and another one of it has not.",
               apart, limits=NEVER),
        number("Data plane owes", "How long a data plane was asked after it last answered; 0 or less: it has answered.",
               f"clamp_min({owed}, 0)", "s", limits=steps((None, GREEN), (5, RED))),
        number("Unhealthy real servers", "Addresses and ports that fail their checks.",
               f"sum(fleetlb_real_servers_unhealthy{{{OF}}})", limits=steps((None, GREEN), (1, YELLOW))),
        number("Brakes on", "Virtual servers that keep unhealthy real servers, for too many failed at once.",
               f"sum(fleetlb_virtual_servers_braked{{{OF}}})", limits=NEVER),
        number("Not on disk", "Changed keys that the state file does not have yet.",
               f"sum(fleetlb_state_file_unsaved_keys{{{OF}}})", limits=steps((None, GREEN), (1000, YELLOW))),
    ]  # fmt: skip


def _carried() -> Section:
    wishes = f"sum by (led_to) (rate(fleetlb_desired_messages_total{{{OF}}}[$__rate_interval]))"
    allowances = f"sum by (node) (increase(fleetlb_allowances_unbelieved_total{{{OF}}}[$__rate_interval]))"
    instructions = f"sum by (node) (increase(fleetlb_instructions_unbelieved_total{{{OF}}}[$__rate_interval]))"
    return "What is carried", [
        graph("Virtual servers, by node", "Of each node; those of a group are the same.",
              [query(f"fleetlb_virtual_servers{{{OF}}}", "{{node}}")]),
        graph("Wishes", "Read from the bus, by what they led to.", [query(wishes, "{{led_to}}")], "ops"),
        graph("Not believed", "What tenants may have, and what the group is told: not to be read, or not signed.",
              [query(allowances, "{{node}} allowances"), query(instructions, "{{node}} instructions")], limits=NEVER),
    ]  # fmt: skip


def _speed() -> Section:
    rate = f"rate({PROGRAMMED}_bucket{{{OF}}}[$__rate_interval])"
    probes = f"rate(fleetlb_probe_seconds_bucket{{{OF}}}[$__rate_interval])"
    return "How fast", [
        heat("Change to data plane", "From the sight of a change in a tenant's cluster; a dot is one change.",
             f"sum by (le) ({rate})", width=8),
        graph("Change to data plane, by node", "Within which time 99 % of changes were there.",
              [query(f"histogram_quantile(0.99, sum by (le, node) ({rate}))", "{{node}}", exemplar=True)], "s",
              limits=steps((None, BLUE), (1, YELLOW)), links=[TRACES]),
        graph("Probes", "Time that one probe through a virtual server took.",
              [query(f"histogram_quantile(0.5, sum by (le, node) ({probes}))", "{{node}} half of all"),
               query(f"histogram_quantile(0.99, sum by (le, node) ({probes}))", "{{node}} 99 %")], "s"),
    ]  # fmt: skip


def _backends() -> Section:
    def rates(title: str, description: str, metric: str, by: str = "outcome") -> Panel:
        asked = query(f"sum by ({by}) (rate({metric}{{{OF}}}[$__rate_interval]))", f"{{{{{by}}}}}")
        return graph(title, description, [asked], "ops")

    return "Real servers", [
        rates("Probes by outcome", "Through the address, as a client would dial.", "fleetlb_probes_total"),
        rates("Checks by outcome", "Of real servers directly.", "fleetlb_health_checks_total"),
        graph("Unhealthy and braked", "A brake keeps the last set that served when too many fail at once.",
              [query(f"sum by (node) (fleetlb_real_servers_unhealthy{{{OF}}})", "{{node}} unhealthy"),
               query(f"sum by (node) (fleetlb_virtual_servers_braked{{{OF}}})", "{{node}} braked"),
               query(f"sum by (node) (increase(fleetlb_health_brakes_total{{{OF}}}[$__rate_interval]))",
                     "{{node}} brakes set")]),
    ]  # fmt: skip


def _announcing() -> Section:
    def rate(metric: str, legend: str, by: str) -> dict[str, Any]:
        return query(f"sum by ({by}) (rate({metric}{{{OF}}}[$__rate_interval]))", legend)

    twice = f"sum by (node) (increase(fleetlb_link_claimed_twice_total{{{OF}}}[$__rate_interval]))"
    renewals = rate("fleetlb_announcement_lease_renewals_total", "lease {{outcome}}", "outcome")
    return "Announcing", [
        graph("VIPs announced", "By each node: on layer 2 each VIP by one node, by BGP by all of a group.",
              [query(f"fleetlb_announced_vips{{{OF}}}", "{{node}} {{announcement}}")], width=6),
        graph("Sessions with routers", "1: the session stands, and the router is told of the node's VIPs.",
              [query(f"fleetlb_bgp_session_up{{{OF}}}", "{{node}} {{peer}}")], limits=steps((None, RED), (1, GREEN)),
              width=6),
        graph("Routes told", "To each router.",
              [query(f"fleetlb_bgp_advertised_routes{{{OF}}}", "{{node}} {{peer}}")], width=6),
        graph("On the link", "Questions for VIPs that were answered, frames sent unasked, and those not taken.",
              [rate("fleetlb_link_answers_total", "answers {{family}}", "family"),
               rate("fleetlb_link_gratuitous_total", "unasked {{occasion}}", "occasion"),
               rate("fleetlb_link_unsent_total", "not taken", "group"), renewals], "ops", width=6),
        graph("Calls to other nodes' VIPs", "As a client on the link calls them, by what became of it.",
              [rate("fleetlb_link_calls_total", "{{outcome}}", "outcome")], "ops"),
        graph("Answered by a second one", "Somebody beside the group's node answers for a VIP.",
              [query(twice, "seen by {{node}}")], limits=NEVER),
    ]  # fmt: skip


def _envoy() -> Section:
    pushed = f"sum by (kind) (rate(fleetlb_envoy_pushed_resources_total{{{OF}}}[$__rate_interval]))"
    removed = f"sum by (kind) (rate(fleetlb_envoy_removed_resources_total{{{OF}}}[$__rate_interval]))"
    refused = f"sum by (node, kind) (increase(fleetlb_envoy_refused_pushes_total{{{OF}}}[$__rate_interval]))"
    return "Envoy", [
        graph("Connected", "Envoys that are told what to serve; 0: new connections fail until it is back.",
              [query(f"fleetlb_envoy_connected{{{OF}}}", "{{node}}")], limits=steps((None, RED), (1, GREEN))),
        graph("Told", "Resources sent, and removals.",
              [query(pushed, "{{kind}}"), query(removed, "{{kind}} removed")], "ops"),
        graph("Refused", "Pushes that Envoy refused: the Service says DataplaneRejected.",
              [query(refused, "{{node}} {{kind}}")], limits=NEVER),
    ]  # fmt: skip


def _ipvs() -> Section:
    def by_node(metric: str, legend: str) -> dict[str, Any]:
        return query(f"sum by (node) (increase({metric}{{{OF}}}[$__rate_interval]))", "{{node}} " + legend)

    return "IPVS", [
        graph("Mended", "What others changed on the node, and was put back.",
              [by_node("fleetlb_ipvs_drift_total", "virtual servers"), by_node("fleetlb_route_repairs_total", "routes"),
               by_node("fleetlb_filter_repairs_total", "packet filter"), by_node("fleetlb_bgp_repairs_total", "BIRD"),
               by_node("fleetlb_sysctl_repairs_total", "switches")], limits=NEVER),
        graph("Written", "To the kernel's table, and to the packet filter.",
              [by_node("fleetlb_ipvs_writes_total", "table"), by_node("fleetlb_filter_writes_total", "packet filter"),
               by_node("fleetlb_ipvs_lost_replies_total", "begun again")]),
        graph("Refused packets", "From outside the source ranges.",
              [query(f"sum by (node) (rate(fleetlb_filter_refused_packets{{{OF}}}[$__rate_interval]))", "{{node}}")],
              "pps"),
    ]  # fmt: skip


def _process() -> Section:
    damaged = f"sum by (node) (increase(fleetlb_state_file_damaged_total{{{OF}}}[$__rate_interval]))"
    behind = f"sum by (node) (increase(fleetlb_state_file_behind_total{{{OF}}}[$__rate_interval]))"
    return "Programmers", [
        graph("Processor", "Of one core.",
              [query(f"rate(process_cpu_seconds_total{{{OF}}}[$__rate_interval])", "{{node}}")], "percentunit",
              width=6),
        graph("Memory", "Resident.", [query(f"process_resident_memory_bytes{{{OF}}}", "{{node}}")], "bytes", width=6),
        graph("Keys that wait", "For a worker, by queue.",
              [query(f"sum by (node, name) (workqueue_depth{{{OF}}})", "{{node}} {{name}}")], width=6),
        graph("State file", "Found damaged, or behind what the hub knows of this node.",
              [query(damaged, "{{node}} damaged"), query(behind, "{{node}} keys behind")], width=6, limits=NEVER),
    ]  # fmt: skip
