"""A whole local fleet, started as an operator would start it, and stopped."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetlb.contracts.objects import EngineName
from fleetlb_cli.local import kernel
from fleetlb_cli.local.layout import read_environment
from tests.e2e.fleet import FLEETLB
from tests.stage.loopback import Loopback
from tests.stage.networks import Network
from tests.stage.site import Site

IPVS_START_SECONDS = 400.0
"""In the lab processes are slow and share few cores."""


@contextmanager
def running_fleet(state: Path, *options: str, seconds: float = 240) -> Iterator[Path]:
    """A fleet with these options of `fleetlb local up` in a state directory, for the time of a block."""
    up = [FLEETLB, "local", "up", "--state", str(state), *options, "--detach", "--timeout", f"{seconds:g}"]
    subprocess.run(up, check=True, timeout=seconds + 660)
    try:
        yield state
    finally:
        subprocess.run([FLEETLB, "local", "down", "--state", str(state)], check=True, timeout=180)


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


STARTS = {EngineName.ENVOY: on_envoy, EngineName.IPVS: on_ipvs}
