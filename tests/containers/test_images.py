"""What is in the images and what is not, how large they are, and how they run."""

import json
from pathlib import Path

import pytest

import fleetlb
from tests.containers.engine import asked, docker, image, inspected, python_in

ROOT = Path(__file__).resolve().parents[2]
BILLS = ROOT / "build" / "containers" / "bills"
SERVICES = {
    "tenant-watcher": "fleetlb-tenant-watcher",
    "manager": "fleetlb-manager",
    "dataplane-programmer": "fleetlb-dataplane-programmer",
    "status": "fleetlb-status",
    "cli": "fleetlb",
}
MEGABYTES = {"dataplane-programmer": 260}
INSTALLED = (
    "import importlib.metadata as m, json; print(json.dumps(sorted({d.name.lower() for d in m.distributions()})))"
)
OF_THE_OFFICIAL_BASE = ("GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256")
NEVER = ["/etc/pip.conf", "/root/.config/pip", "/root/.cache", "/wheels", "/own", "/furnish.py", "/opt/fleetlb/bin/pip"]
IMPORTING = """
import importlib, pkgutil
for root in {roots!r}:
    package = importlib.import_module(root)
    for found in pkgutil.walk_packages(package.__path__, root + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print("imported")
"""
each = pytest.mark.parametrize("service", SERVICES)


@each
def test_an_image_is_small(service: str) -> None:
    size = inspected(image(service))[0]["Size"] / 1e6
    assert size <= MEGABYTES.get(service, 200)


@each
def test_only_who_speaks_to_kubernetes_or_envoy_has_the_means(service: str) -> None:
    installed = set(json.loads(python_in(service, INSTALLED)))
    assert ("grpcio" in installed) == (service == "dataplane-programmer")
    assert ("pyroute2" in installed) == (service == "dataplane-programmer")
    assert ("kubernetes_asyncio" in installed or "kubernetes-asyncio" in installed) == (
        service != "dataplane-programmer"
    )
    assert not installed & {"pip", "setuptools", "pytest", "trustme", "cryptography"}


@each
def test_everything_that_a_service_is_made_of_can_be_imported(service: str) -> None:
    own = f"fleetlb_{service.replace('-', '_')}"
    libraries = ["fleetlb.domain", "fleetlb.contracts", "fleetlb.runtime", "fleetlb.explaining", "fleetlb.kube"]
    if service == "dataplane-programmer":
        libraries = libraries[:3]
    if service == "cli":  # it sends no spans
        libraries.remove("fleetlb.runtime")
    assert python_in(service, IMPORTING.format(roots=[*libraries, own])) == "imported"


@each
def test_a_command_runs_with_no_right_at_all(service: str) -> None:
    rights = ("--read-only", "--cap-drop", "ALL", "--network", "none", "--user", "12345:12345")
    version = docker("run", "--rm", *rights, "--security-opt", "no-new-privileges:true", image(service), "--version")
    assert version.split()[-1] == fleetlb.__version__


@each
def test_an_image_says_what_it_is(service: str) -> None:
    config = inspected(image(service))[0]["Config"]
    labels = {key.removeprefix("org.opencontainers.image."): text for key, text in config["Labels"].items()}
    assert labels["version"] == fleetlb.__version__
    assert labels["licenses"] == "Apache-2.0"
    assert {"title", "description", "revision", "created", "base.name"} <= {key for key, text in labels.items() if text}
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == [f"/opt/fleetlb/bin/{SERVICES[service]}"]


@each
def test_nothing_of_the_machine_that_built_it_is_in_an_image(service: str) -> None:
    config = inspected(image(service))[0]["Config"]
    names = {setting.partition("=")[0] for setting in config["Env"]}
    assert names <= {"PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", *OF_THE_OFFICIAL_BASE}
    found = python_in(service, "import os; print([p for p in " + repr(NEVER) + " if os.path.exists(p)])")
    assert found == "[]"


@each
def test_a_health_check_needs_no_shell_and_says_no_where_nobody_answers(service: str) -> None:
    check = inspected(image(service))[0]["Config"]["Healthcheck"]["Test"]
    if service == "cli":
        assert check == ["NONE"]
        return
    assert check == ["CMD", "/opt/fleetlb/bin/python", "-m", "fleetlb.runtime.asking"]
    answer = asked("run", "--rm", "--network", "none", "--entrypoint", check[1], image(service), *check[2:])
    assert (answer.returncode, answer.stdout.strip()) == (1, "[Errno 111] Connection refused")


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "cli"])
def test_wrong_settings_end_a_service_with_words(service: str) -> None:
    answer = asked("run", "--rm", "--network", "none", "--read-only", image(service))
    assert answer.returncode == 78
    assert "FLEETLB_NATS_URL is not set" in answer.stderr
    assert "Traceback" not in answer.stderr


@each
def test_a_bill_names_what_is_installed(service: str) -> None:
    bill = json.loads((BILLS / f"{service}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {component["name"].lower() for component in bill["components"]}
    assert listed == set(json.loads(python_in(service, INSTALLED)))
    licences = (BILLS / f"{service}.licenses.md").read_text().splitlines()[2:]
    assert len(licences) == len(listed)
    unknown = [line for line in licences if line.split("|")[3].strip().upper() == "UNKNOWN"]
    assert unknown == []


def test_the_programmer_brings_nft_for_ipvs() -> None:
    rights = ("--read-only", "--cap-drop", "ALL", "--network", "none", "--entrypoint", "nft")
    assert docker("run", "--rm", *rights, image("dataplane-programmer"), "--version").startswith("nftables")
    assert asked("run", "--rm", *rights, image("manager"), "--version").returncode != 0


def test_with_two_capabilities_the_programmer_writes_its_table_into_its_own_network() -> None:
    rights = ("--user", "0:0", "--read-only", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW")
    program = (
        "import subprocess as s; s.run(['nft', 'add', 'table', 'inet', 'fleetlb'], check=True);"
        "print(s.run(['nft', 'list', 'tables'], check=True, capture_output=True, text=True).stdout.strip())"
    )
    name = image("dataplane-programmer")
    common = ("run", "--rm", "--network", "none", "--security-opt", "no-new-privileges:true")
    tail = ("--entrypoint", "/opt/fleetlb/bin/python", name, "-c", program)
    assert docker(*common, *rights, *tail) == "table inet fleetlb"
    assert asked(*common, "--cap-drop", "ALL", *tail).returncode != 0
