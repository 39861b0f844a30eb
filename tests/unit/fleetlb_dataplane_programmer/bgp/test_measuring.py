"""What is shown of sessions: one row for each peer there is, none for those that were."""

from prometheus_client import Gauge

from fleetlb_dataplane_programmer.bgp.measuring import ADVERTISED, SESSION_UP, SessionGauges
from fleetlb_dataplane_programmer.bgp.reading import Session


def shown(gauge: Gauge) -> dict[str, float]:
    return {sample.labels["peer"]: sample.value for metric in gauge.collect() for sample in metric.samples}


def test_peers_come_and_go() -> None:
    gauges = SessionGauges()
    up = Session(protocol="p", state="Established", advertised=3)
    gauges.show({"a": up, "b": Session(protocol="q", state="Active", advertised=9)})
    assert {"a": 1.0, "b": 0.0}.items() <= shown(SESSION_UP).items()
    assert {"a": 3.0, "b": 0.0}.items() <= shown(ADVERTISED).items(), "a router that is down is told nothing"
    gauges.show({"b": up})
    assert "a" not in shown(SESSION_UP) | shown(ADVERTISED)
    assert shown(SESSION_UP)["b"] == 1.0
    gauges.show({})
    assert "b" not in shown(SESSION_UP) | shown(ADVERTISED)
