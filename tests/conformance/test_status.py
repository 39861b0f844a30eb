"""STA: what stands in the status of a Service, who writes it, and what it proves."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from fleetlb.domain.addresses import Protocol
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.kube.errors import Conflict, NotFound
from fleetlb.kube.resources import SERVICES, Object
from tests.conformance.traces import STANDARD
from tests.e2e.fleet import Fleet, eventually, key, next_node_port, tcp, udp
from tests.stage.chronicles import Version, chronicle_of
from tests.stage.hub import PROGRAMMER, counters, hear_everything_again, report, reports_on
from tests.stage.networks import Network
from tests.stage.pools import pool_for
from tests.stage.requests import service_requests
from tests.stage.tenants import DUAL, Tenant

WATCHER = "tenant-watcher/acme"
OTHERS = {"type": "example.com/Other", "status": "True", "reason": "Theirs", "message": "not ours"}
OTHERS |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}


async def test_STA_1_only_the_status_is_written_and_only_by_patches(acme: Tenant) -> None:
    before = await service_requests(acme.cluster)
    theirs = {"labels": {"app": "web"}, "annotations": {"example.com/note": "mine"}}
    created = await acme.make("web", [tcp(8080, next_node_port())], metadata=theirs)
    await acme.address("web")
    service = await acme.get("web")
    assert service["spec"] == created["spec"]
    assert {name: service["metadata"][name] for name in theirs} == theirs
    ours = [entry for entry in service["metadata"]["managedFields"] if entry["manager"] != "e2e"]
    touched = {(entry.get("subresource", ""), field) for entry in ours for field in _leaves(entry["fieldsV1"])}
    finalizers = ("", "f:metadata/f:finalizers")
    assert touched == {finalizers, ("status", "f:status/f:conditions"), ("status", "f:status/f:loadBalancer")}
    after = await service_requests(acme.cluster)
    assert {verb for (verb, where), number in (after - before).items() if where == "status" and number} == {"PATCH"}
    assert not (after - before)["PUT", ""]


def _leaves(fields: Object) -> list[str]:
    """The first two levels of managed fields."""
    return [f"{outer}/{inner}" for outer, inside in fields.items() for inner in inside if inner != "."]


async def test_STA_2_ten_resyncs_write_nothing(acme: Tenant, fleet: Fleet) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port])
    await acme.serving("web")
    before, patches = await acme.get("web"), await _patches(fleet)
    async with chronicle_of(acme.cluster, acme.namespace) as chronicle:
        for _ in range(10):
            await hear_everything_again(fleet, "acme")
        witness = await acme.refused_witness()
        written = len(await chronicle.versions(witness)) - 1  # the first is its creation
    assert await acme.get("web") == before
    assert await _patches(fleet) - patches == written, "something was written that changed nothing"


async def _patches(fleet: Fleet) -> float:
    names = ("fleetlb_status_patches_total", "fleetlb_watcher_finalizer_patches_total")
    return sum((await counters(fleet, WATCHER, *names)).values())


async def test_STA_3_the_status_is_cleared_when_the_load_balancer_is_gone(acme: Tenant) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    await acme.patch("web", {"spec": {"type": "ClusterIP"}})
    await acme.until_let_go("web")
    assert (await acme.get("web"))["status"] == {"loadBalancer": {}}


async def test_STA_4_one_canonical_entry_for_each_address(acme: Tenant, network: Network) -> None:
    spec = DUAL if len(network.families) == 2 else {}
    await acme.create("web", [tcp(8080, next_node_port()), udp(8080, next_node_port())], **spec)
    await acme.address("web")
    entries = (await acme.get("web"))["status"]["loadBalancer"]["ingress"]
    addresses = [entry["ip"] for entry in entries]
    assert all("hostname" not in entry for entry in entries)
    assert [str(ipaddress.ip_address(address)) for address in addresses] == addresses
    assert [ipaddress.ip_address(address).version for address in addresses] == [4, 6][: len(network.families)]


async def test_STA_5_the_mode_says_how_the_address_is_reached(acme: Tenant, network: Network) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    address = await acme.address("web")
    entries = (await acme.get("web"))["status"]["loadBalancer"]["ingress"]
    assert entries == [{"ip": address, "ipMode": network.ip_mode}]
    assert network.ip_mode == ("Proxy" if network.engine is EngineName.ENVOY else "VIP")


async def test_STA_6_ports_are_listed_all_or_not_at_all(acme: Tenant) -> None:
    ports = [tcp(8080, next_node_port()), tcp(8081, next_node_port())]
    await acme.create("web", ports)
    await acme.address("web")
    for entry in (await acme.get("web"))["status"]["loadBalancer"]["ingress"]:
        listed = [(each["port"], each["protocol"]) for each in entry.get("ports", [])]
        assert listed in ([], [(each["port"], each["protocol"]) for each in ports])


async def test_STA_7_a_status_that_somebody_changed_is_repaired(acme: Tenant) -> None:
    port = tcp(8080, next_node_port())
    await acme.listen(port)
    await acme.create("web", [port])
    await acme.serving("web")
    status = (await acme.get("web"))["status"]
    false = [condition | {"status": "False", "reason": "Forged"} for condition in status["conditions"]]
    for changed in (
        {"loadBalancer": {"ingress": None}, "conditions": None},
        {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}},
        {"loadBalancer": {"ingress": [*status["loadBalancer"]["ingress"], {"hostname": "example.com"}]}},
        {"conditions": false},
    ):
        await acme.patch("web", {"status": changed}, "status")

        async def is_repaired() -> bool:
            return _without_times((await acme.get("web"))["status"]) == _without_times(status)

        await eventually(is_repaired, f"repair of {changed}", acme.patience)


def _without_times(status: Object) -> Object:
    conditions = [
        {name: text for name, text in condition.items() if name != "lastTransitionTime"}
        for condition in sorted(status.get("conditions", []), key=lambda condition: str(condition["type"]))
    ]
    return status | {"conditions": conditions}


async def test_STA_8_conflicts_are_overcome_and_a_vanished_service_is_no_error(acme: Tenant, fleet: Fleet) -> None:
    log = Path(fleet.environment.processes[WATCHER].log)
    begin = log.stat().st_size
    node_port = next_node_port()
    ports = [tcp(8080 + number, node_port) for number in range(10)]
    await acme.listen(ports[0])
    await acme.create("web", [ports[0]])
    for number, port in enumerate(ports):
        await _replace(acme, "web", port, f"edit-{number}")
        await acme.create(f"brief-{number}", [tcp(8080, next_node_port())])
        await _remove_by_force(acme, f"brief-{number}")
    await acme.until_served_by(key(await acme.vip("web"), 8089))
    await acme.witness()
    told = [json.loads(line) for line in log.read_bytes()[begin:].decode().splitlines()]
    assert [entry for entry in told if entry["level"] == "error" or "exception" in entry] == []


async def _replace(tenant: Tenant, name: str, port: Object, note: str) -> None:
    """Write the whole Service, as somebody does who knows nothing of patches, until no other write is in the way."""
    while True:
        service = await tenant.get(name)
        service["spec"]["ports"] = [port]
        service["metadata"].setdefault("annotations", {})["example.com/note"] = note
        try:
            await tenant.cluster.replace(SERVICES, service)
        except Conflict:
            continue
        return


async def _remove_by_force(tenant: Tenant, name: str) -> None:
    """Delete a Service, and take off whatever holds it, until it is gone."""
    try:
        await tenant.delete(name)
        while True:
            await tenant.patch(name, {"metadata": {"finalizers": None}})
    except NotFound:
        return


async def test_STA_9_a_late_report_replaces_nothing(acme: Tenant, fleet: Fleet) -> None:
    ports = [tcp(8080, next_node_port()), tcp(8081, next_node_port())]
    await acme.listen(ports[1])
    uid = await acme.create("web", [ports[0]])
    await acme.settled("web")
    async with reports_on(fleet, "acme", uid) as reports:
        await acme.patch("web", {"spec": {"ports": ports[1:]}})
        await acme.serving("web")
        await acme.endpoints("web", {"node-1": False})  # of the very wish that is in force
        await acme.reason("web", SERVING, "NoReadyBackend")
        await acme.endpoints("web", {"node-1": True, "node-2": True})
        await acme.serving("web")
    assert len(reports) >= 3
    before = await acme.get("web")
    for late in (*reports, *reversed(reports)):
        await report(fleet, "acme", uid, late)
    await acme.witness()
    assert await acme.get("web") == before


async def test_STA_10_nothing_is_written_to_a_service_of_another_type(acme: Tenant, fleet: Fleet) -> None:
    uid = await acme.create("web", [tcp(8080, next_node_port())])
    await acme.address("web")
    async with reports_on(fleet, "acme", uid) as reports, chronicle_of(acme.cluster, acme.namespace) as chronicle:
        await acme.endpoints("web", {"node-1": False})
        await acme.reason("web", SERVING, "NoReadyBackend")
        await acme.until_heard(reports)
        told = tuple(reports)
        await acme.patch("web", {"spec": {"type": "NodePort"}})
        for late in told:
            await report(fleet, "acme", uid, late)
        await acme.until_let_go("web")
        for late in told:
            await report(fleet, "acme", uid, late)
        await acme.witness()
        versions = await chronicle.versions("web")
    for earlier, later in pairwise(versions):
        if later.spec["type"] != "LoadBalancer":
            assert later.ingress in ([], earlier.ingress)
            assert later.conditions.keys() <= earlier.conditions.keys()
    assert versions[-1].status == {"loadBalancer": {}}


async def test_STA_11_conditions_keep_the_rules(acme: Tenant) -> None:
    port = tcp(8080, next_node_port())
    async with chronicle_of(acme.cluster, acme.namespace) as chronicle:
        await acme.endpoints("web", {"node-1": False})
        await acme.create("web", [port])
        await acme.reason("web", SERVING, "NoReadyBackend")
        theirs = [*(await acme.get("web"))["status"]["conditions"], OTHERS]
        await acme.patch("web", {"status": {"conditions": theirs}}, "status")
        await _next_second()
        await acme.endpoints("web", {"node-1": True, "node-2": True})
        await acme.reason("web", SERVING, "ProbeUnanswered")
        await acme.listen(port)
        await acme.serving("web")
        versions = await chronicle.versions("web")
    for version in versions:
        assert len(version.conditions) == len(version.status.get("conditions") or [])
    pairs = [pair for earlier, later in pairwise(versions) for pair in _same_condition(earlier, later)]
    kept = [(one, other) for one, other in pairs if one["status"] == other["status"]]
    assert all(one["lastTransitionTime"] == other["lastTransitionTime"] for one, other in kept)
    assert any(one["reason"] != other["reason"] for one, other in kept)
    assert versions[-1].conditions[OTHERS["type"]] == OTHERS
    await acme.patch("web", {"spec": {"type": "ClusterIP"}})
    await acme.until_let_go("web")
    assert (await acme.get("web"))["status"]["conditions"] == [OTHERS]


def _same_condition(earlier: Version, later: Version) -> list[tuple[Object, Object]]:
    """Each condition as it was before and after."""
    kinds = earlier.conditions.keys() & later.conditions.keys()
    return [(earlier.conditions[kind], later.conditions[kind]) for kind in kinds]


async def _next_second() -> None:
    """Times in conditions have whole seconds: from here on they can be told from those before."""
    now = int(time.time())

    async def is_later() -> bool:
        return int(time.time()) > now

    await eventually(is_later, "the next second")


async def test_STA_12_a_first_sign_comes_even_when_nobody_decides(acme: Tenant, fleet: Fleet) -> None:
    async with fleet.without("manager"):
        await acme.create("web", [tcp(8080, next_node_port())])
        begun = time.monotonic()
        await acme.until("web", lambda service: service is not None and bool(service.status.conditions), "a sign")
        assert time.monotonic() - begun < 30
        by_type = {each["type"]: each["status"] for each in (await acme.get("web"))["status"]["conditions"]}
        assert by_type == {PROVISIONED: "False", SERVING: "False"}
    await acme.address("web")


async def test_STA_13_serving_means_that_every_port_answers_at_once(acme: Tenant, network: Network) -> None:
    for number in range(3):
        ports = [tcp(8080 + offset, next_node_port()) for offset in range(4)] + [udp(8080, next_node_port())]
        await acme.listen(*ports)
        await acme.create(f"web-{number}", ports)
        vip = await acme.serving(f"web-{number}")
        keys = [key(vip, port["port"], Protocol(port["protocol"])) for port in ports]
        answers = await asyncio.gather(*(network.ask(each) for each in keys))
        assert [each for each, answer in zip(keys, answers, strict=True) if not answer.ok] == []


async def test_STA_14_what_is_unsupported_says_so_and_names_the_field(acme: Tenant) -> None:
    await acme.create("web", [tcp(8080, next_node_port())], annotations={"fleetlb.dev/sharing": "x"})
    for kind in (PROVISIONED, SERVING):
        assert "fleetlb.dev/sharing" in await acme.reason("web", kind, "Unsupported")
    statuses = {each["status"] for each in (await acme.get("web"))["status"]["conditions"]}
    assert statuses == {"False"}


async def test_STA_14_no_capacity_says_so(
    acme: Tenant, fleet: Fleet, network: Network, refused: Callable[[str], None]
) -> None:
    one = network.spare_addresses.partition("/")[0]
    async with pool_for(fleet, acme, "one", f"{one}/32") as annotations:
        await acme.create("first", [tcp(8080, next_node_port())], annotations=annotations)
        assert await acme.address("first") == one
        await acme.create("second", [tcp(8080, next_node_port())], annotations=annotations)
        for kind in (PROVISIONED, SERVING):
            await acme.reason("second", kind, "PoolExhausted")
    refused("the reason is PoolExhausted, QuotaExceeded or AddressInUse, which says more than Infrastructure would")


async def test_STA_15_mixed_protocols_are_served_and_not_complained_of(acme: Tenant) -> None:
    ports = [tcp(8080, next_node_port()), udp(8080, next_node_port())]
    await acme.listen(*ports)
    await acme.create("web", ports)
    vip = await acme.vip("web")
    for protocol in (Protocol.TCP, Protocol.UDP):
        await acme.until_served_by(key(vip, 8080, protocol))
    assert {each["type"] for each in (await acme.get("web"))["status"]["conditions"]} == {PROVISIONED, SERVING}


async def test_STA_16_the_address_stays_over_restarts_and_edits(acme: Tenant, fleet: Fleet) -> None:
    first, second = next_node_port(), next_node_port()
    await acme.listen(tcp(8080, first), tcp(8081, second))
    await acme.create("web", [tcp(8080, first)])
    vip = await acme.vip("web")
    async with chronicle_of(acme.cluster, acme.namespace) as chronicle:
        async with fleet.without("nats", "manager", "status", WATCHER, PROGRAMMER):
            pass
        for edit in (
            {"ports": [tcp(8081, second)]},
            {"externalTrafficPolicy": "Local", "healthCheckNodePort": next_node_port()},
            {"externalTrafficPolicy": "Cluster", "sessionAffinity": "ClientIP"},
            {"sessionAffinity": "None", "ports": [tcp(8080, first), tcp(8081, second)]},
        ):
            await acme.patch("web", {"spec": edit})
        await acme.until_served_by(key(vip, 8080))
        await acme.witness()
        versions = await chronicle.versions("web")
    assert STANDARD in versions[-1].metadata.finalizers
    assert {entry["ip"] for version in versions for entry in version.ingress} == {vip}
    assert all(version.ingress for version in versions)
