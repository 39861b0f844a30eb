"""The programmer of one balancer node on IPVS, as a process in the node's namespace."""

import os
import pathlib
import subprocess
import sys
from signal import SIGKILL, SIGTERM, Signals
from typing import Protocol

from fleetlb.runtime.nats_permissions import Permissions, node_permissions
from fleetlb.testkit.namespaces import Namespace

GROUP = "default"
COMMAND = pathlib.Path(sys.executable).with_name("fleetlb-dataplane-programmer")


class Hub(Protocol):
    """The NATS server, and who may make its users: `NatsServer` of the testkit, or that of a running fleet."""

    hub_seed: str

    @property
    def url(self) -> str:
        """Where the node connects."""

    def write_creds(self, name: str, account_seed: str, *, permissions: Permissions | None = None) -> pathlib.Path:
        """A new user of an account, as a credentials file."""


class Programmer:
    """It keeps its state over restarts."""

    def __init__(self, name: str, place: Namespace, folder: pathlib.Path, nats: Hub, **settings: str) -> None:
        """Not started. `settings`: more of its environment."""
        self.name, self.place = name, place
        folder.mkdir()
        self.log = folder / "log"
        group = settings.get("FLEETLB_GROUP", GROUP)
        creds = nats.write_creds(name, nats.hub_seed, permissions=node_permissions(group, name))
        self._environ = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
            "FLEETLB_HTTP_ADDRESS": "127.0.0.1:0",
            "FLEETLB_NATS_URL": nats.url,
            "FLEETLB_NATS_CREDS": str(creds),
            "FLEETLB_NODE": name,
            "FLEETLB_ENGINE": "ipvs",
            "FLEETLB_STATE_DIR": str(folder / "state"),
            "FLEETLB_LAYER2_INTERFACES": "lan",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.place.entered(), self.log.open("ab") as log:
            self._process = subprocess.Popen([COMMAND], env=self._environ, stdout=log, stderr=log)

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, f"{self.name} is not started"
        assert self._process.poll() is None, f"{self.name} ended:\n{self.log.read_text()[-3000:]}"
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, if it runs."""
        self._end(SIGKILL)

    def stop(self) -> None:
        """End it as an init system does."""
        self._end(SIGTERM)

    def _end(self, number: Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=15)
