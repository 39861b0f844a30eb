"""A hub with one tenant that attacks and one that lives its life, on a real server: what the other must never lose.

`Neighbours` compares everything that the hub and the other tenant hold and hear, before and after whatever the attacker
did in between. Must not know any attack.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fleetlb.contracts import subjects
from fleetlb.contracts.streams import (
    PARKED_STREAM,
    TOLD_STREAM,
    desired_stream,
    events_stream,
    observed_stream,
    realized_stream,
)
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS
from fleetlb.runtime.nats_resolver import look_up_account, push_account
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer
from fleetlb.testkit.raw_nats import Heard, RawNats

SEEN_SECONDS = 0.1
"""How long an effect may take before it counts as none; deliveries here take under 1 ms."""
EVENTS = events_stream()
SECRET, EVIL = b"SECRET", b"EVIL"
USERS = ("watcher", "rogue")
"""A tenant's own watcher, with its permissions; and a user who may do all that the tenant's account may."""
DESIRED = "fleetlb.v1.desired.default.192-0-2-1_80_tcp"
REALIZED = "fleetlb.v1.realized.default.node-1.node"
EVENT = "fleetlb.v1.events.good.serving"
OF_THE_HUB = (DESIRED, REALIZED, "fleetlb.v1.parked.x.1", EVENT, "fleetlb.v1.told.good.u1")


class Site:
    """The server and its tenants: the one that attacks, its aim, and one that no attack names. For a test module."""

    def __init__(self, directory: Path) -> None:
        """Starts the server."""
        self.server = NatsServer(directory)
        self.server.start()
        self.evil = self.server.mint_tenant("evil")
        self.good = self.server.mint_tenant("good")
        self.unnamed = self.server.mint_tenant("unnamed")
        self.evil_creds = {
            "rogue": self.evil.creds,
            "watcher": self.server.write_creds("watcher", self.evil.account_seed, permissions=WATCHER_PERMISSIONS),
        }
        asyncio.run(self._furnish())

    def memory_mib(self) -> int:
        """What the server's process takes now."""
        lines = Path(f"/proc/{self.server.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) // 1024

    def words(self, text: str) -> str:
        """A subject with what stands for the tenants: {good}, {evil}, {hub}, {S} (the good one's stream)."""
        stream = observed_stream(self.good.account).name
        return (
            text.replace("{good}", self.good.account)
            .replace("{evil}", self.evil.account)
            .replace("{hub}", self.server.hub_account)
            .replace("{S}", stream)
        )

    async def _furnish(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            system = await JetStreamBus.connect(self.server.url, tasks=tasks, creds=self.server.system_creds)
            hub = await JetStreamBus.connect(self.server.url, tasks=tasks, creds=self.server.hub_creds)
            for tenant in (self.evil, self.good, self.unnamed):
                await push_account(system, tenant.jwt)
                await hub.ensure_stream(observed_stream(tenant.account))
            for spec in (desired_stream("default"), realized_stream("default"), PARKED_STREAM, EVENTS, TOLD_STREAM):
                await hub.ensure_stream(spec)
            for number, subject in enumerate(OF_THE_HUB):
                await hub.publish(subject, SECRET, message_id=str(number))
            await system.close()
            await hub.close()


def sites(factory: Any) -> Iterator[Site]:
    """What a module's fixture gives."""
    site = Site(factory.mktemp("nats"))
    yield site
    site.server.kill()


class Neighbours:
    """The hub and the other tenant, at work."""

    def __init__(self, site: Site, hub: JetStreamBus, system: JetStreamBus, watcher: JetStreamBus) -> None:
        """Made by `neighbours`."""
        self.site = site
        self.hub = hub
        self.watcher = watcher
        self.in_hub: RawNats
        self.in_good: RawNats
        self._system = system
        self._round = 0
        self._lists = 0
        self._clients: list[RawNats] = []

    async def attacker(self, user: str) -> RawNats:
        """A connection of the tenant that attacks."""
        return await self._connect(self.site.evil_creds[user])

    async def leave(self) -> None:
        """Close every connection that sends what it is told."""
        for client in self._clients:
            await client.close()

    async def _connect(self, creds: Path) -> RawNats:
        self._clients.append(await RawNats.connect(self.site.server.port, creds))
        return self._clients[-1]

    async def listen(self, *, overhear: bool) -> None:
        """Answer as the hub does; `overhear`: everything that is said in the hub's account."""
        self.in_hub = await self._connect(self.site.server.hub_creds)
        self.in_good = await self._connect(self.site.good.creds)
        for client in (self.in_hub, self.in_good) if overhear else (self.in_good,):
            client.subscribe(">")
            await client.settle()
        for requests in (subjects.ALL_SNAPSHOTS, subjects.ALL_CREDENTIALS):
            await self.hub.serve(requests, self._answer, "fleetlb")
        for local in ("reported.>", "resync.>", "renewal.>"):
            await self.watcher.listen(local, lambda _: None)

    async def live(self) -> None:
        """One round of the good tenant's life and of the hub's, in which every kind of message is said and arrives."""
        self._round += 1
        good, body = self.site.good.account, SECRET + str(self._round).encode()
        before = len(self.in_good.heard)
        ack = await self.watcher.publish("observed.c1.service.u1", body, message_id=f"{time.monotonic_ns()}")
        assert ack.stream == observed_stream(good).name
        assert not ack.duplicate
        for local in ("reported.c1.service.u1", "resync.c1", "renewal.credentials"):
            tree, _, rest = local.partition(".")
            await self.hub.notify(f"{subjects.ROOT}.{tree}.{good}.{rest}", body)
        await self.hub.notify(f"{subjects.ROOT}.released.{good}.c1.service.u1", body)
        for request in ("snapshot", "credentials"):
            assert await self.watcher.request(request, body, 5) == SECRET + f" {request} {good}".encode()
        await self.hub.publish(DESIRED, body, message_id=f"{time.monotonic_ns()}")
        await eventually(lambda: self._arrived(before, body))

    def _arrived(self, before: int, body: bytes) -> bool:
        found = {heard.subject for heard in self.in_good.heard[before:] if heard.data == body}
        return found >= {"reported.c1.service.u1", "resync.c1", "renewal.credentials"}

    async def publish(self) -> float:
        """One wish of the good tenant; the seconds until its acknowledgement. Raises Transient after its deadline."""
        began = time.perf_counter()
        await self.watcher.publish("observed.c1.service.u1", SECRET, message_id=f"{time.monotonic_ns()}")
        return time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Whatever happens in this block: what the hub and the good tenant hold stays, and they hear nothing of it."""
        held = await self.holdings()
        await eventually(self._all_audits_came)
        await self._settle()
        hub_from, good_from = len(self.in_hub.heard), len(self.in_good.heard)
        yield
        await asyncio.sleep(SEEN_SECONDS)
        await self._settle()
        in_hub, in_good = self.in_hub.heard[hub_from:], self.in_good.heard[good_from:]
        strange = [heard for heard in in_hub if not self._may_reach_the_hub(heard)]
        assert strange == [], f"the hub heard {strange[:3]}"
        assert in_good == [], f"the other tenant heard {in_good[:3]}"
        assert await self.holdings() == held
        await self.live()

    def _all_audits_came(self) -> bool:
        """The server tells the hub's account of its own requests, in their order, but in its own time."""
        audits = [heard for heard in self.in_hub.heard if heard.subject == "$JS.EVENT.ADVISORY.API"]
        return sum(b"$JS.API.STREAM.LIST" in audit.data for audit in audits) == self._lists

    def _may_reach_the_hub(self, heard: Heard) -> bool:
        """What the attacker may say to the hub: in its own name, on three kinds of subject. And the hub's answers."""
        own = [f"{subjects.ROOT}.{tree}.{self.site.evil.account}" for tree in ("observed", "snapshot", "credentials")]
        return heard.subject.startswith((f"{own[0]}.", "_R_.")) or heard.subject in own[1:]

    async def _answer(self, subject: str, _: bytes) -> bytes:
        account = subjects.parse_request(subject)
        word = SECRET if account == self.site.good.account else b"YOURS"
        return word + f" {subject.split('.')[2]} {account}".encode()

    async def _settle(self) -> None:
        for client in (self.in_hub, self.in_good):
            await client.settle()

    async def holdings(self) -> dict[str, Any]:
        """Every stream with its settings, state, messages and consumers, without the attacker's own; both accounts."""
        self._lists += 1
        listed = json.loads(await self.hub.request("$JS.API.STREAM.LIST", b""))
        found: dict[str, Any] = {}
        for stream in listed["streams"]:
            name = stream["config"]["name"]
            if name == observed_stream(self.site.evil.account).name:
                found[name] = stream["config"], stream["state"]["consumer_count"]
            else:
                found[name] = stream["config"], stream["state"]
        for tenant in (self.site.evil, self.site.good, self.site.unnamed):
            found[tenant.name] = await look_up_account(self._system, tenant.account)
        return found


@contextlib.asynccontextmanager
async def neighbours(site: Site, *, overhear: bool = True) -> AsyncIterator[Neighbours]:
    """The hub and the good tenant, living. Without `overhear` the hub hears no more than it does in earnest."""
    async with asyncio.TaskGroup() as tasks:
        buses = [
            await JetStreamBus.connect(site.server.url, tasks=tasks, creds=creds)
            for creds in (site.server.hub_creds, site.server.system_creds, site.good.creds)
        ]
        made = Neighbours(site, *buses)
        try:
            await made.listen(overhear=overhear)
            await made.live()
            yield made
        finally:
            await made.leave()
            for bus in buses:
                await bus.close()


def learned(site: Site, heard: list[Heard]) -> list[Heard]:
    """What an attacker heard that is not its own: a secret, or a name that no attack ever spells."""
    unknown = [SECRET, base64.b64encode(SECRET), site.unnamed.account.encode(), site.server.system_account.encode()]
    return [message for message in heard if any(word in message.headers + message.data for word in unknown)]
