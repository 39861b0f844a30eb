"""EVT: what a tenant is told by Events: in known words, once, with the cure, and nothing of anybody else's."""

from urllib.parse import urlsplit

from fleetlb.domain.conditions import PROVISIONED
from fleetlb.kube.resources import EVENTS, Object
from tests.e2e.fleet import Fleet, eventually, next_node_port, tcp
from tests.stage.hub import hear_everything_again
from tests.stage.networks import Network
from tests.stage.pools import pool_for, quotas_of
from tests.stage.tenants import Tenant

KNOWN = {"SyncLoadBalancerFailed", "UpdateLoadBalancerFailed", "DeleteLoadBalancerFailed", "UnAvailableLoadBalancer"}
UNKNOWN = "fleetlb.dev/no-such-thing"


async def warnings(tenant: Tenant, name: str) -> list[Object]:
    """The warnings of a Service, the oldest first."""
    events = [event for event in await tenant.events(name) if event["type"] == "Warning"]
    return sorted(events, key=lambda event: int(event["metadata"]["resourceVersion"]))


async def told(tenant: Tenant, name: str) -> list[str]:
    """What they say."""
    return [f"{event['reason']}: {event['message']} ({event['count']} times)" for event in await warnings(tenant, name)]


async def test_EVT_1_normal_events_have_known_names(acme: Tenant) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port])
    for reason in ("EnsuringLoadBalancer", "EnsuredLoadBalancer"):
        assert (await acme.until_event("web", reason))["type"] == "Normal"
    await acme.serving("web")
    await acme.patch("web", {"spec": {"ports": [port | {"port": 8081}]}})
    assert (await acme.until_event("web", "UpdatedLoadBalancer"))["type"] == "Normal"
    await acme.delete("web")
    for reason in ("DeletingLoadBalancer", "DeletedLoadBalancer"):
        assert (await acme.until_event("web", reason))["type"] == "Normal"


async def test_EVT_2_warnings_have_known_names(acme: Tenant) -> None:
    port = tcp(8080, next_node_port())
    await acme.create("wrong", [port], annotations={UNKNOWN: "x"})
    await acme.until_event("wrong", "SyncLoadBalancerFailed")
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    for node in acme.machines:
        await acme.remove_node(node)
    await acme.until_event("web", "UnAvailableLoadBalancer")
    for node in acme.machines:
        await acme.add_node(node)
    for event in [*await warnings(acme, "wrong"), *await warnings(acme, "web")]:
        assert event["reason"] in KNOWN


async def test_EVT_2_an_update_of_backends_that_fails_has_a_name_of_its_own(acme: Tenant) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    for number, node in enumerate(acme.machines):
        await acme.add_node(node, f"192.0.2.{number + 1}")  # nobody's: outside of what the tenant may use
    try:
        assert (await acme.until_event("web", "UpdateLoadBalancerFailed"))["type"] == "Warning"
    finally:
        for node in acme.machines:
            await acme.add_node(node)


async def test_EVT_3_a_failure_says_what_to_do_and_is_not_repeated(
    acme: Tenant, fleet: Fleet, network: Network
) -> None:
    one = network.spare_addresses.partition("/")[0]
    async with pool_for(fleet, acme, "one", f"{one}/32") as annotations:
        await acme.create("first", [tcp(8080, next_node_port())], annotations=annotations)
        await acme.address("first")
        await acme.create("second", [tcp(8080, next_node_port())], annotations=annotations)
        event = await acme.until_event("second", "SyncLoadBalancerFailed")
        assert "pool one" in event["message"]
        for _ in range(3):
            await hear_everything_again(fleet, "acme")
        async with fleet.without("manager", "tenant-watcher/acme"):
            pass
        await acme.witness()
        assert len(await warnings(acme, "second")) == 1
    await acme.create("wrong", [tcp(8080, next_node_port())], annotations={UNKNOWN: "x"})
    event = await acme.until_event("wrong", "SyncLoadBalancerFailed")
    assert UNKNOWN in event["message"]
    assert "remove" in event["message"]


async def test_EVT_4_refusals_say_limit_and_use(acme: Tenant, fleet: Fleet, network: Network) -> None:
    async with quotas_of(fleet, acme, load_balancers=1):
        await acme.create("first", [tcp(8080, next_node_port())])
        await acme.address("first")
        await acme.create("second", [tcp(8080, next_node_port())])
        quota = await acme.until_event("second", "SyncLoadBalancerFailed")
        assert "QuotaExceeded" in quota["message"]
        assert "1 of 1" in quota["message"]
    await acme.address("second")
    await acme.create("third", [tcp(8080, next_node_port())], annotations={"fleetlb.dev/pool": "not-ours"})
    policy = await acme.until_event("third", "SyncLoadBalancerFailed")
    assert "AddressNotAllowed" in policy["message"]
    assert "not-ours" in policy["message"]
    one = network.spare_addresses.partition("/")[0]
    async with pool_for(fleet, acme, "one", f"{one}/32") as annotations:
        await acme.create("fourth", [tcp(8080, next_node_port())], annotations=annotations)
        await acme.address("fourth")
        await acme.create("fifth", [tcp(8080, next_node_port())], annotations=annotations)
        pool = await acme.until_event("fifth", "SyncLoadBalancerFailed")
        assert "PoolExhausted" in pool["message"]
        assert "1 of 1 taken" in pool["message"], "how large the pool is, and how much of it is in use"
        assert {quota["type"], policy["type"], pool["type"]} == {"Warning"}


async def test_EVT_5_an_unsupported_field_costs_one_warning_for_each_change(acme: Tenant, fleet: Fleet) -> None:
    await acme.create("web", [tcp(8080, next_node_port())], annotations={UNKNOWN: "x"})
    for number, spec in enumerate(
        (
            {"metadata": {"annotations": {UNKNOWN: None, "fleetlb.dev/nor-this": "x"}}},
            {"metadata": {"annotations": {"fleetlb.dev/nor-this": None, "fleetlb.dev/scheduler": "no-such"}}},
        ),
        start=1,
    ):
        await _until_warned(acme, "web", number)
        await acme.patch("web", {"metadata": {"labels": {"number": str(number)}}})
        await hear_everything_again(fleet, "acme")
        await acme.refused_witness()
        assert len(await told(acme, "web")) == number, await told(acme, "web")
        await acme.patch("web", spec)
    await _until_warned(acme, "web", 3)
    named = [UNKNOWN, "fleetlb.dev/nor-this", "fleetlb.dev/scheduler"]
    for name, text in zip(named, await told(acme, "web"), strict=True):
        assert name in text
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/scheduler": None}}})
    await acme.address("web")
    assert len(await warnings(acme, "web")) == 3


async def _until_warned(tenant: Tenant, name: str, times: int) -> None:
    async def is_warned() -> bool:
        return len(await warnings(tenant, name)) >= times

    await eventually(is_warned, f"{times} warnings on {name}", tenant.patience)


async def test_EVT_6_events_name_nothing_of_anybody_else(acme: Tenant, globex: Tenant, fleet: Fleet) -> None:
    await globex.create("theirs", [tcp(8080, next_node_port())])
    taken = await globex.address("theirs")
    await acme.create("taken", [tcp(8080, next_node_port())], annotations={"fleetlb.dev/addresses": taken})
    await acme.reason("taken", PROVISIONED, "AddressInUse")
    await acme.create("wrong", [tcp(8080, next_node_port())], annotations={UNKNOWN: "x"})
    async with fleet.without("nats"):
        await acme.create("cut", [tcp(8080, next_node_port())])
        await acme.reason("cut", PROVISIONED, "HubUnreachable")
    await acme.address("cut")
    await acme.delete("cut")
    await acme.until_gone("cut")
    for name in ("taken", "wrong", "cut"):
        await acme.until_event(name, "SyncLoadBalancerFailed")
    words = " ".join(str(event) for event in await acme.cluster.list(EVENTS, acme.namespace))
    environment = fleet.environment
    hosts = [urlsplit(url).netloc for url in (environment.nats.url, environment.nats.monitor)]
    places = [str(process.http) for process in environment.processes.values() if process.http]
    secrets = ["eyJ", "nats://", "creds", str(fleet.state)]
    theirs = ["globex", globex.namespace + "/", environment.tenants["globex"].cluster_uid]
    assert [word for word in (*hosts, *places, *secrets, *theirs) if word in words] == []
