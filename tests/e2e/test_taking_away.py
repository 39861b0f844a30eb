"""docs/upgrade.md, "Taking away": in the order of the page nothing hangs, and nothing of a fleet is left in the hub."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetlb.kube.resources import NAMESPACES
from tests.e2e.fleet import Fleet, eventually, next_node_port, tcp
from tests.stage.starting import running_fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300, func_only=True)]

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "upgrade.md").read_text().partition("## Taking away")[2].partition("\n## ")[0]
TENANTS = ("acme", "globex")


@pytest.fixture
def own_state(tmp_path: Path) -> Iterator[Path]:
    """A fleet that nobody else needs."""
    with running_fleet(tmp_path / "fleet") as state:
        yield state


def steps() -> list[list[str]]:
    """The commands of each step of the page."""
    return [re.findall(r"`((?:kubectl|fleetlb) [^`]+)`", line) for line in SECTION.splitlines() if line[:1].isdigit()]


async def typed(fleet: Fleet, line: str) -> str:
    """What a line prints that does what it says, within a minute."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KUBECONFIG": fleet.environment.management.kubeconfig,
    }
    done = await asyncio.to_thread(
        subprocess.run, shlex.split(line), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


async def tenants_are_gone(fleet: Fleet) -> bool:
    left = {item["metadata"]["name"] for item in await fleet.management.list(NAMESPACES)}
    return not {f"tenant-{tenant}" for tenant in TENANTS} & left


async def test_in_this_order_nothing_hangs_and_nothing_is_left(own_state: Path) -> None:
    _, (remove, _watcher), pools, _nodes, (crds,) = steps()
    fleet = await Fleet.open(own_state)
    try:
        async with fleet.tenant("acme", "leaving") as acme:
            port = next_node_port()
            await acme.serve(tcp=(port,))
            await acme.create("web", [tcp(8080, port)])
            await acme.serving("web")
        for tenant in TENANTS:
            await typed(fleet, remove.replace("NAME", tenant))
        for line in pools:
            await typed(fleet, line)
        await eventually(lambda: tenants_are_gone(fleet), "the end of tenants' namespaces", 60)
        for process in ("manager", "status"):  # what `helm uninstall` ends
            await fleet.verb("stop", process)
        await typed(fleet, crds)

        async def nothing_left() -> bool:
            return "fleetlb.dev" not in await typed(fleet, "kubectl get crds -o name")

        await eventually(nothing_left, "the end of the definitions", 60)
    finally:
        await fleet.close()
