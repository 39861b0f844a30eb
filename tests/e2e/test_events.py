"""Events as integrations have them: what is said of a Service's life, and the examples of docs/events.md at work."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest

from fleetlb.domain.traces import trace_id
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp, udp
from tests.e2e.hearing_events import Heard, history, of_service, output_of, running

pytestmark = pytest.mark.e2e

SCHEMAS = Path(__file__).resolve().parents[2] / "proto-schemas" / "v1"
ORIGIN = "lb.example.org"
TOLERANCE_SECONDS = 3.0
"""Events say whole seconds, and come a little after what they tell of."""


async def until_heard(fleet: Fleet, uid: str, *words: str) -> list[Heard]:
    """Wait until the events of a Service end with these."""
    found: list[Heard] = []

    async def is_heard() -> bool:
        found[:] = await of_service(fleet.environment, uid)
        return tuple(heard.word for heard in found)[-len(words) :] == words

    try:
        await eventually(is_heard, f"events that end with {words}")
    except AssertionError:
        raise AssertionError(f"heard {[heard.word for heard in found]}, not {words}") from None
    return found


async def test_a_services_life_is_told_in_order(fleet: Fleet, acme: TenantCluster) -> None:
    port, other = next_node_port(), next_node_port()
    backends = await acme.serve(tcp=(port, other))
    uid = await acme.create("web", [tcp(8080, port)])
    address = await acme.serving("web")
    allocated, serving = await until_heard(fleet, uid, "address-allocated", "serving")
    assert allocated.subject == "fleetlb.v1.events.acme.address-allocated"
    assert (allocated.data["address"], allocated.data["addresses"]) == (address, [address])
    assert (serving.data["serving"], serving.data["reason"]) == (True, "ProbeAnswered")
    balancer = await fleet.load_balancer("acme", uid)
    assert balancer is not None
    assert trace_id(serving.headers["traceparent"]) == trace_id(balancer.spec.trace)
    await acme.patch("web", {"spec": {"ports": [tcp(8080, port), tcp(8443, other)]}})
    heard = await until_heard(fleet, uid, "ports-changed")
    assert [each["port"] for each in heard[-1].data["ports"]] == [8080, 8443]
    await backends.close()
    heard = await until_heard(fleet, uid, "not-serving")
    assert heard[-1].data["reason"] == "ProbeUnanswered"
    await acme.delete("web")
    heard = await until_heard(fleet, uid, "address-released")
    assert (heard[-1].data["address"], heard[-1].data["since"]) == (address, allocated.data["since"])
    revisions = [each.data["revision"] for each in heard]
    assert revisions == sorted(revisions)


async def test_a_refusal_and_its_end_are_told(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)], annotations={"fleetlb.dev/pool": "nowhere"})
    (refused,) = await until_heard(fleet, uid, "refused")
    assert refused.data["reason"] == await reason_of(fleet, uid)
    assert refused.data["message"]
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/pool": None}}})
    await until_heard(fleet, uid, "address-allocated", "granted", "serving")


async def reason_of(fleet: Fleet, uid: str) -> str:
    balancer = await fleet.load_balancer("acme", uid)
    assert balancer is not None
    assert balancer.spec.refusal is not None
    return balancer.spec.refusal.reason


async def test_what_happened_while_nobody_told_is_told_afterwards(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    leaving = await acme.create("leaving", [tcp(8080, port)])
    await acme.serving("leaving")
    await until_heard(fleet, leaving, "address-allocated", "serving")
    async with fleet.without("status"):
        await acme.delete("leaving")

        async def is_gone() -> bool:
            return await fleet.load_balancer("acme", leaving) is None

        await eventually(is_gone, "the end of the load balancer")
    await until_heard(fleet, leaving, "not-serving", "address-released")


async def test_a_node_that_joined_was_told(fleet: Fleet) -> None:
    async def is_told() -> bool:
        found = await history(fleet.environment)
        return any(heard.subject == "fleetlb.v1.events._fleet.node-joined" for heard in found)

    await eventually(is_told, "a node that joined")


async def test_the_dns_updater_keeps_a_zone(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    port, path = next_node_port(), tmp_path / "services.zone"
    await acme.serve(tcp=(port,))
    name = f"web.{acme.namespace}.acme"

    async def says(*addresses: str) -> bool:
        return path.exists() and zone(path).get(name, []) == [*addresses]

    async with running(fleet.environment, "dns_updater.py", str(path), ORIGIN):
        await acme.create("web", [tcp(8080, port)])
        address = await acme.serving("web")
        await eventually(lambda: says(address), "a record")
    path.unlink()
    async with running(fleet.environment, "dns_updater.py", str(path), ORIGIN):
        await eventually(lambda: says(address), "the record again")
        await acme.delete("web")
        await eventually(lambda: says(), "the end of the record")


async def test_integrations_outlive_a_restart_of_nats(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    port, path, table = next_node_port(), tmp_path / "services.zone", tmp_path / "allowed.nft"
    await acme.serve(tcp=(port,))
    name = f"web.{acme.namespace}.acme"
    async with (
        running(fleet.environment, "dns_updater.py", str(path), ORIGIN),
        running(fleet.environment, "firewall.py", str(table)),
    ):
        await eventually(lambda: exist(path, table), "both files")
        await fleet.verb("restart", "nats")
        await acme.create("web", [tcp(8080, port)])
        address = await acme.serving("web")

        async def says() -> bool:
            return zone(path).get(name) == [address] and f"{address} . tcp . 8080" in elements(table)

        await eventually(says, "the record, and the element", patience=90)


async def exist(*paths: Path) -> bool:
    return all(path.exists() for path in paths)


def zone(path: Path) -> dict[str, list[str]]:
    """Addresses by owner, of a zone file that has a SOA and name servers."""
    origin, ttl, soa, server, *records = path.read_text().splitlines()
    assert (origin, ttl, server) == (f"$ORIGIN {ORIGIN}.", "$TTL 60", "@ IN NS ns")
    fields = soa.split()
    assert fields[:3] == ["@", "IN", "SOA"]
    assert 0 < int(fields[5]) < 2**32
    found: dict[str, list[str]] = {}
    for record in records:
        owner, kind, family, address = record.split()
        assert (kind, family) == ("IN", "A")
        found.setdefault(owner, []).append(address)
    return found


async def test_the_firewall_goes_on_where_it_was(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    port, other, path = next_node_port(), next_node_port(), tmp_path / "allowed.nft"
    await acme.serve(tcp=(port, other), udp=(port,))
    await acme.create("web", [tcp(8080, port), udp(8080, port)])
    await acme.create("stays", [tcp(8443, other)])
    address, known = await acme.serving("web"), f"{await acme.serving('stays')} . tcp . 8443"
    both = {f"{address} . tcp . 8080", f"{address} . udp . 8080"}

    async def lets_in(*wanted: str) -> bool:
        return path.exists() and elements(path) & {*both, known} == {*wanted}

    async with running(fleet.environment, "firewall.py", str(path)):
        await eventually(lambda: lets_in(*both, known), "three elements")
    await acme.delete("web")
    async with running(fleet.environment, "firewall.py", str(path)):
        await eventually(lambda: lets_in(known), "the end of two")


def elements(path: Path) -> set[str]:
    """What the set of IPv4 holds."""
    head, four, six, end = path.read_text().splitlines()
    assert (head, end) == ("table inet fleetlb {", "}")
    assert "set services6 { type ipv6_addr . inet_proto . inet_service;" in six
    assert "set services4 { type ipv4_addr . inet_proto . inet_service;" in four
    return set(four.partition("{ type")[2].partition("{ ")[2].partition(" }")[0].split(", "))


async def test_the_usage_meter_counts_what_was_held(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    before = time.time()
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    held = time.time()

    async def seconds_of(tenant: str, until: float) -> float:
        words = (await output_of(fleet.environment, "usage_meter.py", moment(before), moment(until))).split()
        metered = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        return metered.get(tenant, 0.0) * 3600

    async def is_five() -> bool:
        return await seconds_of("acme", time.time()) >= 5.0

    await eventually(is_five, "five address-seconds")
    leaving = time.time()
    uid = (await acme.get("web"))["metadata"]["uid"]
    await acme.delete("web")
    await until_heard(fleet, uid, "address-released")
    gone = time.time()
    seconds = await seconds_of("acme", gone + 60)
    assert leaving - held - TOLERANCE_SECONDS <= seconds <= gone - before + TOLERANCE_SECONDS
    assert await seconds_of("globex", gone + 60) == 0.0


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_every_event_is_a_cloud_event_that_its_schema_describes(fleet: Fleet) -> None:
    found = await history(fleet.environment)
    assert len({heard.word for heard in found}) > 5
    for heard in found:
        kind = heard.headers["ce-type"].removeprefix("dev.fleetlb.v1.")
        schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(heard.data)
        assert heard.headers["ce-dataschema"] == schema["$id"]
        assert heard.data["type"] == heard.headers["ce-type"]
        assert heard.word == kind.replace("_", "-")
        assert heard.headers["ce-specversion"] == "1.0"
        assert datetime.fromisoformat(heard.headers["ce-time"]).tzinfo is UTC
        if "uid" in heard.data:
            assert unquote(heard.headers["ce-subject"]) == f"{heard.data['namespace']}/{heard.data['name']}"
            assert heard.headers["ce-source"] == f"/clusters/{heard.data['clusterUID']}/services/{heard.data['uid']}"
