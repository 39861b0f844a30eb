"""Folding, and which verdicts a change may change."""

import msgspec
import pytest

from fleetlb.contracts.objects import LoadBalancer, LoadBalancerStatus
from fleetlb.contracts.v1 import RealizedState
from fleetlb.testkit.load_balancers import (
    ACCOUNT,
    ADDRESS,
    CLUSTER,
    a_group,
    a_load_balancer,
    a_tenant,
    a_word,
)
from fleetlb_status.memory import Key, Memory

KEY: Key = ("tenant-acme", "service-1")
OTHER: Key = ("tenant-acme", "service-2")


class Watched:
    """A memory and the changes that it told."""

    def __init__(self) -> None:
        self._changes: list[Key] = []
        self.memory = Memory(self._changes.append)

    def changes(self) -> list[Key]:
        """Those since the last call."""
        told, self._changes[:] = sorted(self._changes), []
        return told


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_load_balancer_counts_when_something_of_it_changes(watched: Watched) -> None:
    memory = watched.memory
    for balancer, expected in (
        (a_load_balancer(), [KEY]),
        (a_load_balancer(), []),
        (a_load_balancer(generation=2), [KEY]),
        (a_load_balancer(generation=2, uid="made anew"), [KEY]),
        (a_load_balancer(generation=2, uid="made anew", status=LoadBalancerStatus(addresses=(ADDRESS,))), [KEY]),
        (a_load_balancer(generation=2, uid="made anew", wish="another"), [KEY]),
    ):
        memory.set_load_balancer(balancer)
        assert watched.changes() == expected
    touched = a_load_balancer(generation=2, uid="made anew", wish="another")
    relabelled = msgspec.structs.replace(
        touched, metadata=msgspec.structs.replace(touched.metadata, labels={"a": "b"}, resource_version="9")
    )
    memory.set_load_balancer(relabelled)
    assert watched.changes() == []
    assert memory.load_balancers[KEY] is relabelled


def test_words_wait_for_their_load_balancer(watched: Watched) -> None:
    watched.memory.fold_realized(a_word())
    assert watched.changes() == [KEY]
    watched.memory.set_load_balancer(a_load_balancer())
    assert watched.memory.realized(KEY) == {"node-1": {a_word().key: a_word()}}


def test_a_repeated_or_older_word_changes_nothing(watched: Watched) -> None:
    newest = a_word(generation=2, revision=5)
    watched.memory.fold_realized(newest)
    watched.changes()
    for word in (newest, a_word(generation=2, revision=4), a_word(generation=1, revision=9), a_word(about=None)):
        watched.memory.fold_realized(word)
        assert watched.changes() == []
    assert watched.memory.realized(KEY)["node-1"][newest.key] is newest
    watched.memory.fold_realized(a_word(generation=3, revision=1))
    assert watched.changes() == [KEY]


@pytest.mark.parametrize("word", [a_word(about=None, revision=2), a_word(about=2, state=RealizedState.REMOVED)])
def test_what_is_removed_is_forgotten(watched: Watched, word: object) -> None:
    watched.memory.fold_realized(a_word())
    watched.memory.fold_realized(a_word("192.0.2.1:80/tcp"))
    watched.memory.fold_realized(a_word(node="node-2"))
    watched.changes()
    watched.memory.fold_realized(word)  # type: ignore[arg-type]
    assert watched.changes() == [KEY]
    assert list(watched.memory.realized(KEY)["node-1"]) == [a_word("192.0.2.1:80/tcp").key]
    for rest in (a_word("192.0.2.1:80/tcp", about=None, revision=2), a_word(node="node-2", about=None, revision=2)):
        watched.memory.fold_realized(rest)
    assert watched.memory.realized(KEY) == {}
    watched.memory.fold_realized(a_word("192.0.2.1:81/tcp", about=None))
    assert not watched.memory._realized


def test_a_load_balancer_that_is_gone_takes_its_words_with_it(watched: Watched) -> None:
    memory = watched.memory
    memory.set_tenant(a_tenant())
    memory.set_load_balancer(a_load_balancer())
    memory.fold_realized(a_word())
    watched.changes()
    memory.drop_load_balancer(a_load_balancer())
    assert watched.changes() == [KEY]
    assert memory.load_balancers == {}
    assert memory.realized(KEY) == {}
    assert memory.of_cluster(ACCOUNT, CLUSTER) == ()
    memory.set_group(a_group())
    assert watched.changes() == []
    memory.drop_load_balancer(a_load_balancer())
    assert watched.changes() == [KEY]


def test_a_group_changes_those_it_carries(watched: Watched) -> None:
    memory = watched.memory
    memory.set_load_balancer(a_load_balancer())
    memory.set_load_balancer(a_load_balancer("service-2", group="edge"))
    watched.changes()
    memory.set_group(a_group())
    assert watched.changes() == [KEY]
    memory.set_group(a_group())
    assert watched.changes() == []
    memory.set_group(a_group("node-1", "node-2"))
    assert watched.changes() == [KEY]
    assert memory.nodes("default") == ("node-1", "node-2")
    memory.set_load_balancer(a_load_balancer(group="edge"))
    watched.changes()
    memory.set_group(a_group("node-9"))
    assert watched.changes() == []
    memory.set_group(a_group("node-9", name="edge"))
    assert watched.changes() == [KEY, OTHER]


def said_of(memory: Memory) -> int:
    """Of which generation the node's last word is taken."""
    said = memory.realized(KEY)["node-1"][a_word().key].load_balancer
    assert said is not None
    return said.generation


def test_words_hold_for_an_object_that_only_names_another_group(watched: Watched) -> None:
    memory = watched.memory
    memory.set_load_balancer(a_load_balancer(generation=2))
    memory.fold_realized(a_word(about=1))
    memory.set_load_balancer(a_load_balancer(generation=3, group="edge", trace="00-1"))
    assert said_of(memory) == 1, "what was old before stays old"
    memory.fold_realized(a_word(about=2))
    assert said_of(memory) == 3
    memory.set_load_balancer(a_load_balancer(generation=3, group="edge", status=LoadBalancerStatus(addresses=("a",))))
    memory.set_load_balancer(a_load_balancer(generation=4))
    assert said_of(memory) == 4, "there and back"
    memory.fold_realized(a_word(about=4, uid="made anew", revision=5))
    assert said_of(memory) == 4
    memory.fold_realized(a_word(about=5, revision=6))
    assert said_of(memory) == 5, "of what is to come"


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(
            a_load_balancer(generation=3, group="spare"), id="it names the same group, whatever else there is to it"
        ),
        pytest.param(a_load_balancer(generation=3, group="edge", ports=(443, 80)), id="another port"),
        pytest.param(a_load_balancer(generation=3, group="edge", wish="another"), id="another wish"),
        pytest.param(a_load_balancer(generation=4, group="edge"), id="what was between is not known"),
        pytest.param(a_load_balancer(generation=3, group="edge", uid="made anew"), id="another object"),
    ],
)
def test_words_end_with_what_they_are_about(watched: Watched, now: LoadBalancer) -> None:
    memory = watched.memory
    memory.set_load_balancer(a_load_balancer(generation=1))
    memory.set_load_balancer(a_load_balancer(generation=2, group="spare"))
    memory.fold_realized(a_word(about=2))
    memory.set_load_balancer(now)
    assert said_of(memory) == 2


def test_nothing_is_judged_before_all_was_read(watched: Watched) -> None:
    memory, balancer = watched.memory, a_load_balancer()
    memory.set_load_balancer(balancer)
    assert not memory.can_judge(balancer)
    memory.set_group(a_group())
    assert not memory.can_judge(balancer)
    watched.changes()
    memory.complete_group("default")
    assert watched.changes() == [KEY]
    assert memory.can_judge(balancer)
    assert memory.is_complete("default")
    memory.complete_group("default")
    assert watched.changes() == []
    memory.drop_group(a_group())
    assert not memory.can_judge(balancer)
    assert memory.nodes("default") == ()
    memory.set_group(a_group())
    assert memory.can_judge(balancer)


def test_what_owns_no_address_needs_no_nodes_word(watched: Watched) -> None:
    assert watched.memory.can_judge(a_load_balancer(addresses=()))


def test_an_account_that_becomes_known_changes_all_of_its_tenant(watched: Watched) -> None:
    memory = watched.memory
    memory.set_load_balancer(a_load_balancer())
    memory.set_load_balancer(a_load_balancer("service-2", cluster_uid="cluster-2"))
    memory.set_load_balancer(a_load_balancer(tenant="globex"))
    watched.changes()
    memory.set_tenant(a_tenant(account=""))
    assert watched.changes() == []
    assert memory.account("acme") == ""
    memory.set_tenant(a_tenant())
    assert watched.changes() == [KEY, OTHER]
    memory.set_tenant(a_tenant())
    assert watched.changes() == []
    assert memory.account("acme") == ACCOUNT


def test_an_account_sees_its_own_clusters_alone(watched: Watched) -> None:
    memory = watched.memory
    memory.set_tenant(a_tenant())
    memory.set_tenant(a_tenant("globex", "AGLOBEX"))
    memory.set_load_balancer(a_load_balancer())
    memory.set_load_balancer(a_load_balancer("service-2", cluster_uid="cluster-2"))
    memory.set_load_balancer(a_load_balancer("service-9", tenant="globex", cluster_uid="cluster-9"))
    assert memory.of_cluster(ACCOUNT, CLUSTER) == (KEY,)
    assert memory.of_cluster(ACCOUNT, "cluster-2") == (OTHER,)
    assert memory.of_cluster(ACCOUNT, "cluster-9") == ()
    assert memory.of_cluster("ANOBODY", CLUSTER) == ()
    memory.set_tenant(a_tenant(account="ANEW"))
    assert memory.of_cluster(ACCOUNT, CLUSTER) == ()
    assert memory.of_cluster("ANEW", CLUSTER) == (KEY,)
    memory.drop_tenant(a_tenant())
    assert memory.of_cluster("ANEW", CLUSTER) == ()
    memory.drop_tenant(a_tenant())


def test_a_word_looks_at_one_load_balancer_alone(watched: Watched) -> None:
    memory = watched.memory
    for number in range(500):
        memory.set_load_balancer(a_load_balancer(f"service-{number}"))
    watched.changes()
    memory.fold_realized(a_word(service="service-77"))
    assert watched.changes() == [("tenant-acme", "service-77")]
