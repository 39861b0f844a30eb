"""`python -m tests.stage.counting`: a page of metrics on which everything counts that stands still in a fleet that is
well, or that only a node with IPVS has. Prints its port; ends with its standard input.
"""

import sys
import threading
from wsgiref.simple_server import WSGIServer

import prometheus_client

from fleetlb.kube.continuity import WENT_BACK
from fleetlb_dataplane_programmer.bgp import measuring
from fleetlb_dataplane_programmer.ipvs import kernel, nft, patrolling, routes, sysctls
from fleetlb_dataplane_programmer.layer2 import calling, finding, interface
from fleetlb_dataplane_programmer.ownership import taking_part
from fleetlb_manager.parking import PARKED
from fleetlb_tenant_watcher.counts import REPUBLISHED

BEAT_SECONDS = 0.2
COUNTERS = (
    PARKED.labels("acme"),
    REPUBLISHED.labels("resync"),
    kernel.WRITES,
    kernel.RESYNCS.labels("overrun"),
    nft.REPAIRS,
    nft.WRITES,
    patrolling.DRIFT,
    routes.REPAIRS,
    sysctls.REPAIRS,
    measuring.REPAIRS,
    interface.ANSWERS.labels("IPv4"),
    interface.GRATUITOUS.labels("IPv4", "round"),
    interface.UNSENT,
    finding.CALLS.labels("taken"),
    calling.CLAIMED_TWICE,
    taking_part.RENEWALS.labels("renewed"),
)
GAUGES = (
    WENT_BACK,
    taking_part.OWNED.labels("layer2"),
    measuring.SESSION_UP.labels("tor"),
    measuring.ADVERTISED.labels("tor"),
)


def main() -> None:
    """Count until standard input ends."""
    server: WSGIServer
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1")
    for gauge in GAUGES:
        gauge.set(1)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    while not ended.wait(BEAT_SECONDS):
        nft.REFUSED.inc()
        for counter in COUNTERS:
            counter.inc()


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
