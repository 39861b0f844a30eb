"""Tenants against a real server with real credentials: each lives in its own account, whatever it tries."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from fleetlb.contracts.streams import StreamSpec, observed_stream
from fleetlb.domain.errors import Transient
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.bus import Message, StreamMissing, TooLarge
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_accounts import TENANT_MAX_PAYLOAD, KeyKind
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS, Permissions
from fleetlb.runtime.nats_resolver import AccountRefused, delete_account, look_up_account, push_account
from fleetlb.runtime.session import discard
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.nats_server import NatsServer, TenantAccount

pytestmark = pytest.mark.integration

ATTACKS_SEEN_SECONDS = 0.2
"""How long an attack may take to show an effect before it counts as failed; deliveries here take under 1 ms."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path)
    made.start()
    yield made
    made.kill()


class Hub:
    """A server with a hub bus, a system bus, and two tenants whose streams exist."""

    def __init__(self, server: NatsServer, tasks: asyncio.TaskGroup) -> None:
        self.server = server
        self._tasks = tasks
        self._buses: list[JetStreamBus] = []

    async def bus(self, creds: Path, max_payload: int = 1024 * 1024) -> JetStreamBus:
        url = self.server.url
        bus = await JetStreamBus.connect(url, tasks=self._tasks, creds=creds, max_payload=max_payload)
        self._buses.append(bus)
        return bus

    async def open(self) -> None:
        self.system = await self.bus(self.server.system_creds)
        self.hub = await self.bus(self.server.hub_creds)
        self.acme = await self.tenant("acme")
        self.globex = await self.tenant("globex")

    async def tenant(self, name: str, permissions: Permissions | None = None) -> TenantAccount:
        tenant = self.server.mint_tenant(name, permissions=permissions)
        await push_account(self.system, tenant.jwt)
        await self.hub.ensure_stream(observed_stream(tenant.account))
        return tenant

    async def stored(self, tenant: TenantAccount) -> list[Message]:
        """What a tenant's stream holds."""
        found: list[Message] = []
        replayed = asyncio.Event()
        spec = observed_stream(tenant.account)
        task = self._tasks.create_task(
            self.hub.replay_and_follow(
                spec.name, spec.subjects[0], found.append, on_replayed=replayed.set, on_restart=found.clear
            )
        )
        await replayed.wait()
        task.cancel()
        return found

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()


@contextlib.asynccontextmanager
async def hub_of(server: NatsServer) -> AsyncIterator[Hub]:
    async with asyncio.TaskGroup() as tasks:
        hub = Hub(server, tasks)
        await hub.open()
        yield hub
        await hub.close()


@contextlib.asynccontextmanager
async def attacker(server: NatsServer, tenant: TenantAccount) -> AsyncIterator[tuple[Client, list[Msg]]]:
    """A tenant's raw connection, with every subject allowed, and all that it ever hears."""
    heard: list[Msg] = []

    async def on_error(_: Exception) -> None:
        return None

    async def hear(message: Msg) -> None:
        heard.append(message)

    client = await nats.connect(server.url, user_credentials=str(tenant.creds), error_cb=on_error)
    await client.subscribe(">", cb=hear)
    await client.flush()
    try:
        yield client, heard
    finally:
        await client.close()


async def test_a_wish_lands_in_the_tenants_own_stream_under_its_own_token(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        watcher = await hub.bus(hub.acme.creds, TENANT_MAX_PAYLOAD)
        ack = await watcher.publish("observed.c1.service.u1", b"wish", message_id="m1")
        assert ack.stream == observed_stream(hub.acme.account).name
        again = await watcher.publish("observed.c1.service.u1", b"wish", message_id="m1")
        assert again.duplicate
        (message,) = await hub.stored(hub.acme)
        assert message.subject == f"fleetlb.v1.observed.{hub.acme.account}.c1.service.u1"
        assert message.data == b"wish"
        assert await hub.stored(hub.globex) == []


async def test_a_watchers_own_user_can_do_its_work_and_no_more(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        tenant = await hub.tenant("initech", WATCHER_PERMISSIONS)
        watcher = await hub.bus(tenant.creds)
        heard: list[str] = []
        await watcher.listen("reported.c1.service.*", lambda message: heard.append(message.subject))
        await watcher.publish("observed.c1.service.u1", b"1", message_id="m1")
        await hub.hub.notify(f"fleetlb.v1.reported.{tenant.account}.c1.service.u1", b"r")
        await eventually(lambda: heard == ["reported.c1.service.u1"])
        with pytest.raises(Transient, match="permissions violation"):
            await watcher.request("something.else", b"", timeout=20)


async def test_each_tenant_receives_its_own_reports_only(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        heard: dict[str, list[bytes]] = {"acme": [], "globex": []}
        for tenant in (hub.acme, hub.globex):
            watcher = await hub.bus(tenant.creds)
            mine = heard[tenant.name]
            await watcher.listen("reported.>", lambda message, mine=mine: mine.append(message.data))  # type: ignore[misc]
        for tenant in (hub.acme, hub.globex):
            await hub.hub.notify(f"fleetlb.v1.reported.{tenant.account}.c1.service.u1", tenant.name.encode())
        await eventually(lambda: heard == {"acme": [b"acme"], "globex": [b"globex"]})


async def test_a_snapshot_request_carries_its_askers_token(server: NatsServer) -> None:
    async with hub_of(server) as hub:

        async def respond(subject: str, body: bytes) -> bytes:
            return subject.encode() + b" " + body

        await hub.hub.serve("fleetlb.v1.snapshot.*", respond)
        for tenant in (hub.acme, hub.globex):
            watcher = await hub.bus(tenant.creds)
            answer = await watcher.request("snapshot", b"c1", timeout=2)
            assert answer == f"fleetlb.v1.snapshot.{tenant.account} c1".encode()


async def test_an_account_is_pushed_updated_and_deleted_at_run_time(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        pid = server.pid
        late = server.mint_tenant("late")
        assert await look_up_account(hub.system, late.account) is None
        await push_account(hub.system, late.jwt)
        assert await look_up_account(hub.system, late.account) == late.jwt
        watcher = await hub.bus(late.creds)
        with pytest.raises(StreamMissing):
            await watcher.publish("observed.c1.service.u1", b"1", message_id="m1")
        await hub.hub.ensure_stream(observed_stream(late.account))
        await watcher.publish("observed.c1.service.u1", b"1", message_id="m1")
        deletion = nats_accounts.deletion_jwt((late.account,), server.operator_seed, issued_at=int(time.time()))
        await delete_account(hub.system, deletion)
        await eventually(lambda: not watcher.connected, seconds=10)
        assert await look_up_account(hub.system, late.account) is None
        assert server.pid == pid


async def test_an_account_that_the_operator_did_not_sign_gains_nothing(server: NatsServer) -> None:
    """The resolver stores whatever the system account's user pushes; the server trusts only the operator's word."""
    async with hub_of(server) as hub:
        watcher = await hub.bus(hub.acme.creds)
        forged = nats_accounts.account_jwt(
            nats_accounts.hub_account_claims(),
            hub.acme.account,
            nats_accounts.new_seed(KeyKind.OPERATOR),
            issued_at=int(time.time()),
        )
        with contextlib.suppress(AccountRefused):
            await push_account(hub.system, forged)
        with pytest.raises(Transient):
            await watcher.ensure_stream(StreamSpec(name="MINE", subjects=("m",), max_bytes=1, max_message_bytes=1))
        await push_account(hub.system, hub.acme.jwt)
        await eventually(lambda: watcher.connected, seconds=10)
        await watcher.publish("observed.c1.service.u1", b"1", message_id="m1")


async def test_importing_another_tenants_subjects_gains_nothing(server: NatsServer) -> None:
    """Only the operator could sign such an account; the server still checks the token against the importer."""
    async with hub_of(server) as hub:
        stolen = nats_accounts.tenant_account_claims("acme", hub.globex.account, server.hub_account)
        jwt = nats_accounts.account_jwt(stolen, hub.acme.account, server.operator_seed, issued_at=int(time.time()))
        with contextlib.suppress(AccountRefused):
            await push_account(hub.system, jwt)
        victim = await hub.bus(hub.globex.creds)
        await victim.publish("observed.c1.service.u1", b"GOOD", message_id="m1")
        async with attacker(server, hub.acme) as (client, heard):
            with contextlib.suppress(nats.errors.Error):
                await client.request("observed.c1.service.u1", b"EVIL", timeout=ATTACKS_SEEN_SECONDS)
            await hub.hub.notify(f"fleetlb.v1.reported.{hub.globex.account}.c1.service.u1", b"SECRET")
            await client.flush()
            assert b"SECRET" not in {message.data for message in heard}
        (kept,) = await hub.stored(hub.globex)
        assert kept.data == b"GOOD"


async def test_a_revoked_user_is_cut_within_a_second(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        watcher = await hub.bus(hub.acme.creds)
        user = nats_accounts.claims_of(nats_accounts.parse_creds(hub.acme.creds.read_text())[0])["sub"]
        now = int(time.time())
        claims = nats_accounts.tenant_account_claims(
            "acme", hub.acme.account, server.hub_account, revocations={user: now + 1}
        )
        revoking = nats_accounts.account_jwt(claims, hub.acme.account, server.operator_seed, issued_at=now)
        await push_account(hub.system, revoking)
        await eventually(lambda: not watcher.connected, seconds=1)
        renewed = server.write_creds("renewed", hub.acme.account_seed)
        jwt, seed = nats_accounts.parse_creds(renewed.read_text())
        hub.acme.creds.write_text(nats_accounts.creds_file(jwt, seed))
        await eventually(lambda: watcher.connected, seconds=10)


async def test_everything_issued_up_to_a_time_is_cut_and_what_came_later_stays(server: NatsServer) -> None:
    """Also when the revocation is taken back: the same credentials are good again."""
    async with hub_of(server) as hub:
        now = int(time.time())

        def mint(issued_at: int) -> Path:
            seed = nats_accounts.new_seed(KeyKind.USER)
            user = nats_accounts.public_key(seed)
            jwt = nats_accounts.user_jwt(f"w{issued_at}", user, hub.acme.account_seed, issued_at=issued_at)
            path = server.directory / f"{issued_at}.creds"
            path.write_text(nats_accounts.creds_file(jwt, seed))
            return path

        async def revoke(until: int | None) -> None:
            void = {} if until is None else {"*": until}
            claims = nats_accounts.tenant_account_claims("acme", hub.acme.account, server.hub_account, revocations=void)
            jwt = nats_accounts.account_jwt(claims, hub.acme.account, server.operator_seed, issued_at=now)
            await push_account(hub.system, jwt)

        old, new, other = [await hub.bus(path) for path in (mint(now - 9), mint(now - 8), hub.globex.creds)]
        await revoke(now - 9)
        await eventually(lambda: not old.connected, seconds=1)
        assert await published(new)
        assert new.connected
        assert other.connected
        await revoke(None)
        await eventually(lambda: old.connected, seconds=10)
        await revoke(4_102_444_800)
        await eventually(lambda: not old.connected and not new.connected, seconds=1)
        assert other.connected


async def test_expired_credentials_are_cut_and_renewed_ones_taken_up(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        seed = nats_accounts.new_seed(KeyKind.USER)
        now = int(time.time())

        def mint(expires_at: int) -> str:
            user = nats_accounts.public_key(seed)
            jwt = nats_accounts.user_jwt("w", user, hub.acme.account_seed, issued_at=now, expires_at=expires_at)
            return nats_accounts.creds_file(jwt, seed)

        hub.acme.creds.write_text(mint(now + 3))
        watcher = await hub.bus(hub.acme.creds)
        await eventually(lambda: not watcher.connected, seconds=10)
        hub.acme.creds.write_text(mint(now + 3600))
        async with asyncio.timeout(10):
            # A first redial may still have read the old file and be cut once more.
            while not await published(watcher):  # noqa: ASYNC110 - what is polled is the server
                await asyncio.sleep(0.02)


async def published(watcher: JetStreamBus) -> bool:
    try:
        await watcher.publish("observed.c1.service.u1", b"1", message_id="m1")
    except Transient:
        return False
    return True


async def test_a_payload_over_the_limit_is_refused_before_it_costs_the_connection(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        watcher = await hub.bus(hub.acme.creds, TENANT_MAX_PAYLOAD)
        with pytest.raises(TooLarge):
            await watcher.publish("observed.c1.service.u1", b"x" * TENANT_MAX_PAYLOAD, message_id="m1")
        largest = b"x" * (TENANT_MAX_PAYLOAD - 1024)
        await watcher.publish("observed.c1.service.u1", largest, message_id="m2")
        assert watcher.connected


async def test_a_client_that_sends_too_much_all_the_same_is_cut_by_the_server(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        async with attacker(server, hub.acme) as (client, _):
            await client.publish("observed.c1.service.u1", b"x" * (TENANT_MAX_PAYLOAD + 1))
            await eventually(lambda: not client.is_connected)
        assert await hub.stored(hub.acme) == []


async def test_connections_beyond_the_accounts_limit_are_refused(server: NatsServer) -> None:
    async with hub_of(server) as hub:
        clients: list[Client] = []

        async def on_error(_: Exception) -> None:
            return None

        async def connect() -> None:
            clients.append(Client())
            jwt, seed = nats_accounts.parse_creds(hub.acme.creds.read_text())
            await clients[-1].connect(
                server.url,
                user_jwt_cb=lambda: bytearray(jwt.encode()),
                signature_cb=lambda nonce: nats_accounts.sign_nonce(seed, nonce),
                error_cb=on_error,
                allow_reconnect=False,
                max_reconnect_attempts=1,
            )

        try:
            for _ in range(16):
                await connect()
            with pytest.raises(nats.errors.Error):
                await connect()
        finally:
            for client in clients:
                await discard(client)
