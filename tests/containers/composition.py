"""A fleet of compose.yaml under a name and in networks of its own."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.containers.engine import asked, docker, inspected, until

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"EDGE_NET": "198.19.100", "NODES_NET": "198.19.101", "BUS_NET": "198.19.102"}
PORT = 8080
NODE_ON_BUS = f"{NETWORKS['BUS_NET']}.2"


class Composition:
    """One project of docker compose."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vip = ""
        """The address of the Service that was demonstrated last; a new one may get another."""

    def run(self, *arguments: str, seconds: float = 300) -> str:
        """`docker compose`."""
        return docker(*self._compose(arguments), environ=NETWORKS, seconds=seconds)

    def up(self) -> None:
        """Everything, and the real server of the demonstration."""
        answer = asked(*self._compose(("up", "--wait")), environ=NETWORKS, seconds=500)
        assert answer.returncode == 0, answer.stderr[-2000:] + self.logs()
        self.run("--profile", "demo", "up", "--detach", "backend")

    def down(self) -> None:
        """Everything, volumes too."""
        self.run("--profile", "*", "down", "--volumes", "--timeout", "5")

    def logs(self) -> str:
        """The last words of everybody."""
        return asked(*self._compose(("logs", "--tail", "8", "--no-color")), environ=NETWORKS).stdout[-12000:]

    def demonstrate(self) -> str:
        """A Service from nothing to an answer through its address."""
        said = self.run("--profile", "demo", "run", "--rm", "--no-deps", "--no-TTY", "demo")
        found = re.search(r"its address is (\S+)", said)
        assert found is not None, said
        self.vip = found[1]
        return said

    def dialling(self, seconds: float) -> "subprocess.Popen[str]":
        """A client beside the balancer node dials all that time."""
        command = (
            "--profile",
            "demo",
            "run",
            "--rm",
            "--no-deps",
            "--no-TTY",
            "demo",
            "dial",
            self.vip,
            str(PORT),
            str(seconds),
        )
        return subprocess.Popen(
            ["docker", *self._compose(command)],
            env={**os.environ, **NETWORKS},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def container(self, service: str) -> dict[str, Any]:
        """A service's container, as docker tells of it."""
        return inspected(f"{self.name}-{service}-1")[0]

    def containers(self) -> dict[str, dict[str, Any]]:
        """All that run, by service."""
        names = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()
        return {found["Config"]["Labels"]["com.docker.compose.service"]: found for found in inspected(*names)}

    def is_healthy(self, service: str) -> bool:
        """Whether its health check says so."""
        state = self.container(service)["State"]
        return bool(state["Running"]) and state["Health"]["Status"] == "healthy"

    def kill(self, service: str) -> None:
        """Kill its process as a crash would, and wait until it is back and well."""
        before = self.container(service)
        process = int(before["State"]["Pid"])
        assert process > 1
        os.kill(process, signal.SIGKILL)  # `docker kill` would count as a wish to have it stopped
        until(lambda: self.container(service)["RestartCount"] > before["RestartCount"], f"the return of {service}")
        until(lambda: self.is_healthy(service), f"the health of {service}", 90)

    def left(self) -> list[str]:
        """What there still is of it."""
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return [name for kind in kinds for name in docker(*kind, "--quiet", "--filter", label).split()]

    def _compose(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return ("compose", "--file", str(ROOT / "compose.yaml"), "--project-name", self.name, *arguments)


def outcome(dialling: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a client met."""
    answer, _ = dialling.communicate(timeout=120)
    met: dict[str, Any] = json.loads(answer)
    return met
