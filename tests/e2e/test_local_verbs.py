"""`fleetlb local` as DESIGN promises it to operators: forms, exit codes, and nothing left behind."""

import json
import os
import subprocess
from pathlib import Path

import aiohttp
import pytest

from fleetlb_cli.local.layout import Environment
from tests.e2e.fleet import FLEETLB, Fleet, eventually

pytestmark = pytest.mark.e2e


async def test_env_json_has_the_promised_form(state: Path, environment: Environment) -> None:
    env = json.loads((state / "env.json").read_text())
    assert env["version"] == 1
    assert env["tenants"]["acme"].keys() >= {
        "kubeconfig",
        "cluster_uid",
        "namespace",
        "node_cidr",
        "creds",
        "load_balancer_class",
    }
    assert env["nats"].keys() >= {"url", "hub_creds", "system_creds", "monitor"}
    assert env["pools"]["default"].keys() >= {"cidr", "cidr6"}
    assert env["groups"]["default"] == {"engine": "envoy", "nodes": ["node-1"]}
    expected = {"manager", "status", "tenant-watcher/acme", "tenant-watcher/globex", "dataplane-programmer/node-1"}
    expected |= {"envoy/node-1", "nats", "etcd", "kube-apiserver/management", "kube-apiserver/acme"}
    assert expected <= env["processes"].keys()
    for name, process in env["processes"].items():
        command = Path(f"/proc/{process['pid']}/cmdline").read_text().replace("\0", " ")
        assert name.split("/")[0].replace("nats", "nats-server") in command, f"{name} is {command}"


async def test_services_answer_health_readiness_and_metrics(environment: Environment) -> None:
    async with aiohttp.ClientSession() as session:
        for name in ("manager", "status", "tenant-watcher/acme", "dataplane-programmer/node-1"):
            http = environment.processes[name].http
            for path in ("/healthz", "/readyz", "/metrics"):
                async with session.get(f"{http}{path}") as answer:
                    assert answer.status == 200, f"{name}{path}: {await answer.text()}"
                    if path == "/metrics":
                        assert "fleetlb_build_info" in await answer.text()


async def test_second_up_is_refused(state: Path) -> None:
    again = subprocess.run(
        [FLEETLB, "local", "up", "--state", str(state)], capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 1
    assert "running" in (again.stdout + again.stderr)


async def test_usage_errors_exit_2(state: Path) -> None:
    for arguments in (
        ["up", "--tenants", "Not_A_Name", "--state", str(state)],
        ["up", "--state", str(state), "--nonsense"],
        ["kill", "--state", str(state)],
    ):
        outcome = subprocess.run([FLEETLB, "local", *arguments], capture_output=True, timeout=60, check=False)
        assert outcome.returncode == 2, arguments


async def test_an_unknown_process_is_named(fleet: Fleet) -> None:
    outcome = await fleet.verb("kill", "nonsense", check=False)
    assert outcome.returncode != 0
    assert "nonsense" in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


async def test_stop_stays_down_and_start_returns_when_ready(fleet: Fleet) -> None:
    pid = fleet.environment.processes["status"].pid
    assert pid is not None
    await fleet.verb("stop", "status")

    async def gone() -> bool:
        return not _alive(pid)

    await eventually(gone, "the end of the stopped process")
    await fleet.verb("start", "status")
    process = fleet.environment.processes["status"]
    assert process.pid != pid
    async with aiohttp.ClientSession() as session, session.get(f"{process.http}/readyz") as answer:
        assert answer.status == 200


async def test_kubeconfigs_are_worth_nothing_elsewhere(environment: Environment) -> None:
    kubectl = Path(FLEETLB).parent / "kubectl"
    acme = environment.tenants["acme"].kubeconfig
    own = subprocess.run(
        [kubectl, "--kubeconfig", acme, "auth", "can-i", "*", "*"], capture_output=True, timeout=60, check=False
    )
    assert own.stdout.strip() == b"yes"
    server = json.loads(
        subprocess.run(
            [kubectl, "--kubeconfig", environment.management.kubeconfig, "config", "view", "--raw", "-o", "json"],
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
    )["clusters"][0]["cluster"]["server"]
    elsewhere = [kubectl, "--kubeconfig", acme, "--server", server, "--insecure-skip-tls-verify", "get", "namespaces"]
    outcome = subprocess.run(elsewhere, capture_output=True, timeout=60, check=False)
    assert outcome.returncode != 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
