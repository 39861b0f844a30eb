"""The suite's command line, and its end."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb_cli.local.processes import start_time
from tests.upstream import order, suite

ORDER = order.read({"KUBECONFIG": "/k", "E2E_TEST": "/e2e.test", "RANGE": "10.9.0.0/24", "CLIENT": "nsenter there"})
COMMON = (
    "--kubeconfig=/k",
    "--provider=skeleton",
    "--kubectl-path=/kubectl",
    "--num-nodes=2",
    "--report-dir=/report",
    "--disable-log-dump",
)


def test_alone_one_spec_after_another() -> None:
    command = suite.command_of(ORDER, "/kubectl", 2, Path("/report"))
    assert command[:3] == ("nsenter", "there", "/e2e.test")
    assert rf"--ginkgo.focus={order.FOCUS}" in command
    assert command[-6:] == COMMON


def test_by_ginkgo_several_at_once() -> None:
    asked = msgspec.structs.replace(ORDER, ginkgo=Path("/ginkgo"), processes=3)
    command = suite.command_of(asked, "/kubectl", 2, Path("/report"))
    assert command[:5] == ("nsenter", "there", "/ginkgo", "run", "--procs=3")
    assert command[-8:] == ("/e2e.test", "--", *COMMON)


async def test_its_exit_code_and_its_words(tmp_path: Path) -> None:
    assert await suite.run(("/bin/sh", "-c", "echo said; exit 3"), tmp_path / "log") == 3
    assert (tmp_path / "log").read_text() == "said\n"


async def test_cancelled_it_ends_what_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "trap 'echo asked; exit' TERM; sleep 60 & echo $!; wait"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await suite.run(("/bin/sh", "-c", script), log)
    child, *words = log.read_text().split()
    assert words == ["asked"]

    await eventually(lambda: start_time(int(child)) is None)
