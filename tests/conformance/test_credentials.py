"""MUL-8: credentials of watchers come and go, traffic stays."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from fleetlb.domain.conditions import PROVISIONED
from fleetlb.runtime.jetstream import JetStreamBus
from tests.conformance.test_fleet import BOTH, served
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp
from tests.stage.credentials import held, join_again, revoked, suspended
from tests.stage.doubles import second
from tests.stage.hub import counters
from tests.stage.tenants import Tenant

LIFE_SECONDS = 12
CUT_SECONDS = 1.0


def _cut(bus: JetStreamBus) -> Callable[[], Awaitable[bool]]:
    async def is_cut() -> bool:
        return not bus.connected

    return is_cut


async def served_too(tenant: Tenant, name: str) -> None:
    """Another Service is served: the watcher reaches the hub."""
    port = tcp(80, next_node_port())
    await tenant.listen(port)
    await tenant.create(name, [port])
    await tenant.until_served_by(key(await tenant.vip(name), 80), *BOTH)


async def test_MUL_8_credentials_are_renewed_over_and_over_while_they_expire(acme: Tenant, fleet: Fleet) -> None:
    """Connections and Services do not notice; at last the long life of before is back."""
    web = await served(acme)
    seen = {held(fleet, "acme")}

    async def are_many() -> bool:
        seen.add(held(fleet, "acme"))
        return len(seen) > 4

    async with acme.network.conversation(web) as conversation:
        answer = await conversation.ask()
        async with (
            second(fleet, "manager", CREDENTIALS_SECONDS=str(LIFE_SECONDS), IDENTITY="short-lived"),
            fleet.without("manager"),
        ):
            await eventually(are_many, "credentials renewed again and again", 120)
            short = [each for each in seen if (each.expires_at or 0) - each.issued_at == LIFE_SECONDS]
            assert len(short) >= 3
            await served_too(acme, "meanwhile")

        async def is_long() -> bool:
            return (held(fleet, "acme").expires_at or 0) - held(fleet, "acme").issued_at > LIFE_SECONDS

        await eventually(is_long, "credentials of a long life", 60)
        assert await conversation.ask() == answer
    await acme.until_served_by(web, *BOTH)
    await served_too(acme, "afterwards")


async def test_MUL_8_a_rotation_gives_notice_and_then_what_was_before_is_void(
    acme: Tenant, globex: Tenant, fleet: Fleet, tmp_path: Path
) -> None:
    web = await served(acme)
    stolen = shutil.copy(fleet.environment.tenants["acme"].creds, tmp_path / "stolen.creds")
    others = await counters(fleet, "tenant-watcher/globex", "fleetlb_bus_connects_total")
    async with acme.network.conversation(web) as conversation, fleet.bus(str(stolen)) as thief:
        answer = await conversation.ask()
        async with revoked(fleet, "acme", notice=6) as since:

            async def is_renewed() -> bool:
                return held(fleet, "acme").issued_at >= since

            await eventually(is_renewed, "a watcher that renews within the notice", 5)
            assert thief.connected, "the notice is not over yet"
            await eventually(_cut(thief), "the end of what was issued before", 8)
            await served_too(acme, "afterwards")
            assert not thief.connected
        assert await conversation.ask() == answer
    await globex.witness()
    assert await counters(fleet, "tenant-watcher/globex", "fleetlb_bus_connects_total") == others


async def test_MUL_8_what_is_revoked_is_cut_within_a_second_and_traffic_goes_on(
    acme: Tenant, globex: Tenant, fleet: Fleet, tmp_path: Path
) -> None:
    """A thief cannot have himself issued anything; with the credentials that the hub offers, the watcher is back."""
    web = await served(acme)
    stolen = shutil.copy(fleet.environment.tenants["acme"].creds, tmp_path / "stolen.creds")
    async with acme.network.conversation(web) as conversation, fleet.bus(str(stolen)) as thief:
        answer = await conversation.ask()
        async with revoked(fleet, "acme") as since:
            await eventually(_cut(thief), "the end of a stolen connection", CUT_SECONDS)
            port = tcp(80, next_node_port())
            await acme.listen(port)
            await acme.create("later", [port])
            await acme.reason("later", PROVISIONED, "HubUnreachable")
            assert await conversation.ask() == answer
            await acme.until_served_by(web, *BOTH)
            await globex.witness()
            assert held(fleet, "acme").issued_at < since
            await join_again(fleet, "acme", since)
            await acme.until_served_by(key(await acme.vip("later"), 80), *BOTH)
            assert not thief.connected
        assert await conversation.ask() == answer
    assert await acme.vip("web") == web.address


async def test_MUL_8_a_suspended_tenant_is_served_on_and_resumes_where_it_was(
    acme: Tenant, globex: Tenant, fleet: Fleet
) -> None:
    web = await served(acme)
    async with acme.network.conversation(web) as conversation, fleet.tenant_bus("acme") as bus:
        answer = await conversation.ask()
        async with suspended(fleet, "acme"):
            await eventually(_cut(bus), "the end of its connections", CUT_SECONDS)
            await globex.witness()
            await acme.until_served_by(web, *BOTH)
            assert await conversation.ask() == answer
        await served_too(acme, "afterwards")
        assert await conversation.ask() == answer
    assert await acme.vip("web") == web.address
