"""The operator's walk through docs/operations.md, line by line, and the commands that runbooks say to look with."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WALK = ROOT / "docs" / "operations.md"
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("Fleetlb*.md"))
BROKEN = ("nats", "manager", "dataplane-programmer/node-1")
"""What the walk stops and starts."""
LOOKS = {"status", "why", "audit", "top"}
"""Commands that people repeat until they show what was done."""


class Line(NamedTuple):
    """What is typed, and the exit code that the page promises."""

    text: str
    code: int


def lines_of(page: Path) -> list[Line]:
    """Of the blocks that show a console."""
    blocks = re.findall(r"(?s)```console\n(.*?)```", page.read_text("utf-8"))
    typed = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    parts = [line.partition(" #") for line in typed]
    return [Line(text.strip(), 1 if "exit code 1" in comment else 0) for text, _, comment in parts]


class Console:
    """Where lines are typed: a checkout, with the environment that the pages begin with."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        """`folder`: for what is written."""
        self._places = {
            "$fleet": "--state .fleet/local",
            ".fleet/local": str(fleet.state),
            ".fleet/prometheus": str(folder / "prometheus"),
            "initech.yaml": str(folder / "initech.yaml"),
            "127.77.0.0/20": fleet.environment.pools["default"].cidr,
        }
        self._environ = {**os.environ, "KUBECONFIG": fleet.environment.management.kubeconfig}
        self._environ["PATH"] = f"{BIN}:{os.environ['PATH']}"

    async def type(self, text: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        """Run one line."""
        for said, meant in self._places.items():
            text = text.replace(said, meant)
        command = shlex.split(text)
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, env=self._environ, cwd=cwd
        )

    async def until(self, line: Line) -> None:
        """Run a line, again and again if it only looks, until it ends as the page says."""
        answers: list[subprocess.CompletedProcess[str]] = []

        async def ends_so() -> bool:
            answers.append(await self.type(line.text))
            return answers[-1].returncode == line.code

        patience = 90.0 if _verb(line.text) in LOOKS else 0.0
        try:
            await eventually(ends_so, line.text, patience)
        except AssertionError as problem:
            raise AssertionError(f"{problem}: {answers[-1].stdout[-1500:]}{answers[-1].stderr[-1500:]}") from None


def _verb(text: str) -> str:
    words = shlex.split(text)
    return words[1] if words[0] == "fleetlb" else ""


@pytest.fixture
async def console(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Console]:
    """One, and what a walk that breaks off would leave is put right."""
    console = Console(fleet, tmp_path)
    yield console
    for process in BROKEN:
        await fleet.verb("start", process, check=False)
    acme = f"kubectl --kubeconfig {fleet.environment.tenants['acme'].kubeconfig}"
    await console.type(f"{acme} delete service web late --ignore-not-found")
    await console.type('kubectl patch addresspool default --type merge -p \'{"spec":{"exclude":null}}\'')
    await console.type("fleetlb tenant resume acme")
    await console.type("fleetlb tenant remove initech")


async def test_the_walk_can_be_walked(console: Console) -> None:
    lines = lines_of(WALK)
    verbs = {_verb(line.text) for line in lines}
    assert verbs >= {"status", "top", "tenant", "why", "audit", "local"}
    assert len(lines) > 30
    for line in lines:
        await console.until(line)


async def test_what_runbooks_say_to_look_at_can_be_looked_at(
    console: Console, fleet: Fleet, acme: TenantCluster, tmp_path: Path
) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    lines = sorted({line.text for page in RUNBOOKS for line in lines_of(page)})
    assert {_verb(line) for line in lines} >= {"status", "audit", "why", "trace", "tenant", "top", "restore", "sysdump"}
    failed = [await _failure(console, line, acme.namespace, tmp_path) for line in _without_waiting(lines)]
    assert [said for said in failed if said] == []


def _without_waiting(lines: Iterable[str]) -> Iterable[str]:
    """`tail` waits for what does not come in a fleet that is well; that it exists is tested with the pages."""
    return (line for line in lines if _verb(line) != "tail")


async def _failure(console: Console, line: str, namespace: str, folder: Path) -> str:
    """What went wrong; empty: it was shown. One finds something, which is no failure: exit code 1."""
    answer = await console.type(line.replace("acme/shop/web", f"acme/{namespace}/web"), folder)
    shown = (0, 1) if _verb(line) in LOOKS else (0,)
    is_shown = answer.returncode in shown and (answer.stdout or "No resources" in answer.stderr)
    return "" if is_shown else f"{line}: {answer.returncode} {answer.stdout[-500:]}{answer.stderr[-500:]}"
