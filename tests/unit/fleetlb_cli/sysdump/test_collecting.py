"""What gets into a dump of a fleet in memory, and of processes that answer over HTTP."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import PARKED_STREAM, StreamSpec, desired_stream
from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import LOAD_BALANCERS, TENANTS
from fleetlb.kube.resources import NAMESPACES, SECRETS
from fleetlb.runtime.health import Health, health_app
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.fake_kube import FakeKube
from fleetlb.testkit.fake_wire import FakeWire
from fleetlb.testkit.load_balancers import a_load_balancer, a_tenant
from fleetlb.testkit.wishes import a_wish
from fleetlb_cli.sysdump.hub_parts import missing_part, object_parts, streams_part
from fleetlb_cli.sysdump.parts import Part
from fleetlb_cli.sysdump.process_parts import process_parts

TRACE = f"00-{7:032x}-{1:016x}-01"


async def collected(parts: list[Part]) -> dict[str, str]:
    return {file.path: file.content.decode() for part in parts for file in await part.collect()}


async def test_our_objects_are_in_it_as_they_are_and_no_secret() -> None:
    cluster = Cluster(FakeWire(FakeKube()), "test")
    for namespace in ("fleetlb-system", "tenant-acme"):
        await cluster.create(NAMESPACES, {"metadata": {"name": namespace}})
    await cluster.create(TENANTS, a_tenant())
    await cluster.create(LOAD_BALANCERS, a_load_balancer())
    await cluster.create(SECRETS, {"metadata": {"name": "seed", "namespace": "fleetlb-system"}, "data": {"a": "Yg=="}})
    files = await collected(object_parts(cluster, "fleetlb-system"))
    kinds = ["tenants", "tenantclusters", "addresspools", "balancergroups", "loadbalancers", "addressclaims", "leases"]
    assert sorted(files) == sorted(f"objects/{kind}.jsonl" for kind in kinds)
    (tenant,) = files["objects/tenants.jsonl"].splitlines()
    assert json.loads(tenant)["metadata"]["name"] == "acme"
    assert len(files["objects/loadbalancers.jsonl"].splitlines()) == 1
    assert "Secret" not in "".join(files.values())


async def test_the_last_message_of_each_subject_of_every_stream() -> None:
    bus, specs = FakeBus(), (desired_stream("default"), PARKED_STREAM)
    for spec in specs:
        await bus.ensure_stream(spec)
    wish = a_wish(revision=2)
    subject = subjects.desired("default", wish.key)
    await bus.publish(subject, codec.encode(a_wish()), message_id="1")
    await bus.publish(subject, codec.encode(wish), message_id="2", trace=TRACE)
    await bus.publish(subjects.parked("AACME", "m1"), b"\xff no message", message_id="3")

    async def streams(_: str, body: bytes) -> bytes:
        at: int = msgspec.json.decode(body)["offset"]
        return msgspec.json.encode(
            {"total": len(specs), "streams": [_as_told(bus, each) for each in specs[at : at + 1]]}
        )

    await bus.serve("$JS.API.STREAM.LIST", streams)
    files = await collected([streams_part(bus)])
    assert [each["config"]["name"] for each in json.loads(files["streams.json"])] == [each.name for each in specs]
    (line,) = files[f"streams/{desired_stream('default').name}.jsonl"].splitlines()
    told = json.loads(line)
    assert (told["subject"], told["sequence"], told["traceparent"]) == (subject, 2, TRACE)
    assert told["body"]["revision"] == 2
    (parked,) = files["streams/FLEETLB_PARKED.jsonl"].splitlines()
    assert json.loads(parked)["body"] == "12 bytes that are no JSON"


def _as_told(bus: FakeBus, spec: StreamSpec) -> dict[str, object]:
    state = bus.server.streams[spec.name].state
    return {"config": {"name": spec.name, "subjects": spec.subjects}, "state": {"messages": state.messages}}


@pytest.fixture
async def process() -> AsyncIterator[str]:
    """A process that is not ready; where it answers."""
    health = Health("fleetlb-manager")
    health.gate("store", "the store went back")
    runner = web.AppRunner(health_app(health))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_what_a_process_says_of_itself(process: str) -> None:
    files = await collected(process_parts({"dataplane-programmer/node-1": process}))
    folder = "processes/dataplane-programmer-node-1"
    assert "python_info" in files[f"{folder}/metrics.txt"]
    assert "fleetlb-manager" in files[f"{folder}/healthz.txt"]
    status, _, body = files[f"{folder}/readyz.txt"].partition("\n")
    assert (status, json.loads(body)["ready"]) == ("503", False)


async def test_what_cannot_be_had_is_said() -> None:
    (healthz, *_) = process_parts({"manager": "http://127.0.0.1:1"})
    assert healthz.title == "manager /healthz"
    with pytest.raises(OSError, match="refused"):
        await healthz.collect()
    with pytest.raises(Transient, match="NATS: away"):
        await missing_part("streams", "NATS: away").collect()
