"""Have pods ask, by `kubectl exec`, and hear what their backend saw.

Must not know what the answers should be.
"""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from fleetlb.testkit.proxy_protocol import Header
from tests.upstream import actors, passages
from tests.upstream.actors import HEARD, LISTENER, NAMESPACE, PORT, Client, Target
from tests.upstream.admitting import AdmissionError, Kubectl
from tests.upstream.hearing import header_before
from tests.upstream.passages import Passage
from tests.upstream.questions import Answer

READY_SECONDS = 300.0
"""Nodes may have to fetch the image first."""
SERVED_SECONDS = 120.0
ANSWER_SECONDS = 30.0
GONE_SECONDS = 90.0
_markers = itertools.count(1)
_T = TypeVar("_T")


class Address(msgspec.Struct, frozen=True):
    """What a Service shows."""

    vip: str
    mode: str


@asynccontextmanager
async def on_stage(
    kubectl: Kubectl, pods: Sequence[dict[str, Any]], targets: Collection[Target]
) -> AsyncIterator[dict[Target, Address]]:
    """All of them within, ready, and the Services' addresses; afterwards nothing of them."""
    if await asyncio.to_thread(_is_there, kubectl):
        raise AdmissionError(f"the cluster has a namespace {NAMESPACE}: `kubectl delete namespace {NAMESPACE}` first")
    objects = [actors.namespace(), *pods, *map(actors.service, targets)]
    try:
        await asyncio.to_thread(_create, kubectl, objects)
        await _until(lambda: _are_ready(kubectl), "no pods ready", READY_SECONDS)
        yield await _until(lambda: _addresses(kubectl), "no addresses", SERVED_SECONDS)
    finally:
        await _remove(kubectl)


class Asker:
    """Asks in the name of pods."""

    def __init__(self, kubectl: Kubectl, suspects: Collection[str]) -> None:
        """Looks in the balancer node's own table for connections of suspects; without suspects there is no table."""
        self._kubectl = kubectl
        self._suspects = suspects

    async def ask(self, client: Client, vip: str) -> Answer | None:
        """Once: whom the backend saw; None without an answer."""
        before = self._passages(vip)
        text = await self._curl(client, f"http://{_host(vip)}:{PORT}/clientip", seconds=5)
        passed = self._passages(vip) - before
        host = text.rpartition(":")[0].strip("[]")
        with contextlib.suppress(ValueError):
            return Answer(str(ipaddress.ip_address(host)), bool(passed))
        return None

    async def first(self, client: Client, vip: str) -> None:
        """Wait for an answer that did not come by the balancer, where that can be seen; it is soon, or never."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            answer = await self.ask(client, vip)
            if answer is not None and not answer.passed_balancer:
                return
            await asyncio.sleep(0.5)

    async def header(self, client: Client, vip: str) -> Header | None:
        """What the listener heard before this client's words; it takes connections one after another."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            marker = f"/{client}-{next(_markers)}"
            await self._curl(client, f"http://{_host(vip)}:{PORT}{marker}", seconds=2)
            heard = await self._execute(Client.BACKEND, LISTENER, "od", "-An", "-v", "-tx1", HEARD)
            words = f"GET {marker} ".encode()
            if words in bytes.fromhex(heard):
                return await header_before(bytes.fromhex(heard), words)
        return None

    async def _curl(self, client: Client, url: str, *, seconds: int) -> str:
        return await self._execute(client, client.value, "curl", "-s", "--max-time", str(seconds), url)

    async def _execute(self, client: Client, container: str, *command: str) -> str:
        """What it prints, however it ends."""
        where = ("exec", client.value, "--namespace", NAMESPACE, "--container", container, "--")
        return (await asyncio.to_thread(self._kubectl.attempt, *where, *command)).stdout

    def _passages(self, vip: str) -> frozenset[Passage]:
        if not self._suspects:
            return frozenset()
        return frozenset(each for each in passages.read() if each.vip == vip and each.client in self._suspects)


def source_address(towards: str) -> str:
    """This machine's own address, as somebody there sees it."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))
        return str(probe.getsockname()[0])


def _create(kubectl: Kubectl, objects: list[dict[str, Any]]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    answer = kubectl.attempt("create", "--filename", "-", given=text)
    if answer.returncode != 0:
        raise AdmissionError(f"kubectl create: {answer.stderr.strip()}")


async def _remove(kubectl: Kubectl) -> None:
    """Everything. A fleet that does not let go of its Services is about to end, and nobody else ever would."""
    await asyncio.to_thread(kubectl.run, "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    try:
        await _until(lambda: not _is_there(kubectl), "not deleted", GONE_SECONDS)
    except AdmissionError:
        bare = ("--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
        held = kubectl.run("get", "services", "--namespace", NAMESPACE, "--output", "name").split()
        for service in held:
            await asyncio.to_thread(kubectl.run, "patch", service, "--namespace", NAMESPACE, *bare)
        await _until(lambda: not _is_there(kubectl), "not deleted", GONE_SECONDS)
        raise AdmissionError(f"not released, so the finalizers were taken off: {', '.join(held)}") from None


def _is_there(kubectl: Kubectl) -> bool:
    return bool(kubectl.run("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "name"))


def _are_ready(kubectl: Kubectl) -> bool:
    pods = kubectl.read("get", "pods", "--namespace", NAMESPACE)["items"]
    conditions = [{each["type"]: each["status"] for each in pod["status"].get("conditions", [])} for pod in pods]
    return all(each.get("Ready") == "True" for each in conditions)


def _addresses(kubectl: Kubectl) -> dict[Target, Address]:
    """Of all Services; nothing as long as one has none."""
    found: dict[Target, Address] = {}
    for service in kubectl.read("get", "services", "--namespace", NAMESPACE)["items"]:
        ingress = service["status"].get("loadBalancer", {}).get("ingress", [])
        if not ingress:
            return {}
        found[Target(service["metadata"]["name"])] = Address(ingress[0]["ip"], ingress[0].get("ipMode", "VIP"))
    return found


async def _until(look: Callable[[], _T], complaint: str, seconds: float) -> _T:
    """Look until there is something to see. Raises AdmissionError."""
    deadline = time.monotonic() + seconds
    while not (seen := await asyncio.to_thread(look)):
        if time.monotonic() > deadline:
            raise AdmissionError(f"{complaint} in namespace {NAMESPACE} after {seconds:.0f} s")
        await asyncio.sleep(0.5)
    return seen


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
