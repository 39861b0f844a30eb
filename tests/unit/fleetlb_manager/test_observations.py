import pytest

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey
from fleetlb.contracts.v1 import Hop, InventoryObserved, NodesObserved, ServiceObserved
from fleetlb.domain.errors import Poison
from fleetlb.domain.services import TenantNode, TenantService
from fleetlb_manager import observations
from fleetlb_manager.identities import ClusterKey
from fleetlb_manager.observations import InventoryArrived, NodesChanged, Observations, ServiceChanged
from tests.unit.fleetlb_manager.manager_world import READY, a_key, a_wish

CLUSTER = ClusterKey("acme", "cluster-1")
NODES = "fleetlb.v1.observed.ACME.cluster-1.nodes"
INVENTORY = "fleetlb.v1.observed.ACME.cluster-1.inventory"
CONTEXT, LATER = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))


def subject(uid: str = "u1", cluster: str = "cluster-1") -> str:
    return subjects.observed_service("ACME", cluster, uid)


def service(
    wish: TenantService | None, digest: str = "d", hops: tuple[Hop, ...] = (), shown: tuple[str, ...] = ()
) -> bytes:
    said = ServiceObserved(digest=digest, wish="w", service=wish, endpoints=READY, hops=hops, shown=shown)
    return codec.encode(said)


def test_a_service_is_known_under_the_streams_owner() -> None:
    seen = Observations()
    assert seen.fold("acme", subject(), service(a_wish()), 1.0) == ServiceChanged(a_key())
    found = seen.service(a_key())
    assert found is not None
    assert found.service == a_wish()
    assert list(seen.services()) == [a_key()] == list(seen.services_of("acme"))
    assert seen.service(a_key(tenant="globex")) is None
    seen.fold("acme", subject(), service(None), 2.0)
    gone = seen.service(a_key())
    assert gone is not None
    assert gone.service is None


def test_services_that_show_an_address_are_counted_while_they_are_wanted() -> None:
    seen, shown = Observations(), ("192.0.2.1",)
    counts = []
    for uid, body in (
        ("u1", service(a_wish())),
        ("u1", service(a_wish(), shown=shown)),
        ("u1", service(a_wish(), shown=shown)),
        ("u2", service(a_wish(), shown=(*shown, "192.0.2.2"))),
        ("u1", service(None, shown=shown)),
        ("u1", service(a_wish(), shown=shown)),
        ("u2", service(a_wish())),
    ):
        seen.fold("acme", subject(uid), body, 1.0)
        counts.append(seen.showing("acme"))
    assert counts == [0, 1, 1, 2, 1, 2, 1]
    seen.forget_service(a_key("u2"))
    assert seen.showing("acme") == 1
    seen.forget_service(a_key("u1"))
    seen.forget_service(a_key("u1"))
    assert seen.showing("acme") == 0
    seen.fold("acme", subject(), service(a_wish(), shown=shown), 1.0)
    seen.forget_tenant("acme")
    assert seen.showing("acme") == seen.showing("globex") == 0


def test_nodes_are_kept_once_each_and_in_order() -> None:
    seen = Observations()
    nodes = (TenantNode(name="b"), TenantNode(name="a"), TenantNode(name="b", eligible=False))
    body = codec.encode(NodesObserved(nodes=nodes, watcher_version="7"))
    assert seen.fold("acme", NODES, body, 1.0) == NodesChanged(CLUSTER)
    cluster = seen.cluster(CLUSTER)
    assert cluster is not None
    assert cluster.nodes == (TenantNode(name="a"), TenantNode(name="b", eligible=False))
    assert list(seen.clusters()) == [CLUSTER]


def test_an_inventory_counts_only_after_the_replay() -> None:
    seen = Observations()
    body = codec.encode(InventoryObserved(services={"u1": "d"}))
    lives = []
    for step in ("nothing", "replayed", "restart"):
        if step != "nothing":
            getattr(seen, step)("acme")
        assert seen.fold("acme", INVENTORY, body, 5.0) == InventoryArrived(CLUSTER)
        cluster = seen.cluster(CLUSTER)
        assert cluster is not None
        assert cluster.inventory is not None
        lives.append(cluster.inventory.live)
    assert lives == [False, True, False]


@pytest.mark.parametrize(
    ("where", "body"),
    [
        (subject("UPPER"), service(a_wish())),
        (subject(cluster="under_score"), service(a_wish())),
        (subject(), b"{}"),
        (subject(), service(TenantService(namespace="a b", name="n", ports=a_wish().ports))),
        (subject(), service(TenantService(namespace="a", name="N", ports=a_wish().ports))),
        (subject(), codec.encode(NodesObserved(nodes=()))),
        (NODES, service(a_wish())),
        (INVENTORY, b'{"type":"dev.fleetlb.v1.inventory_observed","services":{"u1":7}}'),
        ("fleetlb.v1.observed.ACME.cluster-1.else", b"{}"),
        ("fleetlb.v1.observed.ACME.cluster-1.service.u1.more", service(a_wish())),
    ],
)
def test_what_cannot_be_read_changes_nothing(where: str, body: bytes) -> None:
    seen = Observations()
    seen.fold("acme", subject("u0"), service(a_wish()), 1.0)
    with pytest.raises(Poison):
        seen.fold("acme", where, body, 2.0)
    assert list(seen.services()) == [a_key("u0")]


def test_one_tenant_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MAX_CLUSTERS", 2)
    monkeypatch.setattr(observations, "MAX_SERVICES_PER_CLUSTER", 2)
    seen = Observations()
    for uid in ("u1", "u2"):
        seen.fold("acme", subject(uid), service(a_wish()), 1.0)
    with pytest.raises(Poison, match="Services"):
        seen.fold("acme", subject("u3"), service(a_wish()), 1.0)
    seen.fold("acme", subject("u2"), service(None), 1.0)
    seen.fold("acme", subject("u1", "cluster-2"), service(a_wish()), 1.0)
    with pytest.raises(Poison, match="clusters"):
        seen.fold("acme", subject("u1", "cluster-3"), service(a_wish()), 1.0)
    seen.fold("globex", subject("u1", "cluster-3"), service(a_wish()), 1.0)


def test_a_journey_belongs_to_one_change() -> None:
    seen = Observations()
    came = Journey(CONTEXT, (Hop("watch", 1),))
    seen.fold("acme", subject(), service(a_wish(), hops=came.hops), 1.0, CONTEXT)
    assert journey_of(seen) == came
    seen.gone_on(a_key("u9"), came)
    seen.gone_on(a_key(), Journey(LATER))
    assert journey_of(seen) == came, "another change has gone on"
    seen.gone_on(a_key(), came)
    assert journey_of(seen) == NOT_TRAVELLED


def test_a_change_that_is_overtaken_is_not_forgotten() -> None:
    seen = Observations()
    seen.fold("acme", subject(), service(a_wish()), 1.0, CONTEXT)
    seen.fold("acme", subject(), service(a_wish()), 1.0, LATER)
    assert journey_of(seen) == Journey(LATER, overtaken=(CONTEXT,))
    seen.fold("acme", subject(), service(a_wish()), 1.0)
    assert journey_of(seen).trace == LATER, "a repetition is no change"


def journey_of(seen: Observations) -> Journey:
    said = seen.service(a_key())
    assert said is not None
    return said.journey


def test_an_answer_is_for_one_message() -> None:
    seen = Observations()
    seen.fold("acme", subject(), service(None), 1.0)
    seen.answered(a_key())
    seen.answered(a_key("u9"))
    found = seen.service(a_key())
    assert found is not None
    assert found.answered
    seen.fold("acme", subject(), service(None), 1.0)
    again = seen.service(a_key())
    assert again is not None
    assert not again.answered


def test_what_is_forgotten_is_gone() -> None:
    seen = Observations()
    seen.fold("acme", subject(), service(a_wish()), 1.0)
    seen.fold("globex", subject(), service(a_wish()), 1.0)
    seen.forget_service(a_key())
    assert list(seen.services()) == [a_key(tenant="globex")]
    seen.forget_tenant("globex")
    assert list(seen.clusters()) == [CLUSTER]
    seen.forget_service(a_key(tenant="globex"))
