"""`fleetlb status`, `top`, `tail` and `sysdump` on a whole fleet, well and not; and each line that docs show."""

import asyncio
import base64
import json
import os
import re
import select
import shlex
import signal
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.fleet_objects import BALANCER_GROUPS, TENANTS
from fleetlb.kube.resources import SECRETS
from fleetlb.runtime import nats_accounts as minting
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually, next_node_port, tcp

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PROGRAMMER = "dataplane-programmer/node-1"
Answer = subprocess.CompletedProcess[str]
SEED = re.compile(rb"(?<![A-Z2-7])S[AONUCX][A-Z2-7]{56}(?![A-Z2-7])")


async def ask(fleet: Fleet, *arguments: str, **environ: str) -> Answer:
    """`fleetlb …` about this fleet."""
    command = [FLEETLB, *arguments, "--state", str(fleet.state)]
    return await asyncio.to_thread(
        subprocess.run, command, text=True, capture_output=True, timeout=100, env={**os.environ, **environ}
    )


async def until_status(fleet: Fleet, code: int, *texts: str) -> Answer:
    """Wait until `fleetlb status` ends like this and says all of this."""
    answers: list[Answer] = []

    async def is_so() -> bool:
        answers.append(await ask(fleet, "status"))
        return answers[-1].returncode == code and all(text in answers[-1].stdout for text in texts)

    try:
        await eventually(is_so, f"status {code} with {texts}", 60)
    except AssertionError as problem:
        raise AssertionError(f"{problem}: {answers[-1]}") from None
    assert answers[-1].stderr == ""
    return answers[-1]


async def one_service(acme: TenantCluster, name: str = "web") -> str:
    """A Service that serves; its address."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create(name, [tcp(8080, port)])
    return await acme.serving(name)


async def test_a_fleet_in_which_all_is_well(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme)
    answer = await until_status(fleet, 0, "nothing is wrong")
    assert "\x1b" not in answer.stdout
    told = json.loads((await ask(fleet, "status", "-o", "json")).stdout)
    assert (told["serving"], told["troubles"], told["nats"]["problem"]) == (True, [], "")
    tenant = next(each for each in told["tenants"] if each["name"] == "acme")
    assert tenant["loadBalancers"]["serving"] >= 1
    (group,) = told["groups"]
    assert [(node["name"], node["ready"], node["following"]) for node in group["nodes"]] == [("node-1", True, True)]
    assert all(process["holder"] for process in told["processes"])
    again = yaml.safe_load((await ask(fleet, "status", "-o", "yaml")).stdout)
    assert again.keys() == told.keys()
    names = (await ask(fleet, "status", "-o", "name")).stdout.split()
    assert {"tenant/acme", "tenant/globex", "balancergroup/default", "addresspool/default"} <= set(names)
    assert "SILENT WATCHERS" in (await ask(fleet, "status", "-o", "wide")).stdout


async def test_a_node_that_is_stopped_is_named(fleet: Fleet) -> None:
    await until_status(fleet, 0)
    async with fleet.without(PROGRAMMER):
        answer = await until_status(fleet, 1, "node node-1 of group default: does not follow the hub")
        assert "    next: fleetlb audit" in answer.stdout
    await until_status(fleet, 0)


async def test_a_manager_that_is_away_is_named(fleet: Fleet) -> None:
    async with fleet.without("manager"):
        await until_status(fleet, 1, "manager: nobody holds the Lease fleetlb-manager")
    await until_status(fleet, 0)


async def test_a_service_that_does_not_serve_is_named_with_the_command_that_explains_it(
    fleet: Fleet, acme: TenantCluster
) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    name = f"acme/{acme.namespace}/web"
    answer = await until_status(fleet, 1, f"service {name}: not serving: ProbeUnanswered")
    (following,) = [line for line in answer.stdout.splitlines() if line.startswith("    next: fleetlb why")]
    explained = await ask(fleet, *shlex.split(following)[2:])
    assert (explained.returncode, explained.stdout.splitlines()[0]) == (1, f"{name}: not serving as wished")


async def test_without_nats_the_rest_is_shown(fleet: Fleet) -> None:
    async with fleet.without("nats"):
        answer = await until_status(fleet, 1, "NATS: cannot be asked", "address pools")
        assert "node-1" in answer.stdout
    await until_status(fleet, 0)


async def test_without_its_api_server_nothing_can_be_said(fleet: Fleet, tmp_path: Path) -> None:
    dump = tmp_path / "dump.tar.gz"
    async with fleet.without("kube-apiserver/management"):
        answers = [await ask(fleet, *what) for what in (["status"], ["top"], ["tail"], ["sysdump", "-o", str(dump)])]
    for answer in answers:
        assert (answer.returncode, answer.stdout) == (3, ""), answer
        assert "the fleet cannot be looked at" in answer.stderr
        assert "Traceback" not in answer.stderr
    assert not dump.exists()
    await until_status(fleet, 0)


async def test_top_shows_once_what_a_terminal_would_show_live(fleet: Fleet, acme: TenantCluster) -> None:
    await one_service(acme)
    for by, name in (("tenants", "acme"), ("groups", "default"), ("nodes", "node-1")):
        answer = await ask(fleet, "top", by)
        assert (answer.returncode, name in answer.stdout, "\x1b" in answer.stdout) == (0, True, False), answer
    assert json.loads((await ask(fleet, "top", "nodes", "--once", "-o", "json")).stdout)["groups"]


async def test_a_terminal_shows_top_live_until_ctrl_c(fleet: Fleet) -> None:
    process, shown = _on_a_terminal(fleet, "top", "nodes", "--every", "0.5")
    try:
        await asyncio.to_thread(_read_until, shown, b"node-1", 3)
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(shown)


async def test_a_terminal_shows_how_far_a_dump_is(fleet: Fleet, tmp_path: Path) -> None:
    process, shown = _on_a_terminal(fleet, "sysdump", "-o", str(tmp_path / "dump.tar.gz"), "--settle", "3")
    try:
        await asyncio.to_thread(_read_until, shown, b"audit", 1)
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(shown)


def _on_a_terminal(fleet: Fleet, *arguments: str) -> tuple["subprocess.Popen[bytes]", int]:
    """`fleetlb …`, and the other end of its terminal."""
    shown, theirs = os.openpty()
    command = [FLEETLB, *arguments, "--state", str(fleet.state)]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    return process, shown


def _read_until(shown: int, text: bytes, times: int) -> None:
    """Blocks for a minute at the most."""
    seen, end = b"", time.monotonic() + 60
    while seen.count(text) < times or b"\x1b[" not in seen:
        assert time.monotonic() < end, seen[-2000:]
        if select.select([shown], [], [], 1)[0]:
            seen += os.read(shown, 65536)


@asynccontextmanager
async def tailing(fleet: Fleet, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`fleetlb tail` that hears already; ended at the end of the block."""
    tail = await asyncio.create_subprocess_exec(
        FLEETLB, "tail", *arguments, "--state", str(fleet.state),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert tail.stderr is not None
    try:
        async with asyncio.timeout(60):
            assert (await tail.stderr.readline()).decode().startswith("following")
        yield tail
    finally:
        if tail.returncode is None:
            tail.kill()
        await tail.wait()


async def test_the_way_of_a_change_is_heard_with_one_trace(fleet: Fleet, acme: TenantCluster) -> None:
    name = f"acme/{acme.namespace}/web"
    async with tailing(fleet, "--service", name, "-o", "json") as tail:
        assert tail.stdout is not None
        heard: list[dict[str, Any]] = []
        await one_service(acme)
        async with asyncio.timeout(60):
            while not (heard and heard[-1]["kind"] == "reported" and "Serving=True" in heard[-1]["text"]):
                heard.append(json.loads(await tail.stdout.readline()))
        tail.send_signal(signal.SIGINT)
        assert await tail.wait() == 0
    kinds = [each["kind"] for each in heard]
    assert {"observed", "desired", "realized", "reported"} <= set(kinds)
    assert kinds.index("observed") < kinds.index("desired") < kinds.index("realized")
    assert {(each["tenant"], each["service"]) for each in heard} == {("acme", f"{acme.namespace}/web")}
    assert heard[0]["trace"] in {each["trace"] for each in heard if each["kind"] == "reported"}


async def test_a_tail_of_one_kind_ends_after_so_many(fleet: Fleet, acme: TenantCluster, globex: TenantCluster) -> None:
    async with tailing(fleet, "--kind", "desired", "--tenant", "globex", "--limit", "1") as tail:
        await one_service(acme)
        await one_service(globex)
        async with asyncio.timeout(60):
            output, _ = await tail.communicate()
        assert tail.returncode == 0
    (line,) = output.decode().splitlines()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} desired   \w+ +[0-9a-f]{32} globex/\S+/web: \S+:8080/tcp goes to 2 real servers .*",
        line,
    )


async def test_a_dump_has_everything_but_secrets(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    address = await one_service(acme)
    mine, theirs, told = (minting.new_seed(minting.KeyKind.OPERATOR) for _ in range(3))
    await fleet.management.create(
        SECRETS, {"metadata": {"name": "a-seed", "namespace": "default"}, "stringData": {"seed": theirs}}
    )
    note = {"metadata": {"annotations": {"note": f"{told} {base64.b64encode(told.encode()).decode()}"}}}
    await fleet.management.patch(TENANTS, "acme", note, kind=PatchKind.MERGE)
    path = tmp_path / "dump.tar.gz"
    try:
        answer = await ask(
            fleet, "sysdump", "-o", str(path), "--settle", "0.5", FLEETLB_NATS_OPERATOR_SEED=mine, MY_TOKEN="abcdefgh"
        )
    finally:
        await fleet.management.delete(SECRETS, "a-seed", "default")
        bare = {"metadata": {"annotations": {"note": None}}}
        await fleet.management.patch(TENANTS, "acme", bare, kind=PatchKind.MERGE)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{path}\n", "")
    files = _contents(path)
    assert json.loads(files["problems.json"]) == []
    assert address.encode() in files["objects/addressclaims.jsonl"]
    assert b"fleetlb-manager" in files["objects/leases.jsonl"]
    assert address.replace(".", "-").encode() in files["streams/FLEETLB_REALIZED_default.jsonl"]
    assert b"process_cpu_seconds_total" in files["processes/manager/metrics.txt"]
    assert json.loads(files["processes/dataplane-programmer-node-1/readyz.txt"])["ready"] is True
    assert json.loads(files["versions.json"])["kubernetes"]["gitVersion"]
    assert json.loads(files["audit.json"])["findings"] == []
    assert b"[removed: a secret]" in files["objects/tenants.jsonl"]
    whole = b"\n".join(files.values())
    for seed in (mine, theirs, told):
        assert seed.encode() not in whole
        assert base64.b64encode(seed.encode()).rstrip(b"=") not in whole
    seeds = _seeds_of(fleet.state)
    assert len(seeds) >= 3
    assert not [seed for seed in seeds if seed in whole]
    assert not SEED.search(whole)


def _contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        members = [(each.name.partition("/")[2], tar.extractfile(each)) for each in tar.getmembers()]
        return {name: file.read() for name, file in members if file is not None}


def _seeds_of(state: Path) -> set[bytes]:
    """Every seed that the local fleet keeps in its files."""
    files = [path for path in state.rglob("*") if path.is_file() and path.suffix in (".json", ".creds", ".conf")]
    return {seed for path in files for seed in SEED.findall(path.read_bytes())}


async def test_what_the_page_shows_can_be_typed(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    section = page.partition("## Looking at a whole fleet")[2].partition("\n## Before you apply something")[0]
    lines = [line[2:].partition("  #")[0] for line in section.splitlines() if line.startswith("$ fleetlb ")]
    assert {shlex.split(line)[1] for line in lines} == {"status", "top", "tail", "sysdump"}
    await one_service(acme)
    await until_status(fleet, 0)
    for line in lines:
        command = [FLEETLB, *shlex.split(line.replace(".fleet/local", str(fleet.state)))[1:]]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        if command[1] == "tail":
            assert process.stderr is not None
            await process.stderr.readline()
            await one_service(acme, f"web-{lines.index(line)}")
        async with asyncio.timeout(90):
            output, complaint = await process.communicate()
        assert process.returncode == 0, f"{line}: {output.decode()}{complaint.decode()}"
        assert output
    assert list(tmp_path.glob("*.tar.gz"))


async def test_a_node_is_emptied_and_taken_back(fleet: Fleet) -> None:
    """What Envoy carries is announced by nobody, and its connections are not counted."""
    emptied = await ask(fleet, "node", "drain", "node-1")
    assert (emptied.returncode, emptied.stderr) == (0, "")
    last = "withdrawn: node-1 announces no VIP; its engine does not count connections"
    assert emptied.stdout.splitlines()[-1] == last
    back = await ask(fleet, "node", "undrain", "node-1")
    assert (back.returncode, back.stderr) == (0, "")
    assert back.stdout.splitlines()[-1] == "heard: node-1 takes part again"


async def of_nodes(fleet: Fleet, *nodes: str) -> None:
    """Name these nodes in the group, there or not."""
    await fleet.management.patch(BALANCER_GROUPS, "default", {"spec": {"nodes": nodes}}, kind=PatchKind.MERGE)


async def test_a_node_that_does_not_come_back_is_taken_out(fleet: Fleet, acme: TenantCluster) -> None:
    """Nothing is published or given back without the word of each node: of one that is gone an operator says so."""
    address = await one_service(acme)
    await of_nodes(fleet, "node-1", "node-9")
    try:
        await acme.delete("web")

        async def is_given_back() -> bool:
            claim = await fleet.claim(address)
            return claim is not None and claim.spec.phase is ClaimPhase.RELEASING

        await eventually(is_given_back, "a release that waits")
        alive = await ask(fleet, "node", "remove", "node-1")
        assert (alive.returncode, "node-1 follows the hub, so it is alive" in alive.stderr) == (2, True)
        removed = await ask(fleet, "node", "remove", "node-9")
        assert (removed.returncode, removed.stderr) == (0, "")
        assert removed.stdout.splitlines()[-1].startswith("released: node-9 is waited for no more")
        claim = await fleet.claim(address)
        assert claim is None or claim.spec.phase is not ClaimPhase.RELEASING
        only = await ask(fleet, "node", "remove", "node-1", "--confirm", "node-1")
        assert (only.returncode, "node-1 is the only node of group default" in only.stderr) == (2, True)
        wrong = await ask(fleet, "node", "remove", "node-1", "--confirm", "node-2")
        assert (wrong.returncode, "write the node's own name, node-1" in wrong.stderr) == (2, True)
    finally:
        await of_nodes(fleet, "node-1")
