"""Which words of nodes are heard; the whole replica is tested against a real API server."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fleetlb.contracts import subjects
from fleetlb.contracts.codec import encode
from fleetlb.contracts.v1 import NodeRealized, ServiceReleased
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.bus import Message
from fleetlb.runtime.metrics import UNREADABLE
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb.testkit.load_balancers import ACCOUNT, CLUSTER, a_load_balancer, a_tenant, a_word, as_message
from fleetlb.testkit.scripted_kube import ScriptedKube
from fleetlb_status.replica import Replica

KEY = ("tenant-acme", "service-1")
NODE = NodeRealized(node="node-1", group="default", engine="envoy", ready=True)
NODE_SUBJECT = "fleetlb.v1.realized.default.node-1.node"


@pytest.fixture
async def replica(tmp_path: Path) -> Replica:
    """One that is not started, over an API server that knows nothing."""
    async with ScriptedKube() as kube:
        cluster = await Cluster.connect(kube.kubeconfig(tmp_path))
        made = Replica(cluster, FakeBus(), namespace="system", identity="a", spawn=lambda work, _: None)
        await cluster.close()
    return made


@pytest.fixture
def refused() -> Iterator[list[float]]:
    """How many words were refused during the test, once it is over."""
    counter = UNREADABLE.labels("realized")
    before = counter._value.get()
    found: list[float] = []
    yield found
    assert [counter._value.get() - before] == found


def hear(replica: Replica, message: Message) -> bool:
    """Whether the word was taken."""
    replica._on_realized("default", message)
    return bool(replica.memory.realized(KEY))


def test_a_word_is_heard_on_its_own_subject(replica: Replica, refused: list[float]) -> None:
    assert hear(replica, as_message(a_word(node="node-1.example")))
    refused.append(0)


@pytest.mark.parametrize(
    "message",
    [
        msgspec.structs.replace(as_message(a_word()), data=b"{"),
        msgspec.structs.replace(as_message(a_word()), data=encode(ServiceReleased())),
        msgspec.structs.replace(as_message(a_word()), data=encode(a_word(node="node-2"))),
        msgspec.structs.replace(as_message(a_word()), data=encode(a_word(node="*"))),
        msgspec.structs.replace(as_message(a_word()), data=encode(a_word("192.0.2.1:80/tcp"))),
        msgspec.structs.replace(
            as_message(a_word()),
            data=encode(msgspec.structs.replace(a_word(), key=VirtualServerKey("x:y", 1, Protocol.TCP))),
        ),
        as_message(a_word(), group="another"),
    ],
    ids=["garbage", "another message", "for another node", "for every node", "another key", "no key", "another group"],
)
def test_other_words_are_counted_and_dropped(replica: Replica, refused: list[float], message: Message) -> None:
    assert not hear(replica, message)
    refused.append(1)


async def test_purges_and_nodes_are_no_words(replica: Replica, refused: list[float]) -> None:
    assert not hear(replica, msgspec.structs.replace(as_message(a_word()), data=b""))
    assert not hear(replica, Message(NODE_SUBJECT, encode(NODE), 1))
    refused.append(0)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        encode(msgspec.structs.replace(NODE, node="node-2")),
        encode(msgspec.structs.replace(NODE, node="*")),
        encode(msgspec.structs.replace(NODE, group="another")),
    ],
    ids=["garbage", "for another node", "for every node", "of another group"],
)
def test_what_is_not_said_by_the_node_itself_is_counted_and_dropped(
    replica: Replica, refused: list[float], data: bytes
) -> None:
    assert not hear(replica, Message(NODE_SUBJECT, data, 1))
    refused.append(1)


async def test_a_release_waits_while_there_is_an_object_of_the_service(replica: Replica) -> None:
    place = ACCOUNT, CLUSTER, "service-1"
    message = Message(subjects.released(*place), encode(ServiceReleased(generation=1)), 0)
    replica.memory.set_tenant(a_tenant())
    replica.memory.set_load_balancer(a_load_balancer())
    replica._on_released(message)
    await replica._release(place)
    assert place in replica._released
    assert not replica.releases.idle()
    replica._on_balancer_gone(a_load_balancer())
    await replica._release(place)
    assert place not in replica._released
