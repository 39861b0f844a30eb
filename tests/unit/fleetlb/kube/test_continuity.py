"""A process, its Lease and its marks, against the Lease store of `test_leases`, put back to older states by hand."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest
from aiohttp import web

from fleetlb.contracts.v1 import StoreMarked
from fleetlb.domain.errors import Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.continuity import Continuity
from fleetlb.kube.errors import StoreWentBack
from fleetlb.kube.lease_marks import ACCEPTED, WENT_BACK
from fleetlb.kube.lease_timing import LeaseTiming
from fleetlb.kube.leases import LeaseHolder
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_kube import Json, ScriptedKube
from tests.unit.fleetlb.kube.test_leases import COLLECTION, PATH, LeaseStore

UID = "cluster-1"


class Store(LeaseStore):
    """A Lease store that can be put back, and patched by others without a precondition."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET" and request.path == COLLECTION:
            return await Json({"metadata": {"resourceVersion": str(self.version)}, "items": []}).answer(request)
        return await super().answer(request)

    def _handle(self, method: str, body: Any) -> Any:
        if body is not None:
            body["metadata"].setdefault("resourceVersion", str(self.version))
            body.setdefault("spec", {})
        return super()._handle(method, body)

    def write(self, lease: dict[str, Any], body: dict[str, Any]) -> None:
        super().write(lease, body)
        annotations = lease["metadata"]["annotations"]
        lease["metadata"]["annotations"] = {key: text for key, text in annotations.items() if text is not None}

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.lease["metadata"]["annotations"]) if self.lease else {}

    def backup(self) -> tuple[Any, int]:
        return copy.deepcopy(self.lease), self.version

    def restore(self, backup: tuple[Any, int]) -> None:
        self.lease, self.version = copy.deepcopy(backup[0]), backup[1]

    def accept(self) -> None:
        assert self.lease is not None
        once = self.lease["metadata"]["annotations"].pop(WENT_BACK)
        self.write(self.lease, {"metadata": {"annotations": {ACCEPTED: once}}, "spec": {}})


class Shelf:
    """Marks in memory; away while `fails`."""

    def __init__(self) -> None:
        self.marks: dict[str, StoreMarked] = {}
        self.fails = False

    async def read(self, lease: str) -> StoreMarked | None:
        if self.fails:
            raise Transient("away")
        return self.marks.get(lease)

    async def write(self, lease: str, mark: StoreMarked) -> None:
        if self.fails:
            raise Transient("away")
        self.marks[lease] = mark


class Replica:
    """One process."""

    def __init__(self, cluster: Cluster, shelf: Shelf, identity: str = "a") -> None:
        self.opened: list[int] = []
        timing = LeaseTiming(renew=0.02, retry=0.02)
        self.holder = LeaseHolder(cluster, namespace="ns", name="l", identity=identity, timing=timing)
        self.continuity = Continuity(cluster, self.holder, shelf, on_open=self.opened.append)

    @asynccontextmanager
    async def living(self) -> AsyncIterator["Replica"]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.continuity.run())
            yield self
            task.cancel()


@pytest.fixture
def store(kube: ScriptedKube) -> Store:
    made = Store()
    kube.on("POST", COLLECTION, made)
    kube.on("VERSION", COLLECTION, made)
    kube.on("GET", PATH, made)
    kube.on("PATCH", PATH, made)
    kube.on("GET", "/api/v1/namespaces/kube-system", Json({"metadata": {"uid": UID}}))
    return made


async def test_the_mark_follows_the_lease(store: Store, cluster: Cluster) -> None:
    shelf = Shelf()
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: "l" in shelf.marks)
        first = shelf.marks["l"]
        assert (first.cluster_uid, first.generation) == (UID, replica.holder.generation)
        await eventually(lambda: shelf.marks["l"].version > first.version + 2)
        assert replica.continuity.objection == ""


async def test_a_process_that_saw_the_future_writes_it_down_and_ends(store: Store, cluster: Cluster) -> None:
    shelf, replica, seen = Shelf(), Replica(cluster, Shelf()), list[int]()

    async def live() -> None:
        async with replica.living():
            await eventually(lambda: store.version > 3)
            backup = store.backup()
            await eventually(lambda: store.version > backup[1] + 3)
            seen.append(store.version)
            store.restore(backup)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as met:
        await live()
    assert met.group_contains(StoreWentBack)
    assert int(store.annotations[WENT_BACK]) >= seen[0] - 1
    async with Replica(cluster, shelf).living() as fresh:  # without any mark: the Lease itself tells
        await eventually(lambda: fresh.holder.held.is_set() and fresh.continuity.objection)
        assert fresh.holder.generation > replica.holder.generation, "nodes have seen the lower ones"
        assert not shelf.marks, "a mark that is set back would hide what went back"


async def test_a_process_that_starts_sees_it_by_the_mark_until_it_is_accepted(store: Store, cluster: Cluster) -> None:
    shelf = Shelf()
    async with Replica(cluster, shelf).living():
        await eventually(lambda: store.version > 3)
        backup = store.backup()
        await eventually(lambda: "l" in shelf.marks and shelf.marks["l"].version > backup[1] + 3)
    mark = shelf.marks["l"]
    for _ in range(2):  # however often it is restored
        store.restore(backup)
        store.version += 1000  # and however much others have written since
        async with Replica(cluster, shelf).living() as replica:
            await eventually(lambda: replica.holder.held.is_set() and replica.continuity.objection)
            assert store.annotations[WENT_BACK] == str(mark.version)
            assert replica.holder.generation > mark.generation
            assert shelf.marks["l"] == mark
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: replica.holder.held.is_set() and replica.continuity.objection)
        store.accept()
        await eventually(lambda: replica.opened == [replica.holder.generation])
        assert replica.continuity.objection == ""
        await eventually(lambda: shelf.marks["l"] != mark)
    assert store.annotations[ACCEPTED] == str(mark.version)


async def test_what_was_accepted_is_not_found_again_before_there_is_a_new_mark(store: Store, cluster: Cluster) -> None:
    shelf = Shelf()
    async with Replica(cluster, shelf).living():
        await eventually(lambda: "l" in shelf.marks)
        backup = store.backup()
        await eventually(lambda: shelf.marks["l"].version > backup[1] + 3)
    store.restore(backup)
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: replica.continuity.objection)
    store.accept()
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: replica.holder.held.is_set())
        assert replica.continuity.objection == ""


async def test_nothing_is_held_before_the_mark_could_be_read(store: Store, cluster: Cluster) -> None:
    shelf = Shelf()
    shelf.marks["l"] = StoreMarked(cluster_uid=UID, version=50, generation=9)
    shelf.fails = True
    async with Replica(cluster, shelf).living() as replica:
        await asyncio.sleep(0.1)
        assert store.lease is None
        shelf.fails = False
        await eventually(lambda: replica.holder.held.is_set(), 5)
        assert "version 50" in replica.continuity.objection, "a store without the lease, that is younger than the mark"


async def test_another_cluster_begins_above_the_terms_of_the_last_one(store: Store, cluster: Cluster) -> None:
    shelf, ahead = Shelf(), 4_000_000_000
    shelf.marks["l"] = StoreMarked(cluster_uid="cluster-0", version=50, generation=ahead)
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: replica.holder.held.is_set())
        assert (replica.holder.generation, replica.continuity.objection) == (ahead + 1, "")


async def test_who_slept_through_a_restore_and_its_acceptance_closes_nothing(store: Store, cluster: Cluster) -> None:
    shelf, sleeper = Shelf(), Replica(cluster, Shelf(), "b")
    async with Replica(cluster, shelf).living():
        await eventually(lambda: store.version > 3)
        backup = store.backup()
        await eventually(lambda: "l" in shelf.marks and shelf.marks["l"].version > backup[1] + 3)
        await sleeper.holder.step()
    store.restore(backup)
    async with Replica(cluster, shelf).living() as replica:
        await eventually(lambda: replica.holder.held.is_set() and replica.continuity.objection)
        store.accept()
        await eventually(lambda: replica.opened and shelf.marks["l"].generation == replica.holder.generation)

        async def sees_it() -> NoReturn:
            raise StoreWentBack("gadgets", 10_000, 3)

        woken = Continuity(cluster, sleeper.holder, shelf, on_open=sleeper.opened.append)
        with pytest.raises(StoreWentBack):
            await woken.guard(sees_it())
        assert woken.objection, "it does nothing any more, and begins anew"
        assert WENT_BACK not in store.annotations
        stranger = Continuity(cluster, sleeper.holder, Shelf(), on_open=sleeper.opened.append)
        with pytest.raises(StoreWentBack):
            await stranger.guard(sees_it())
        assert store.annotations[WENT_BACK] == "10000", "without a mark nobody knows better"
