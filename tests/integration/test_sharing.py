"""Addresses that Services share, on a real API server: its versions are what keeps two writers apart."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetlb.contracts.objects import AddressClaim, ClaimPhase
from fleetlb.domain.services import TenantService
from fleetlb.kube.errors import Conflict
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.objects import ClaimObjects
from fleetlb_manager.shares import judge_share, live_shares, share_of, with_share
from tests.integration.conftest import KubeApis
from tests.integration.manager_stage import Node, Stage, Watcher, a_stage_on, a_wish

pytestmark = pytest.mark.integration

VIP = "192.0.2.0"


@pytest.fixture(scope="module")
def kubeconfig(kube_apis: KubeApis) -> Path:
    return kube_apis.start("sharing").kubeconfig


@pytest.fixture
async def stage(kubeconfig: Path) -> AsyncIterator[Stage]:
    async with a_stage_on(kubeconfig) as made:
        yield made


async def begin(stage: Stage, quarantine: int = 0) -> tuple[Node, Watcher]:
    await stage.set_up("acme", pool="192.0.2.0/28", quarantine=quarantine)
    node = stage.add_node()
    stage.start()
    await stage.acting()
    watcher = await stage.watcher()
    await stage.until(stage.clusters)
    return node, watcher


def wish(uid: str, *ports: int, key: str = "k") -> TenantService:
    return a_wish(uid, ports=ports, sharing_key=key)


def said(claim: AddressClaim) -> str:
    """Who has which ports of an address, and who leaves."""
    texts = [f"{share.owner.service_uid}:{','.join(share.ports)}" for share in live_shares(claim.spec)]
    return " ".join(texts + [f"-{share.owner.service_uid}:{','.join(share.ports)}" for share in claim.spec.leaving])


async def test_services_share_and_one_that_leaves_is_let_go_of_first_also_over_a_restart(stage: Stage) -> None:
    node, watcher = await begin(stage, quarantine=30)
    await watcher.say("u1", wish("u1", 80))
    await watcher.say("u2", wish("u2", 443))
    await stage.until_addresses({"u1": (VIP,), "u2": (VIP,)})
    await stage.until(lambda: len(node.serving) == 2)
    node.answering = False
    await watcher.say("u1", None)
    await watcher.say("u3", wish("u3", 80))

    async def is_said(text: str) -> bool:
        return said((await stage.claims())[VIP]) == text

    await stage.until(lambda: is_said("u2:443/TCP -u1:80/TCP"))
    await stage.until(lambda: _refused_to(stage, "u3", "not every balancer node"))
    await stage.restart()
    await stage.acting()
    await stage.settled()
    assert await is_said("u2:443/TCP -u1:80/TCP")
    await node.answer_all()
    await stage.until_addresses({"u2": (VIP,), "u3": (VIP,)})
    assert await is_said("u2:443/TCP u3:80/TCP")
    await watcher.say("u2", None)
    await watcher.say("u3", None)
    await stage.until_addresses({})
    assert {a: claim.spec.phase for a, claim in (await stage.claims()).items()} == {VIP: ClaimPhase.QUARANTINED}


async def _refused_to(stage: Stage, uid: str, words: str) -> bool:
    item = (await stage.load_balancers()).get(uid)
    return item is not None and item.spec.refusal is not None and words in item.spec.refusal.message


async def test_a_manager_that_joins_a_moment_too_late_refuses_what_collides_now(stage: Stage) -> None:
    node, watcher = await begin(stage)
    await watcher.say("u1", wish("u1", 80))
    await stage.until(lambda: node.serving)
    claim = (await stage.claims())[VIP]
    other = share_of(ServiceKey("acme", "cluster-1", "u9"), wish("u9", 443))

    def somebody_is_faster(what: str) -> None:
        if what == "patch addressclaims":
            stage.counting.before_write = lambda what: None
            spec = with_share(claim.spec, other, "k")
            stage.tasks.create_task(ClaimObjects(stage.cluster).set_shares(claim, spec, claim.spec.generation))

    stage.counting.before_write = somebody_is_faster
    stage.counting.delay_writes = 0.1
    await watcher.say("u2", wish("u2", 443))
    await stage.until(lambda: _refused_to(stage, "u2", "port 443/TCP of 192.0.2.0 is shop/u9's"))
    assert said((await stage.claims())[VIP]) == "u1:80/TCP u9:443/TCP"
    assert [str(seen.key) for seen in node.seen] == ["192.0.2.0:80/tcp"]


async def test_of_many_writers_at_once_no_two_put_one_port_on_an_address(stage: Stage) -> None:
    _, watcher = await begin(stage)
    await watcher.say("u1", wish("u1", 80))
    await stage.until_addresses({"u1": (VIP,)})
    await stage.kill()
    store, lost = ClaimObjects(stage.cluster), Counter[str]()

    async def join(uid: str, port: int) -> None:
        """As a manager does: decide on what is there, write on that version, look again if it was another's turn."""
        wanted = share_of(ServiceKey("acme", "cluster-1", uid), wish(uid, port))
        for _ in range(200):
            claim = await store.read(VIP)
            if judge_share(claim.spec, wanted, "k") is not None:
                lost["refused"] += 1
                return
            await asyncio.sleep(0)
            try:
                await store.set_shares(claim, with_share(claim.spec, wanted, "k"), 99)
            except Conflict:
                lost["conflict"] += 1
            else:
                return
        raise AssertionError(f"{uid} is never heard")

    ports = (443, 444, 445)
    await asyncio.gather(*(join(f"w{number}", port) for number, port in zip(range(24), itertools.cycle(ports))))
    claim = await store.read(VIP)
    counts = Counter(text for share in live_shares(claim.spec) for text in share.ports)
    assert counts == {"80/TCP": 1, "443/TCP": 1, "444/TCP": 1, "445/TCP": 1}
    assert lost["refused"] == 21
    assert lost["conflict"] > 0


async def test_a_storm_of_services_of_one_key_ends_on_one_address_over_a_restart(stage: Stage) -> None:
    _, watcher = await begin(stage)
    for number in range(12):
        await watcher.say(f"u{number}", wish(f"u{number}", 8000 + number // 2))
        if number == 5:
            await stage.restart()
    await stage.acting()
    await stage.settled()

    async def is_answered() -> bool:
        items = (await stage.load_balancers()).values()
        return len(items) == 12 and all(item.spec.addresses or item.spec.refusal for item in items)

    await stage.until(is_answered)
    claims = await stage.claims()
    assert list(claims) == [VIP]
    texts = [text for share in live_shares(claims[VIP].spec) for text in share.ports]
    assert sorted(texts) == [f"{8000 + number}/TCP" for number in range(6)]
    refused = {item.spec.refusal.reason for item in (await stage.load_balancers()).values() if item.spec.refusal}
    assert refused == {"SharingConflict"}
