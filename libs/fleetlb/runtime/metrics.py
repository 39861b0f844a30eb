"""The metrics that every service shares, in the default registry, but for those of work queues: see `work_metrics`.

What only one service counts is defined there.
"""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# In the plain text format each would be one more series that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

BUILD_INFO = Gauge("fleetlb_build_info", "Always 1; the labels say what runs.", ["service", "version"])

BUS_CONNECTED = Gauge("fleetlb_bus_connected", "1 while the connection to NATS stands.")
BUS_CONNECTS = Counter("fleetlb_bus_connects_total", "Connections established to NATS, the first one included.")
BUS_PUBLISHES = Counter("fleetlb_bus_publishes_total", "Messages published to streams, by outcome.", ["outcome"])
BUS_PUBLISH_SECONDS = Histogram(
    "fleetlb_bus_publish_seconds",
    "From the call of publish to the stream's acknowledgement.",
    unit="seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
BUS_MESSAGES = Counter("fleetlb_bus_messages_total", "Messages read from followed streams.")
UNREADABLE = Counter(
    "fleetlb_unreadable_messages_total", "Messages that could not be read, by what they should have been.", ["kind"]
)
BUS_REPLAYS = Counter("fleetlb_bus_replays_total", "Streams read from their beginning, by cause.", ["cause"])
BUS_HANDLER_ERRORS = Counter("fleetlb_bus_handler_errors_total", "Messages whose handler raised: a bug of ours.")
