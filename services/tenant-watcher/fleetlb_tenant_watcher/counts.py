"""What the watcher counts, in the default registry."""

from prometheus_client import Counter, Gauge, Histogram

SERVICES = Gauge("fleetlb_watcher_services", "Services on record: wanted as load balancers, or being released.")
WAITING = Gauge("fleetlb_watcher_waiting_services", "Services that the hub owes an answer.")
CROWDED = Gauge(
    "fleetlb_watcher_crowded_services", "Services with more pods than the hub is told of; nodes serve them instead."
)
NODES = Gauge("fleetlb_watcher_nodes", "Nodes of the tenant cluster.")
PUBLISHED = Counter("fleetlb_published_total", "Messages stored by the hub, by kind.", ["kind"])
REPUBLISHED = Counter(
    "fleetlb_watcher_republished_total", "Times that everything was published again, by reason.", ["reason"]
)
REPORTS = Counter("fleetlb_watcher_reports_total", "Reports heard, by what became of them.", ["result"])
SNAPSHOTS = Counter("fleetlb_watcher_snapshots_total", "Requests for every report again, by outcome.", ["outcome"])
STATUS_PATCHES = Counter("fleetlb_status_patches_total", "Patches of the status of Services.")
FINALIZER_PATCHES = Counter(
    "fleetlb_watcher_finalizer_patches_total", "Patches of the finalizers of Services.", ["change"]
)
EVENTS = Counter("fleetlb_watcher_events_total", "Events for tenants, by outcome.", ["outcome"])
CONVERGENCE_SECONDS = Histogram(
    "fleetlb_watcher_convergence_seconds",
    "From the sight of a change in the tenant cluster to the report that answers it.",
    unit="seconds",
    buckets=(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0),
)
