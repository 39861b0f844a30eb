"""What the hub is told, when, under which ids; and that nothing is told twice for nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import structlog

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import InventoryObserved, NodesObserved, ServiceObserved, ServiceReported
from fleetlb.domain.errors import Transient
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import STANDARD_FINALIZER, Selection
from fleetlb.runtime.bus import TooLarge
from fleetlb.testkit.tenant_objects import DEFAULT_PORTS, a_node, a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.counts import CROWDED
from fleetlb_tenant_watcher.deciding import RELEASE_DIGEST
from fleetlb_tenant_watcher.kube_objects import EndpointSlice, Node
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.publishing import INVENTORY, NODES, SHOWN_SECONDS, Publisher
from fleetlb_tenant_watcher.records import Arrival
from tests.unit.fleetlb_tenant_watcher.conftest import HandClocks

GUARDED = (STANDARD_FINALIZER,)
OTHER = ({**DEFAULT_PORTS[0], "port": 8443},)
See = Callable[..., bool]


ARRIVAL = Arrival(42, f"00-{1:032x}-{1:016x}-01", f"00-{1:032x}-{2:016x}-01")


class NoteTaker:
    """A hub that writes down what it is told, and can fail."""

    def __init__(self) -> None:
        self.connected = True
        self.failures: list[Exception] = []
        self.told: list[tuple[str, bytes, str]] = []
        self.traces: list[str] = []

    async def publish(self, subject: str, body: bytes, *, message_id: str, trace: str = "") -> None:
        self.told.append((subject, body, message_id))
        self.traces.append(trace)
        if self.failures:
            raise self.failures.pop(0)

    def take(self) -> list[tuple[str, bytes, str]]:
        told, self.told = self.told, []
        return told

    def take_services(self) -> list[ServiceObserved]:
        return [codec.decode(ServiceObserved, body) for _, body, _ in self.take()]


@pytest.fixture
def hub() -> NoteTaker:
    return NoteTaker()


@pytest.fixture
def publisher(memory: Memory, hub: NoteTaker, clocks: HandClocks) -> Publisher:
    made = Publisher(memory, hub, "cluster-uid", clocks)
    made.begin()
    return made


def add_slice(memory: Memory, *endpoints: Any, version: int = 1) -> None:
    memory.see_slice(msgspec.convert(a_slice(*endpoints, version=version), EndpointSlice))


async def test_nothing_is_told_before_everything_was_seen(
    memory: Memory, hub: NoteTaker, clocks: HandClocks, see: See
) -> None:
    publisher = Publisher(memory, hub, "cluster-uid", clocks)
    see(finalizers=GUARDED)
    for key in ("uid-1", NODES, INVENTORY):
        await publisher.reconcile(key)
    assert hub.told == []


async def test_a_service_is_told_once(publisher: Publisher, memory: Memory, hub: NoteTaker, see: See) -> None:
    see()
    assert await publisher.reconcile("uid-1") is None
    assert hub.told == [], "no finalizer yet"
    see(version=2, finalizers=GUARDED)
    memory.arrivals["uid-1"] = ARRIVAL
    await publisher.reconcile("uid-1")
    ((subject, body, message_id),) = hub.take()
    message = codec.decode(ServiceObserved, body)
    assert subject == "observed.cluster-uid.service.uid-1"
    assert message_id.startswith(f"uid-1-{message.digest}-")
    assert message.service is not None
    assert (message.service.ports[0].port, message.service.ports[0].node_port) == (443, 31777)
    assert [(hop.name, hop.at) for hop in message.hops] == [("watch", 42), ("publish", 1_000_000_000)]
    assert memory.arrivals == {}
    await publisher.reconcile("uid-1")
    assert hub.told == []
    await publisher.reconcile("uid-unknown")
    assert hub.told == []


async def test_a_change_keeps_its_trace_however_often_it_is_sent(
    publisher: Publisher, memory: Memory, hub: NoteTaker, see: See
) -> None:
    see(finalizers=GUARDED)
    memory.arrivals["uid-1"] = ARRIVAL
    hub.failures = [Transient("outcome unknown")]
    with pytest.raises(Transient):
        await publisher.reconcile("uid-1")
    await publisher.reconcile("uid-1")
    assert hub.traces == [ARRIVAL.sent, ARRIVAL.sent]
    record = memory.get("uid-1")
    assert record is not None
    assert record.trace == ARRIVAL.trace
    publisher.unsay()
    await publisher.reconcile("uid-1")
    assert hub.traces[2:] == [""], "what is said again is no change"
    assert record.trace == ARRIVAL.trace


async def test_endpoints_travel_with_the_wish(publisher: Publisher, memory: Memory, hub: NoteTaker, see: See) -> None:
    see(finalizers=GUARDED)
    await publisher.reconcile("uid-1")
    add_slice(memory, an_endpoint("n1", ready=True))
    await publisher.reconcile("uid-1")
    add_slice(memory, an_endpoint("n2", ready=True), version=2)
    await publisher.reconcile("uid-1")
    first, second = hub.take_services()
    assert first.endpoints is None
    assert second.endpoints is not None
    assert (second.endpoints.ready, second.wish == first.wish, second.digest == first.digest) == (True, True, False)


SHOWING: dict[str, Any] = {"finalizers": GUARDED, "ingress": ({"ip": "192.0.2.1", "ipMode": "VIP"},)}


async def test_what_a_service_shows_is_told_after_a_while(
    publisher: Publisher, memory: Memory, hub: NoteTaker, clocks: HandClocks, see: See
) -> None:
    see(finalizers=GUARDED)
    await publisher.reconcile("uid-1")
    see(version=2, **SHOWING)
    memory.arrivals["uid-1"] = ARRIVAL
    assert await publisher.reconcile("uid-1") == SHOWN_SECONDS
    assert memory.arrivals == {}, "the wait is no part of the next change's journey"
    clocks.seconds += SHOWN_SECONDS - 1
    assert await publisher.reconcile("uid-1") == 1.0
    clocks.seconds += 1
    assert await publisher.reconcile("uid-1") is None
    first, second = hub.take_services()
    assert (first.shown, second.shown) == ((), ("192.0.2.1",))
    assert (first.wish, first.service) == (second.wish, second.service)
    assert await publisher.reconcile("uid-1") is None
    assert hub.told == []


@pytest.mark.parametrize("change", [{"ports": OTHER}, {"deleting": True}], ids=["another wish", "deleted"])
async def test_news_do_not_wait_for_it(publisher: Publisher, hub: NoteTaker, see: See, change: dict[str, Any]) -> None:
    see(finalizers=GUARDED)
    await publisher.reconcile("uid-1")
    see(version=2, **SHOWING)
    await publisher.reconcile("uid-1")
    see(version=3, **SHOWING, **change)
    await publisher.reconcile("uid-1")
    assert len(hub.take_services()) == 2


async def test_a_new_watcher_tells_it_at_once(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    see(**SHOWING)
    await publisher.reconcile("uid-1")
    (said,) = hub.take_services()
    assert said.shown == ("192.0.2.1",)


async def test_a_service_with_too_many_pods_is_named_once_and_counted(
    hub: NoteTaker, clocks: HandClocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetlb_tenant_watcher.endpoint_slices.MAX_PODS", 1)
    memory = Memory(Selection(), with_pods=True)
    publisher = Publisher(memory, hub, "cluster-uid", clocks)
    publisher.begin()
    memory.see(msgspec.convert(a_service(finalizers=GUARDED), Service), 1000.0)
    two = [an_endpoint(address=f"10.244.0.{n}", ready=True) for n in (1, 2)]
    with structlog.testing.capture_logs() as lines:
        for version, endpoints in enumerate([two, two[:1], [*two, an_endpoint("n9", ready=True)]], start=1):
            for _ in range(2):
                add_slice(memory, *endpoints, version=version)
                publisher.unsay()
                await publisher.reconcile("uid-1")
            await publisher.reconcile(INVENTORY)
            assert CROWDED._value.get() == (len(endpoints) > 1)
    told = [codec.decode(ServiceObserved, body).endpoints for place, body, _ in hub.take() if ".service." in place]
    assert [(found.crowded, found.pods is None) for found in told[::2] if found] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    assert [line["service"] for line in lines if "too many pods" in line["event"]] == ["shop/web"] * 2


async def test_an_unknown_outcome_is_repeated_under_the_same_id(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    see(finalizers=GUARDED)
    hub.failures = [Transient("no answer"), Transient("no answer")]
    for _ in range(2):
        with pytest.raises(Transient):
            await publisher.reconcile("uid-1")
    await publisher.reconcile("uid-1")
    await publisher.reconcile("uid-1")
    assert len({message_id for _, _, message_id in hub.told}) == 1
    assert len(hub.told) == 3


async def test_every_other_message_has_its_own_id(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    see(finalizers=GUARDED)
    await publisher.reconcile("uid-1")
    see(version=2, finalizers=GUARDED, ports=OTHER)
    await publisher.reconcile("uid-1")
    see(version=3, finalizers=GUARDED)
    await publisher.reconcile("uid-1")
    publisher.unsay()
    await publisher.reconcile("uid-1")
    told = hub.take()
    assert len({message_id for _, _, message_id in told}) == 4
    digests = [codec.decode(ServiceObserved, body).digest for _, body, _ in told]
    assert (digests[0] == digests[2] == digests[3], digests[0] == digests[1]) == (True, False)


async def test_ids_differ_between_runs(memory: Memory, clocks: HandClocks, see: See) -> None:
    see(finalizers=GUARDED)
    ids = set()
    for _ in range(2):
        hub = NoteTaker()
        publisher = Publisher(memory, hub, "cluster-uid", clocks)
        publisher.begin()
        publisher.unsay()
        await publisher.reconcile("uid-1")
        ids.add(hub.told[0][2])
    assert len(ids) == 2


async def test_nothing_is_tried_without_a_connection(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    see(finalizers=GUARDED)
    hub.connected = False
    assert await publisher.reconcile("uid-1") is None
    assert await publisher.reconcile(INVENTORY) == 15
    assert hub.told == []


async def test_what_is_too_large_is_not_tried_for_ever(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    see(finalizers=GUARDED)
    hub.failures = [TooLarge("300 kB")]
    assert await publisher.reconcile("uid-1") is None
    assert await publisher.reconcile("uid-1") is None
    assert len(hub.told) == 1


async def test_a_release_is_asked_for_again_ever_more_slowly(
    publisher: Publisher, memory: Memory, hub: NoteTaker, clocks: HandClocks, see: See
) -> None:
    see(finalizers=GUARDED, deleting=True)
    pauses = []
    for _ in range(6):
        pause = await publisher.reconcile("uid-1")
        assert pause is not None
        pauses.append(pause)
        assert await publisher.reconcile("uid-1") == pause, "looked at again too early"
        clocks.seconds += pause
    assert pauses == [5, 10, 20, 30, 30, 30]
    messages = hub.take_services()
    assert [(m.digest, m.service) for m in messages] == [(RELEASE_DIGEST, None)] * 6
    memory.hear("uid-1", ServiceReported(generation=1, revision=1, released=True))
    assert await publisher.reconcile("uid-1") is None
    assert hub.told == []


async def test_nodes_are_told_when_they_change(publisher: Publisher, memory: Memory, hub: NoteTaker) -> None:
    await publisher.reconcile(NODES)
    await publisher.reconcile(NODES)
    memory.nodes.put(msgspec.convert(a_node("b"), Node))
    await publisher.reconcile(NODES)
    publisher.unsay()
    await publisher.reconcile(NODES)
    told = hub.take()
    assert [len(codec.decode(NodesObserved, body).nodes) for _, body, _ in told] == [0, 1, 1]
    assert {subject for subject, _, _ in told} == {"observed.cluster-uid.nodes"}


async def test_nodes_that_failed_to_be_told_are_told_again(publisher: Publisher, hub: NoteTaker) -> None:
    hub.failures = [Transient("no answer")]
    with pytest.raises(Transient):
        await publisher.reconcile(NODES)
    await publisher.reconcile(NODES)
    assert len({message_id for _, _, message_id in hub.take()}) == 1


async def inventory(publisher: Publisher, hub: NoteTaker) -> dict[str, str]:
    assert await publisher.reconcile(INVENTORY) == 15
    ((subject, body, _),) = hub.take()
    assert subject == "observed.cluster-uid.inventory"
    return codec.decode(InventoryObserved, body).services


async def test_the_inventory_lists_what_the_hub_should_hold(
    publisher: Publisher, memory: Memory, hub: NoteTaker, see: See
) -> None:
    odd = ({**DEFAULT_PORTS[0], "protocol": "DCCP"},)
    see(uid="said", name="said", finalizers=GUARDED)
    see(uid="new", name="new")
    see(uid="refused", name="refused", ports=odd)
    see(uid="refused-later", name="later", ports=odd, finalizers=GUARDED)
    see(uid="going", name="going", finalizers=GUARDED, deleting=True)
    for uid in ("said", "going"):
        await publisher.reconcile(uid)
    said, going = hub.take_services()
    expected = {"said": said.digest, "going": going.digest, "refused-later": ""}
    assert await inventory(publisher, hub) == expected
    memory.hear("going", ServiceReported(generation=1, revision=1, released=True))
    del expected["going"]
    assert await inventory(publisher, hub) == expected


async def test_the_inventory_waits_a_little_for_what_is_about_to_be_said(
    publisher: Publisher, hub: NoteTaker, see: See
) -> None:
    see(finalizers=GUARDED)
    assert [await publisher.reconcile(INVENTORY) for _ in range(5)] == [1.0] * 5
    assert hub.told == []
    listed = await inventory(publisher, hub)
    await publisher.reconcile("uid-1")
    (message,) = hub.take_services()
    assert listed == {"uid-1": message.digest}


async def test_inventories_are_never_taken_for_repetitions(publisher: Publisher, hub: NoteTaker, see: See) -> None:
    clocks_ids = set()
    for _ in range(3):
        await publisher.reconcile(INVENTORY)
        clocks_ids.add(hub.take()[0][2])
    assert len(clocks_ids) == 3


async def test_an_inventory_is_whole_or_none(
    publisher: Publisher, memory: Memory, hub: NoteTaker, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetlb_tenant_watcher.publishing.MAX_LISTED", 1)
    for name in ("a", "b"):
        see(uid=name, name=name, finalizers=GUARDED)
        await publisher.reconcile(name)
        memory.nodes.put(msgspec.convert(a_node(name), Node))
    hub.take()
    await publisher.reconcile(NODES)
    assert await publisher.reconcile(INVENTORY) == 15
    assert hub.told == []
