"""Writes are counted from an API server's own metrics."""

from fleetlb_cli.bench.writes import parse_writes

TEXT = """
# HELP apiserver_request_total requests
apiserver_request_total{code="201",resource="services",scope="resource",subresource="",verb="POST"} 3
apiserver_request_total{code="200",component="apiserver",resource="services",subresource="status",verb="PATCH"} 4
apiserver_request_total{code="200",component="apiserver",resource="services",subresource="",verb="LIST"} 9
apiserver_request_total{code="409",component="apiserver",resource="services",subresource="",verb="PUT"} 2
apiserver_request_total{code="200",component="apiserver",resource="services",subresource="status",verb="APPLY"} 1e+02
other_total{code="200",verb="POST",resource="services"} 7
"""


def test_only_successful_writes_count_by_resource_and_subresource() -> None:
    assert parse_writes(TEXT) == {"services": 3, "services/status": 104}
