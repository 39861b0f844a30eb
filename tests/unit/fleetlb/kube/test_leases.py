"""The holder against a small Lease store behind scripted answers, under a clock that the test moves."""

import asyncio
import json
from typing import Any

import pytest
import structlog
from aiohttp import web
from prometheus_client import REGISTRY

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.lease_terms import GENERATION
from fleetlb.kube.lease_timing import LeaseTiming
from fleetlb.kube.leases import LeaseHolder
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_kube import Hang, Json, Reply, ScriptedKube, refusal

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
PATH = f"{COLLECTION}/l"
EPOCH = 1_700_000_000


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now - 1000.0


class LeaseStore:
    """One Lease with the API server's precondition. `fault` is answered instead, if `commits` after the write."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.fault: Reply | None = None
        self.commits = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.fault and not self.commits:
            return await self.fault.answer(request)
        reply = self._handle(request.method, json.loads(await request.text() or "null"))
        return await (reply if request.method == "GET" else self.fault or reply).answer(request)

    def _handle(self, method: str, body: Any) -> Reply:
        if self.lease is None and method != "POST":
            return refusal(404, "NotFound")
        if method == "POST":
            if self.lease is not None:
                return refusal(409, "AlreadyExists")
            self.write({"metadata": {"annotations": {}}, "spec": {}}, body)
        elif method == "PATCH" and self.lease is not None:
            if body["metadata"]["resourceVersion"] != str(self.version):
                return refusal(409, "Conflict")
            self.write(self.lease, body)
        assert self.lease is not None
        return Json(self.lease)

    def write(self, lease: dict[str, Any], body: dict[str, Any]) -> None:
        self.version += 1
        lease["metadata"] |= {"resourceVersion": str(self.version)}
        lease["metadata"]["annotations"] |= body["metadata"].get("annotations", {})
        lease["spec"] |= body["spec"]
        self.lease = lease

    @property
    def holder(self) -> str:
        assert self.lease is not None
        holder: str = self.lease["spec"]["holderIdentity"]
        return holder


class Candidate:
    """A holder and what it told."""

    def __init__(self, cluster: Cluster, clock: Clock, identity: str = "a", **timing: Any) -> None:
        self.told: list[object] = []
        self.holder = LeaseHolder(
            cluster,
            namespace="ns",
            name="l",
            identity=identity,
            timing=LeaseTiming(**timing),
            clock=clock,
            on_acquired=self.told.append,
            on_lost=lambda: self.told.append("lost"),
        )
        self.holder.on_raised = lambda generation: self.told.append(f"raised {generation}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(kube: ScriptedKube) -> LeaseStore:
    made = LeaseStore()
    kube.on("POST", COLLECTION, made)
    kube.on("GET", PATH, made)
    kube.on("PATCH", PATH, made)
    return made


async def test_creates_acquires_and_renews(
    store: LeaseStore, cluster: Cluster, clock: Clock, kube: ScriptedKube
) -> None:
    a = Candidate(cluster, clock)
    assert await a.holder.step() == 5.0
    assert (a.told, a.holder.generation, a.holder.held.is_set()) == ([EPOCH], EPOCH, True)
    clock.now += 5
    assert await a.holder.step() == 5.0
    assert a.told == [EPOCH]
    assert [request.method for request in kube.requests] == ["GET", "POST", "PATCH"], "one write per renewal"
    assert store.lease is not None
    assert store.lease["spec"]["renewTime"].endswith("13:25.000000Z")


async def test_the_known_metric_tells_who_holds_it(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    def told() -> float | None:
        return REGISTRY.get_sample_value("leader_election_master_status", {"name": "l"})

    holder = Candidate(cluster, clock).holder
    assert told() == 0
    await holder.step()
    assert told() == 1
    store.fault = refusal(503, "ServiceUnavailable")
    clock.now += 10
    await holder.step()
    assert told() == 0


async def test_waits_for_anothers_term_to_expire_by_observation(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    a, b = Candidate(cluster, clock, "a"), Candidate(cluster, clock, "b")
    await a.holder.step()
    clock.now += 3600  # however old the renewal looks, b has only just seen it
    for _ in range(7):
        assert await b.holder.step() == 2.0
        clock.now += 2.0
    assert b.told == []
    clock.now += 1.0
    await b.holder.step()
    assert (b.told, store.holder) == ([EPOCH + 3600 + 16], "b")


async def test_a_renewal_seen_starts_the_wait_anew(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a, b = Candidate(cluster, clock, "a"), Candidate(cluster, clock, "b")
    for _ in range(10):
        await a.holder.step()
        await b.holder.step()
        clock.now += 5.0
    assert (a.told, b.told) == ([EPOCH], [])


async def test_the_same_identity_acquires_at_once_after_a_restart(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    await Candidate(cluster, clock).holder.step()
    again = Candidate(cluster, clock)
    await again.holder.step()
    assert again.told == [EPOCH + 1]


async def test_a_living_namesake_is_not_fought(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    first, second = Candidate(cluster, clock), Candidate(cluster, clock)
    await first.holder.step()
    await second.holder.step()
    for _ in range(8):
        clock.now += 2.0
        await first.holder.step()
        await second.holder.step()
    assert (first.told, second.told) == ([EPOCH, "lost"], [EPOCH + 1])


@pytest.mark.parametrize("fault", [refusal(503), refusal(403)], ids=["503", "403"])
async def test_is_lost_in_time_when_it_cannot_be_renewed(
    store: LeaseStore, cluster: Cluster, clock: Clock, fault: Reply
) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    store.fault = fault
    waited = []
    with structlog.testing.capture_logs() as logs:
        for step in (5.0, 2.0, 2.0):
            clock.now += step
            waited.append(await a.holder.step())
        assert a.holder.held.is_set()
        assert waited == [2.0, 2.0, 1.0]
        clock.now += 1.0
        assert not a.holder.is_valid()
        assert await a.holder.step() == 0.0
    assert a.told == [EPOCH, "lost"]
    assert [entry["event"] for entry in logs] == ["cannot use the lease; trying again", "lease lost"]
    store.fault = None
    await a.holder.step()
    assert a.told == [EPOCH, "lost", EPOCH + 11], "nobody took it: a new term at once"


async def test_a_pause_of_the_process_makes_it_invalid_before_it_knows(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    assert a.holder.is_valid()
    clock.now += 10.0
    assert a.holder.held.is_set()
    assert not a.holder.is_valid()


async def test_a_renewal_that_hangs_does_not_outlast_the_term(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    store.fault = Hang()
    clock.now += 9.95  # 50 ms are left; a request may take 500
    loop = asyncio.get_running_loop()
    started = loop.time()
    await a.holder.step()
    assert loop.time() - started < 0.3


async def test_taken_by_another(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    assert store.lease is not None
    store.write(
        store.lease, {"metadata": {"annotations": {GENERATION: str(EPOCH + 1)}}, "spec": {"holderIdentity": "b"}}
    )
    clock.now += 5
    await a.holder.step()
    assert a.told == [EPOCH]
    await a.holder.step()
    assert (a.told, store.holder) == ([EPOCH, "lost"], "b")


async def test_a_change_by_somebody_else_does_not_cost_the_term(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    assert store.lease is not None
    store.write(store.lease, {"metadata": {"annotations": {"other": "x"}}, "spec": {}})
    assert await a.holder.step() < 1.0
    assert await a.holder.step() == 5.0
    assert a.told == [EPOCH]


async def test_deleted_while_held(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    store.lease = None
    clock.now += 5
    await a.holder.step()
    await a.holder.step()
    assert a.told == [EPOCH, "lost", EPOCH + 5]


async def test_a_race_has_one_winner(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    candidates = [Candidate(cluster, clock, name) for name in "abcdef"]
    await asyncio.gather(*(candidate.holder.step() for candidate in candidates))
    assert sum(candidate.told == [EPOCH] for candidate in candidates) == 1


async def test_a_write_of_unknown_outcome_is_read_back(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    store.fault, store.commits = refusal(504, "Timeout"), True
    a = Candidate(cluster, clock)
    await a.holder.step()
    store.fault = None
    await a.holder.step()
    assert (a.told, store.holder) == ([EPOCH + 1], "a")


async def test_a_missing_namespace_is_waited_for(kube: ScriptedKube, cluster: Cluster, clock: Clock) -> None:
    kube.on("POST", COLLECTION, refusal(404, "NotFound", 'namespaces "ns" not found'))
    a = Candidate(cluster, clock)
    with structlog.testing.capture_logs() as logs:
        assert [await a.holder.step() for _ in range(3)] == [2.0] * 3
    assert [entry["event"] for entry in logs] == ["cannot use the lease; trying again"]


async def test_running_holds_and_hands_back_when_stopped(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a, b = Candidate(cluster, clock, "a"), Candidate(cluster, clock, "b", renew=0.01)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(a.holder.run())
        await asyncio.wait_for(a.holder.held.wait(), 5)
        task.cancel()
    assert a.told == [EPOCH, "lost"]
    assert store.holder == ""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(b.holder.run())
        await asyncio.wait_for(b.holder.held.wait(), 5)
        await eventually(lambda: store.version >= 5)
        assert b.told == [EPOCH + 1]
        task.cancel()


async def test_stopping_does_not_take_anothers_lease_away(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(a.holder.run())
        await asyncio.wait_for(a.holder.held.wait(), 5)
        assert store.lease is not None
        store.write(store.lease, {"metadata": {}, "spec": {"holderIdentity": "b"}})
        task.cancel()
    assert store.holder == "b"


async def test_stopping_without_an_api_server_is_quick(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(a.holder.run())
        await asyncio.wait_for(a.holder.held.wait(), 5)
        store.fault = refusal(503)
        task.cancel()
    assert a.told == [EPOCH, "lost"]


async def test_a_term_goes_on_above_a_generation_that_somebody_has_used(
    store: LeaseStore, cluster: Cluster, clock: Clock
) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    clock.now += 1
    a.holder.rise_above(EPOCH + 100)
    assert a.holder.generation == EPOCH, "not before it is written"
    await a.holder.step()
    assert a.told == [EPOCH, f"raised {EPOCH + 101}"]
    assert (a.holder.generation, a.holder.is_valid()) == (EPOCH + 101, True)
    assert store.lease is not None
    assert store.lease["metadata"]["annotations"][GENERATION] == str(EPOCH + 101)
    assert store.lease["spec"]["leaseTransitions"] == 0, "the holder is the same"
    clock.now += 1
    a.holder.rise_above(EPOCH + 50)
    await a.holder.step()
    assert a.holder.generation == EPOCH + 101


async def test_who_has_lost_the_lease_cannot_raise_it(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    assert store.lease is not None
    taken = {"metadata": {"annotations": {GENERATION: str(EPOCH + 7)}}, "spec": {"holderIdentity": "b"}}
    store.write(store.lease, taken)
    a.holder.rise_above(EPOCH + 100)
    await a.holder.step()
    assert a.holder.generation == EPOCH, "nothing was written"
    await a.holder.step()
    assert (a.told, a.holder.is_valid()) == ([EPOCH, "lost"], False)


async def test_a_lease_that_is_handed_over_is_anybody_elses(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a, b = Candidate(cluster, clock, "a"), Candidate(cluster, clock, "b")
    await a.holder.step()
    a.holder.hand_over(10.0)
    await a.holder.step()
    assert (a.told, store.holder) == ([EPOCH, "lost"], "")
    await a.holder.step()
    assert store.holder == "", "it abstains"
    await b.holder.step()
    assert store.holder == "b"


async def test_a_lease_that_nobody_wants_is_taken_again(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a = Candidate(cluster, clock)
    await a.holder.step()
    a.holder.hand_over(10.0)
    await a.holder.step()
    clock.now += 10.0
    await a.holder.step()
    assert a.told == [EPOCH, "lost", EPOCH + 11]


async def test_no_term_begins_against_a_restraint(store: LeaseStore, cluster: Cluster, clock: Clock) -> None:
    a, restrained = Candidate(cluster, clock), [True]
    a.holder.restraint = lambda: restrained[0]
    assert await a.holder.step() == 2.0
    assert store.lease is None
    restrained[0] = False
    await a.holder.step()
    assert store.holder == "a"
    restrained[0] = True
    clock.now += 5
    await a.holder.step()
    assert a.told == [EPOCH], "a term that has begun goes on"
