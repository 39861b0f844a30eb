"""Writing the object's status: late, rarely, and only to the right object."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from fleetlb.contracts.objects import LoadBalancer, LoadBalancerStatus
from fleetlb.contracts.v1 import Probe
from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.workers import Reconciler
from fleetlb.testkit.load_balancers import ADDRESS, a_group, a_load_balancer, a_word
from fleetlb.testkit.scripted_kube import Json, ScriptedKube, refusal
from fleetlb.testkit.virtual_time import run_virtually
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Key, Memory
from fleetlb_status.writing import DEBOUNCE_SECONDS, KubernetesStatusWriter, ObjectWriter

PATH = "/apis/fleetlb.dev/v1alpha1/namespaces/tenant-acme/loadbalancers/service-1/status"


class Objects:
    """Keeps what is written, as an API server would."""

    def __init__(self) -> None:
        self.writes: list[tuple[float, LoadBalancerStatus]] = []
        self.gone = False
        self.on_write: Callable[[], None] = lambda: None

    async def write_status(self, balancer: LoadBalancer, status: LoadBalancerStatus) -> LoadBalancer | None:
        await asyncio.sleep(0)
        self.writes.append((asyncio.get_running_loop().time(), status))
        self.on_write()
        return None if self.gone else msgspec.structs.replace(balancer, status=status)


class Stage:
    """A writer with its queue, fed by hand."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        self.generation: int | None = 7
        self.objects = Objects()
        self.memory = Memory(lambda key: self.queue.add_after(key, DEBOUNCE_SECONDS))
        self.writer = ObjectWriter(
            Judging(self.memory),
            self.objects,
            lambda: self.generation,
            clock=loop.time,
            now=lambda: f"at {loop.time():.1f}",
        )
        self.queue: Reconciler[Key] = Reconciler(self.writer.reconcile, name="objects")
        self.worker = tasks.create_task(self.queue.run())
        self.memory.set_group(a_group())
        self.memory.complete_group("default")

    async def settle(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.queue.join()


def play(steps: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    """Run a scene in virtual time."""

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            stage = Stage(tasks)
            await steps(stage)
            stage.worker.cancel()

    run_virtually(scene())


def test_a_burst_of_changes_is_one_write() -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer(ports=(443, 80)))
        for key in ("192.0.2.1:443/tcp", "192.0.2.1:80/tcp"):
            await stage.settle(0.02)
            stage.memory.fold_realized(a_word(key, probe=Probe.PENDING))
            await stage.settle(0.02)
            stage.memory.fold_realized(a_word(key, revision=2))
        await stage.settle(60)
        ((at, status),) = stage.objects.writes
        assert at < 0.3
        assert status.addresses == (ADDRESS,)
        assert [condition.reason for condition in status.conditions] == ["Complete", "ProbeAnswered"]

    play(steps)


def test_an_unsettled_verdict_waits_longer_and_is_written_in_the_end() -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        await stage.settle(2.1)
        assert stage.objects.writes == []
        await stage.settle(0.2)
        ((_, status),) = stage.objects.writes
        assert [condition.reason for condition in status.conditions] == ["InProgress", "InProgress"]
        stage.memory.fold_realized(a_word())
        await stage.settle(0.3)
        assert [status.conditions[1].reason for _, status in stage.objects.writes] == ["InProgress", "ProbeAnswered"]

    play(steps)


def test_at_rest_nothing_is_written() -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(1)
        for number in range(5):
            stage.memory.fold_realized(a_word(revision=number + 2))
            await stage.settle(600)
        assert len(stage.objects.writes) == 1
        assert stage.memory.load_balancers["tenant-acme", "service-1"].status == stage.objects.writes[0][1]

    play(steps)


def test_how_many_backends_are_healthy_is_written_when_it_changes() -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        for number, healthy in enumerate((None, 3, 2, 2), start=1):
            stage.memory.fold_realized(a_word(revision=number, real_servers=3, healthy=healthy))
            await stage.settle(60)
        (_, first), (_, second) = stage.objects.writes
        assert [status.conditions[1].message.partition("; ")[2] for status in (first, second)] == [
            "",
            "2 of 3 backends healthy",
        ]
        assert first.conditions[1].last_transition_time == second.conditions[1].last_transition_time

    play(steps)


def test_a_status_that_somebody_spoiled_is_repaired() -> None:
    async def steps(stage: Stage) -> None:
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(1)
        stage.memory.set_load_balancer(a_load_balancer())
        await stage.settle(1)
        assert [status.addresses for _, status in stage.objects.writes] == [(ADDRESS,), (ADDRESS,)]

    play(steps)


def test_what_the_watch_brought_meanwhile_is_newer_than_the_answer() -> None:
    async def steps(stage: Stage) -> None:
        edited = a_load_balancer(generation=2)
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        stage.objects.on_write = lambda: stage.memory.set_load_balancer(edited)
        await stage.settle(0.3)
        assert stage.memory.load_balancers["tenant-acme", "service-1"] is edited

    play(steps)


def test_a_load_balancer_that_went_away_is_left_alone() -> None:
    async def steps(stage: Stage) -> None:
        stage.objects.gone = True
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(1)
        stage.memory.drop_load_balancer(a_load_balancer())
        await stage.settle(60)
        assert len(stage.objects.writes) == 1

    play(steps)


def test_without_the_lease_nothing_is_written() -> None:
    async def steps(stage: Stage) -> None:
        stage.generation = None
        stage.memory.set_load_balancer(a_load_balancer())
        stage.memory.fold_realized(a_word())
        await stage.settle(60)
        assert stage.objects.writes == []

    play(steps)


async def write(kube: ScriptedKube, folder: Path, status: LoadBalancerStatus) -> LoadBalancer | None:
    cluster = await Cluster.connect(kube.kubeconfig(folder))
    try:
        return await KubernetesStatusWriter(cluster).write_status(a_load_balancer(), status)
    finally:
        await cluster.close()


async def test_a_write_is_one_patch_of_the_subresource_for_one_very_object(tmp_path: Path) -> None:
    async with ScriptedKube() as kube:
        answer = msgspec.json.encode(a_load_balancer(generation=3))
        kube.on("PATCH", PATH, Json(answer))
        written = await write(kube, tmp_path, LoadBalancerStatus(observed_generation=3))
        assert written == a_load_balancer(generation=3)
        (request,) = kube.requests
        assert request.headers["Content-Type"] == "application/merge-patch+json"
        assert request.body == {
            "metadata": {"uid": "uid-of-service-1"},
            "status": {
                "observedGeneration": 3, "addresses": [], "nodes": [], "conditions": [],
                "announced": None, "announcedBy": None,
            },
        }  # fmt: skip


async def test_an_object_that_is_gone_or_another_one_is_no_error(tmp_path: Path) -> None:
    for code, reason in ((404, "NotFound"), (409, "Conflict")):
        async with ScriptedKube() as kube:
            kube.on("PATCH", PATH, refusal(code, reason))
            assert await write(kube, tmp_path, LoadBalancerStatus()) is None
