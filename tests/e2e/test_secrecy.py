"""No secret of a living fleet stands where our processes speak: logs, pages, messages, their own command lines."""

import base64
import re
import urllib.request
from pathlib import Path

import pytest
import yaml

from fleetlb.kube.resources import SECRETS
from fleetlb.runtime.bus import Message
from fleetlb_cli.local.layout import ProcessPlace, read_environment
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp

pytestmark = pytest.mark.e2e

SEED = re.compile(rb"(?<![A-Z2-7])S[AONUCX][A-Z2-7]{56}(?![A-Z2-7])")
PAGES = ("/healthz", "/readyz", "/metrics")
UI_PAGES = ("v1/fleet", "")
SERVICES = ("manager", "status", "tenant-watcher/acme", "tenant-watcher/globex", "dataplane-programmer/node-1")


async def secrets_of(fleet: Fleet) -> dict[bytes, str]:
    """Everything that lets somebody in, and where it is kept."""
    found: dict[bytes, str] = {}
    for path in fleet.state.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".creds", ".seed"):
            found.update(dict.fromkeys(SEED.findall(path.read_bytes()), str(path)))
        if path.is_file() and "kubeconfig" in path.name:
            users = yaml.safe_load(path.read_text())["users"]
            found.update({user["user"]["token"].encode(): str(path) for user in users})
    for secret in await fleet.management.list(SECRETS):
        for value in secret.get("data", {}).values():
            text = base64.b64decode(value)
            found.update(dict.fromkeys(SEED.findall(text), f"Secret {secret['metadata']['name']}"))
    return found


def said_by(name: str, process: ProcessPlace) -> dict[str, bytes]:
    """Everything that one of our processes writes and shows, and what others on its host see of it."""
    proc = Path("/proc") / str(process.pid)
    said = {part: (proc / part).read_bytes() for part in ("cmdline", "environ")}
    said["log"] = Path(process.log).read_bytes()
    for page in PAGES:
        with urllib.request.urlopen(f"{process.http}{page}", timeout=10) as answer:
            said[page] = answer.read()
    for page in UI_PAGES if process.ui else ():
        with urllib.request.urlopen(f"{process.ui}{page}", timeout=10) as answer:
            said[f"/ui/{page}"] = answer.read()
    assert all(said.values()), f"{name} says nothing: {[part for part, text in said.items() if not text]}"
    return said


def disclosures(secrets: dict[bytes, str], said: dict[str, bytes]) -> list[str]:
    """What is found in what was said, as it is or in base64."""
    forms = {form: kept for secret, kept in secrets.items() for form in (secret, base64.b64encode(secret).rstrip(b"="))}
    found = [
        f"{part}: what is in {kept}" for part, text in said.items() for form, kept in forms.items() if form in text
    ]
    return found + [f"{part}: a seed" for part, text in said.items() if SEED.search(text)]


async def test_nobody_says_a_secret(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    secrets = await secrets_of(fleet)
    kept = {Path(path).name for path in secrets.values()}
    assert {"hub.creds", "node.creds", "fleetlb-manager.kubeconfig", "Secret fleetlb-account-acme"} <= kept, kept
    assert len(secrets) >= 12, kept
    processes = read_environment(fleet.state).processes
    said = {f"{name} {part}": text for name in SERVICES for part, text in said_by(name, processes[name]).items()}
    assert disclosures(secrets, said) == []


async def test_no_message_holds_a_secret(fleet: Fleet, acme: TenantCluster) -> None:
    """Whoever reads the hub's account finds nothing that lets him in elsewhere."""
    secrets = await secrets_of(fleet)
    heard: dict[str, bytes] = {}
    async with fleet.hub_bus() as bus:

        def hear(message: Message) -> None:
            heard[message.subject] = message.data

        await bus.listen("fleetlb.>", hear)
        port = next_node_port()
        await acme.serve(tcp=(port,))
        await acme.create("web", [tcp(8080, port)])
        await acme.serving("web")

        async def came() -> bool:
            return {subject.split(".")[2] for subject in heard} >= {"observed", "desired", "realized", "events"}

        await eventually(came, "every kind of message")
    assert disclosures(secrets, heard) == []


def test_a_secret_would_be_found() -> None:
    secret = b"SO" + b"A" * 56
    for text in (secret, b"x" + base64.b64encode(secret)):
        assert disclosures({secret: "here"}, {"log": text, "page": b"nothing"})[0] == "log: what is in here"
