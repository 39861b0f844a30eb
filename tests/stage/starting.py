"""A whole local fleet, started as an operator would start it, and stopped."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.local import kernel, probes
from fleetlb_cli.local.layout import read_environment
from fleetlb_cli.local.probes import Probe
from fleetlb_cli.local.programs import script
from tests.e2e.fleet import FLEETLB
from tests.stage.loopback import Loopback
from tests.stage.networks import Network
from tests.stage.rights_used import Record, lacking, rights_of_services
from tests.stage.site import Site

IPVS_START_SECONDS = 400.0
"""In the lab processes are slow and share few cores."""


@contextmanager
def running_fleet(
    state: Path, *options: str, seconds: float = 240, environ: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """A fleet with these options of `fleetlb local up` in a state directory, for the time of a block.

    `environ`: what its processes are told beside the environment of the tests. No API server may have refused anything
    to one of its services for want of a right: some of them would only log it.
    """
    up = [FLEETLB, "local", "up", "--state", str(state), *options, "--detach", "--timeout", f"{seconds:g}"]
    subprocess.run(up, check=True, timeout=seconds + 660, env={**os.environ, **(environ or {})})
    try:
        yield state
    finally:
        subprocess.run([FLEETLB, "local", "down", "--state", str(state)], check=True, timeout=180)
    assert not lacking(rights_of_services(), Record().read(state).refused)


@contextmanager
def on_envoy(state: Path) -> Iterator[Network]:
    """A fleet on the loopback; with IPv6 if that may be set up here."""
    options = ("--ipv6",) if os.geteuid() == 0 else ()
    with running_fleet(state, *options):
        yield Loopback(read_environment(state))


@contextmanager
def on_ipvs(state: Path) -> Iterator[Network]:
    """A fleet in network namespaces; the thread is on its balancer node. Raises KernelError where there is no IPVS."""
    kernel.check()
    with Site() as site, running_fleet(state, *site.options(), seconds=IPVS_START_SECONDS):
        yield site


@contextmanager
def watcher_told(state: Path, tenant: str, **settings: str) -> Iterator[None]:
    """Within, a tenant's watcher has these settings beside its own: another process stands in for it."""
    with standing_in(state, f"tenant-watcher/{tenant}", [script("fleetlb-tenant-watcher")], settings):
        yield


@contextmanager
def standing_in(
    state: Path, process: str, command: Sequence[str], settings: Mapping[str, str], *, path: Path | None = None
) -> Iterator[None]:
    """Within, a command runs in the place of a process, with these settings beside that one's own.

    `path`: where Python is to look for modules first.
    """
    place = read_environment(state).processes[process]
    told = Path(f"/proc/{place.pid}/environ").read_text().rstrip("\0").split("\0")
    environ = dict(line.split("=", 1) for line in told) | {f"FLEETLB_{key}": text for key, text in settings.items()}
    environ |= {"PYTHONPATH": str(path)} if path is not None else {}
    _order(state, "stop", process)
    with (state / f"standing-in-{process.replace('/', '-')}.log").open("ab") as log:
        child = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        _until_ready(f"{place.http}/readyz", child)
        yield
    finally:
        child.terminate()
        child.wait(60)
        _order(state, "start", process)


def _order(state: Path, verb: str, process: str) -> None:
    subprocess.run([FLEETLB, "local", verb, process, "--state", str(state)], check=True, timeout=180)


def _until_ready(url: str, child: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + IPVS_START_SECONDS
    while probes.trouble(Probe(url=url)) is not None:
        assert child.poll() is None, f"what stands in ended with {child.returncode}"
        assert time.monotonic() < end, f"{url} is not ready"
        time.sleep(0.05)


STARTS = {EngineName.ENVOY: on_envoy, EngineName.IPVS: on_ipvs}
