"""Rows from what the suite writes."""

from pathlib import Path

from tests.upstream import outcomes
from tests.upstream.outcomes import Outcome

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="Kubernetes e2e suite">
  <testcase name="[SynchronizedBeforeSuite]" status="passed" time="1.5"></testcase>
  <testcase name="[It] [sig-network] LoadBalancers [Feature:LoadBalancer] [Slow] should target all nodes"
    status="passed" time="6.25"></testcase>
  <testcase name="[It] [sig-network] LoadBalancers [Feature:LoadBalancer] should work from pods"
    status="skipped" time="8">
    <skipped message="skipped - LoadBalancer with ipMode Proxy"></skipped></testcase>
  <testcase name="[It] [sig-network] LoadBalancers should not be chosen" status="skipped" time="0">
    <skipped message="skipped"></skipped></testcase>
  <testcase name="[It] [sig-network] LoadBalancers [Feature:LoadBalancer] should break" status="failed" time="900">
    <failure message="[FAILED] timed out:
      waiting for an address
      In [It] at: k8s.io/kubernetes/test/e2e" type="failed">where</failure></testcase>
  <testcase name="[It] [sig-network] LoadBalancers [Feature:LoadBalancer] should panic" status="panicked" time="1">
    <error type="panicked">out of range</error></testcase>
</testsuite></testsuites>
"""


def test_every_chosen_spec_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "junit_01.xml").write_text(JUNIT)
    found = outcomes.read(tmp_path)
    assert found == [
        Outcome("LoadBalancers should break", "FAIL", 900.0, "timed out: waiting for an address"),
        Outcome("LoadBalancers should panic", "FAIL", 1.0, "out of range"),
        Outcome("LoadBalancers should target all nodes", "pass", 6.25),
        Outcome("LoadBalancers should work from pods", "skip", 8.0, "LoadBalancer with ipMode Proxy"),
    ]
    assert [outcomes.count(found, verdict) for verdict in ("pass", "FAIL", "skip")] == [1, 2, 1]


def test_no_report_is_no_row(tmp_path: Path) -> None:
    assert outcomes.read(tmp_path) == []
