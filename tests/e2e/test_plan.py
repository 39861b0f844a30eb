"""`fleetlb plan` on a whole fleet: what it says is what happens then, and saying it changes nothing."""

import asyncio
import contextlib
import itertools
import json
import shlex
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fleetlb.contracts.objects import AddressPool, LoadBalancer
from fleetlb.domain.conditions import PROVISIONED, READY
from fleetlb.kube.cluster import PatchKind
from fleetlb.kube.errors import NotFound
from fleetlb.kube.fleet_objects import ADDRESS_POOLS, TENANTS
from fleetlb.kube.resources import SERVICES, Object
from tests.e2e.fleet import FLEETLB, Fleet, TenantCluster, eventually

pytestmark = pytest.mark.e2e

BARE = "{apiVersion: v1, kind: Service, metadata: {name: a}}"
_ranges = itertools.count(1)


class Planned:
    """What one call of the command said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stderr == "", done.stderr
        self.code = done.returncode
        self.value = json.loads(done.stdout)

    @property
    def services(self) -> list[Any]:
        """The verdicts on Services."""
        return list(self.value.get("services", []))

    @property
    def service(self) -> Any:
        """The verdict on the one Service."""
        (found,) = self.services
        return found

    @property
    def addresses(self) -> list[str]:
        """Those that the one Service would have."""
        return [each["address"] for each in self.service["plan"].get("addresses", [])]

    @property
    def pool(self) -> Any:
        """The plan of the one pool."""
        (found,) = self.value["pools"]
        return found["plan"]


async def run(fleet: Fleet, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [FLEETLB, "plan", "-f", "-", *arguments, "--state", str(fleet.state)]
    return await asyncio.to_thread(subprocess.run, command, text=True, capture_output=True, timeout=60, input=text)


async def plan(fleet: Fleet, *items: Object, tenant: str = "acme") -> Planned:
    return Planned(await run(fleet, "--tenant", tenant, "-o", "json", text=yaml.safe_dump_all(items)))


def manifest(acme: TenantCluster, name: str, *, port: int = 8080, annotations: Any = None, **spec: Any) -> Object:
    notes = {f"fleetlb.dev/{key}": text for key, text in (annotations or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": acme.namespace, "annotations": notes},
        "spec": {"type": "LoadBalancer", "ports": [{"port": port}], **spec},
    }


async def make(acme: TenantCluster, item: Object) -> str:
    created: Object = await acme.cluster.create(SERVICES, item)
    return str(created["metadata"]["uid"])


async def answered(fleet: Fleet, uid: str, tenant: str = "acme") -> LoadBalancer:
    """The object of a Service, once it is there."""

    async def is_there() -> bool:
        return await fleet.load_balancer(tenant, uid) is not None

    await eventually(is_there, f"a LoadBalancer {uid}")
    found = await fleet.load_balancer(tenant, uid)
    assert found is not None
    return found


async def has_happened(fleet: Fleet, acme: TenantCluster, item: Object, said: Planned) -> None:
    """The Service gets exactly what was planned: these addresses, or this refusal with these words."""
    spec = (await answered(fleet, await make(acme, item))).spec
    if spec.refusal is None:
        assert said.addresses == list(spec.addresses)
        assert (said.code, said.service["verdict"]) == (0, "granted")
    else:
        assert (said.service["reason"], said.service["message"]) == (spec.refusal.reason, spec.refusal.message)
        assert (said.code, said.service["verdict"]) == (1, "refused")


class Pool:
    """An AddressPool of a test's own, for who asks for it."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet = fleet
        self.name = f"planned-{number}"
        self.net = f"127.249.{number}"

    def item(self, *ranges: str, **spec: Any) -> Object:
        return {
            "apiVersion": "fleetlb.dev/v1alpha1",
            "kind": "AddressPool",
            "metadata": {"name": self.name},
            "spec": {"addresses": list(ranges), "autoAssign": False, "quarantineSeconds": 0, **spec},
        }

    async def apply(self, *ranges: str, **spec: Any) -> None:
        """The pool is like this, and the manager knows."""
        item = msgspec.convert(self.item(*ranges, **spec), AddressPool)
        made = await self.fleet.management.apply(ADDRESS_POOLS, item)

        async def is_known() -> bool:
            found = await self.fleet.management.get(ADDRESS_POOLS, self.name)
            said = found.status.conditions
            return bool(said) and said[0].observed_generation == made.metadata.generation

        await eventually(is_known, f"the manager to know pool {self.name}")

    def at(self, last: int) -> str:
        return f"{self.net}.{last}"


@asynccontextmanager
async def a_pool(fleet: Fleet) -> AsyncIterator[Pool]:
    pool = Pool(fleet, next(_ranges))
    await grant(fleet, "default", pool.name)
    try:
        yield pool
    finally:
        with contextlib.suppress(NotFound):
            await fleet.management.delete(ADDRESS_POOLS, pool.name)
        await grant(fleet, "default")


async def grant(fleet: Fleet, *pools: str) -> None:
    """Tenants may use these pools, and the manager knows it."""
    for tenant in ("acme", "globex"):
        body = {"spec": {"pools": list(pools)}}
        made = await fleet.management.patch(TENANTS, tenant, body, kind=PatchKind.MERGE)
        await eventually(partial(is_judged, fleet, tenant, made.metadata.generation), f"{tenant} to be judged anew")


async def is_judged(fleet: Fleet, tenant: str, generation: int) -> bool:
    said = (await fleet.management.get(TENANTS, tenant)).status.conditions
    return any(condition.type == READY and condition.observed_generation == generation for condition in said)


@pytest.fixture
async def pool(fleet: Fleet, acme: TenantCluster) -> AsyncIterator[Pool]:
    """A pool that goes before the tenants' Services do: with its last address."""
    async with a_pool(fleet) as made:
        yield made


async def test_an_address_of_any_pool(fleet: Fleet, acme: TenantCluster) -> None:
    item = manifest(acme, "web")
    said = await plan(fleet, item)
    assert said.service["plan"]["nodes"] == ["node-1"]
    assert said.service["plan"]["addresses"][0]["pool"] == "default"
    assert said.service["plan"]["ports"][0]["realServers"] == 2
    await has_happened(fleet, acme, item, said)


async def test_a_hundred_plans_change_nothing(fleet: Fleet, acme: TenantCluster) -> None:
    item = manifest(acme, "web")
    many = [
        manifest(acme, f"web-{number}", annotations={"sharing-key": "k"}, port=8000 + number) for number in range(50)
    ]
    said = await plan(fleet, item)
    for _ in range(2):
        assert len({each["plan"]["addresses"][0]["address"] for each in (await plan(fleet, *many)).services}) == 1
    assert (await plan(fleet, item)).addresses == said.addresses
    await has_happened(fleet, acme, item, said)


async def test_addresses_asked_for(fleet: Fleet, acme: TenantCluster, globex: TenantCluster, pool: Pool) -> None:
    await pool.apply(f"{pool.net}.0/29")
    first = manifest(acme, "first", annotations={"addresses": pool.at(3)})
    said = await plan(fleet, first)
    assert said.addresses == [pool.at(3)]
    await has_happened(fleet, acme, first, said)
    for name, wish in (
        ("taken", {"addresses": pool.at(3)}),
        ("elsewhere", {"addresses": "192.0.2.1"}),
        ("pool", {"pool": pool.name}),
        ("no-pool", {"pool": "nowhere"}),
    ):
        item = manifest(acme, name, annotations=wish)
        await has_happened(fleet, acme, item, await plan(fleet, item))
    foreign = manifest(globex, "foreign", annotations={"addresses": pool.at(3)})
    said = await plan(fleet, foreign, tenant="globex")
    assert (said.code, said.service["reason"]) == (1, "AddressInUse")
    assert "acme" not in said.service["message"]


async def test_both_families(fleet: Fleet, acme: TenantCluster, pool: Pool) -> None:
    await pool.apply(f"{pool.net}.0/29", "2001:db8:77::/125")
    both: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
    two = manifest(acme, "two", annotations={"pool": pool.name}, **both)
    said = await plan(fleet, two)
    assert len(said.addresses) == 2
    await has_happened(fleet, acme, two, said)
    none = manifest(acme, "none", **both)
    await has_happened(fleet, acme, none, await plan(fleet, none))
    one = manifest(acme, "one", **both | {"ipFamilyPolicy": "PreferDualStack"})
    said = await plan(fleet, one)
    assert len(said.addresses) == 1
    assert "IPv6" in said.service["plan"]["missing"]["message"]
    await has_happened(fleet, acme, one, said)


async def test_a_shared_address_and_a_port_that_collides(fleet: Fleet, acme: TenantCluster) -> None:
    key = {"sharing-key": "together"}
    first, second = manifest(acme, "a", annotations=key), manifest(acme, "b", port=8081, annotations=key)
    third = manifest(acme, "c", port=8081, annotations=key)
    together = await plan(fleet, first, second, third)
    assert [each["verdict"] for each in together.services] == ["granted", "granted", "refused"]
    for item in (first, second, third):
        await has_happened(fleet, acme, item, await plan(fleet, item))


async def test_a_full_pool_and_one_that_grows(fleet: Fleet, acme: TenantCluster, pool: Pool) -> None:
    await pool.apply(f"{pool.at(1)}/32")
    wish: dict[str, Any] = {"annotations": {"pool": pool.name}}
    await answered(fleet, await make(acme, manifest(acme, "first", **wish)))
    late = manifest(acme, "late", **wish)
    said = await plan(fleet, late)
    assert said.service["reason"] == "PoolExhausted"
    assert said.service["cure"]
    await has_happened(fleet, acme, late, said)
    last = manifest(acme, "last", **wish)
    await has_happened(fleet, acme, last, await plan(fleet, last))

    grown = (await plan(fleet, pool.item(f"{pool.at(1)}/32", f"{pool.at(7)}/32"))).pool
    assert (grown["gained"], grown["ipv4"]["total"]) == ([pool.at(7)], 2)
    assert [(each["name"], each["addresses"]) for each in grown["served"]] == [("late", [pool.at(7)])]
    await pool.apply(f"{pool.at(1)}/32", f"{pool.at(7)}/32")
    assert await acme.reason("late", PROVISIONED, "Complete")
    uid = (await acme.get("late"))["metadata"]["uid"]
    assert (await answered(fleet, uid)).spec.addresses == (pool.at(7),)


async def test_a_pool_that_shrinks_or_cannot_be(fleet: Fleet, acme: TenantCluster, pool: Pool) -> None:
    await pool.apply(f"{pool.net}.0/29")
    await answered(fleet, await make(acme, manifest(acme, "web", annotations={"addresses": pool.at(2)})))
    said = await plan(fleet, pool.item(f"{pool.net}.4/30"))
    named = f"{pool.at(2)} of acme {acme.namespace}/web"
    assert (said.code, said.pool["outsideNamed"], said.pool["lost"]) == (0, [named], [f"{pool.at(0)}-{pool.at(3)}"])
    await pool.apply(f"{pool.net}.4/30")
    found = await fleet.management.get(ADDRESS_POOLS, pool.name)
    assert any(named in condition.message for condition in found.status.conditions)
    said = await plan(fleet, pool.item(f"{pool.net}.9-{pool.net}.1"))
    assert said.code == 1
    assert said.value["pools"][0]["message"].startswith("spec.addresses: ")
    said = await plan(fleet, pool.item(f"{pool.net}.1/29"))
    assert said.code == 1
    assert "addresses must be CIDRs without host bits or FIRST-LAST ranges" in said.value["pools"][0]["message"]


async def test_a_quota_that_is_reached(fleet: Fleet, acme: TenantCluster) -> None:
    await answered(fleet, await make(acme, manifest(acme, "first")))
    used = (await fleet.management.get(TENANTS, "acme")).status.usage.load_balancers

    async def limit(number: int | None) -> None:
        body = {"spec": {"quotas": {"loadBalancers": number}}}
        await fleet.management.patch(TENANTS, "acme", body, kind=PatchKind.MERGE)

    item = manifest(acme, "second")
    await limit(1)
    try:

        async def is_refused() -> bool:
            return (await plan(fleet, item)).code == 1

        await eventually(is_refused, f"a quota of 1, where {used} are used")
        said = await plan(fleet, item)
        assert said.service["reason"] == "QuotaExceeded"
        await has_happened(fleet, acme, item, said)
    finally:
        await limit(None)


async def test_what_the_watcher_refuses_itself(fleet: Fleet, acme: TenantCluster) -> None:
    for name, item in {
        "words": manifest(acme, "words", annotations={"no-such-thing": "x"}),
        "ranges": manifest(acme, "ranges", annotations={"addresses": "192.0.2.300"}),
    }.items():
        said = await plan(fleet, item)
        await make(acme, item)
        message = await acme.reason(name, PROVISIONED, said.service["reason"])
        assert message.startswith(said.service["message"])
        assert (said.code, said.service["verdict"]) == (1, "refused")


async def test_what_is_not_ours_is_left_alone(fleet: Fleet, acme: TenantCluster) -> None:
    of_others = manifest(acme, "theirs", loadBalancerClass="example.com/lb")
    said = await plan(fleet, of_others, manifest(acme, "plain", type="ClusterIP"))
    assert (said.code, [each["verdict"] for each in said.services]) == (1, ["not ours", "not ours"])
    await make(acme, of_others)
    sentinel = manifest(acme, "ours")
    await answered(fleet, await make(acme, sentinel))
    found = await acme.get("theirs")
    assert "finalizers" not in found["metadata"]


async def test_a_service_that_is_there_keeps_moves_or_is_refused(fleet: Fleet, acme: TenantCluster, pool: Pool) -> None:
    await pool.apply(f"{pool.net}.0/29")
    before = (await answered(fleet, await make(acme, manifest(acme, "web")))).spec.addresses
    kept = await plan(fleet, manifest(acme, "web", port=9000))
    assert (kept.code, kept.addresses, kept.service["plan"]["before"]) == (0, list(before), list(before))
    moved = await plan(fleet, manifest(acme, "web", annotations={"addresses": pool.at(5)}))
    assert (moved.code, moved.addresses) == (0, [pool.at(5)])
    await acme.patch("web", {"metadata": {"annotations": {"fleetlb.dev/addresses": pool.at(5)}}})
    uid = (await acme.get("web"))["metadata"]["uid"]

    async def has_moved() -> bool:
        return (await answered(fleet, uid)).spec.addresses == (pool.at(5),)

    await eventually(has_moved, "the Service to move")
    no = await run(
        fleet, "--tenant", "acme", text=yaml.safe_dump(manifest(acme, "web", annotations={"pool": "nowhere"}))
    )
    assert no.returncode == 1
    assert f"would be refused, and keep {pool.at(5)}" in no.stdout


@pytest.mark.parametrize(
    ("arguments", "text", "code", "words"),
    [
        ((), BARE, 2, "--tenant: say whose Services they are"),
        (("--tenant", "nobody"), BARE, 2, "no tenant nobody"),
        (
            ("--tenant", "acme", "--cluster", "x"),
            BARE,
            2,
            "no cluster x",
        ),
        (("--tenant", "acme"), "kind: Deployment", 2, "there is no v1 Service"),
        (("--tenant", "acme"), "a: [", 2, "this is no YAML"),
        (
            ("--tenant", "acme"),
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer, ports: [{port: eighty}]}}",
            2,
            "spec.ports[0].port: expected `int`",
        ),
    ],
)
async def test_what_was_asked_wrongly_is_named(
    fleet: Fleet, acme: TenantCluster, arguments: tuple[str, ...], text: str, code: int, words: str
) -> None:
    done = await run(fleet, *arguments, text=text)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


async def test_what_no_api_server_takes_is_refused_in_its_words(fleet: Fleet, acme: TenantCluster) -> None:
    said = await plan(fleet, manifest(acme, "web", port=99999))
    assert (said.code, said.service["verdict"]) == (1, "refused")
    assert "the tenant's API server refuses it" in said.service["message"]
    assert "spec.ports[0].port" in said.service["message"]


async def test_without_a_manager_nobody_answers(fleet: Fleet, acme: TenantCluster) -> None:
    async with fleet.without("manager"):
        done = await run(fleet, "--tenant", "acme", text=yaml.safe_dump(manifest(acme, "web")))
    assert (done.returncode, done.stdout) == (3, "")
    assert "no manager that acts for tenant acme answers" in done.stderr


async def test_a_file_of_that_name(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(manifest(acme, "web")))
    command = [FLEETLB, "plan", "-f", str(file), "--tenant", "acme", "-o", "yaml", "--state", str(fleet.state)]
    done = await asyncio.to_thread(subprocess.run, command, text=True, capture_output=True, timeout=60)
    assert yaml.safe_load(done.stdout)["services"][0]["verdict"] == "granted"
    done = await asyncio.to_thread(
        subprocess.run, [*command[:3], f"{file}.not", *command[4:]], text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 2


async def test_what_the_page_shows_can_be_typed(fleet: Fleet, acme: TenantCluster, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    section = page.partition("## Before you apply something")[2].partition("\n## ")[0]
    lines = [line[2:] for line in section.splitlines() if line.startswith("$ fleetlb ")]
    assert len(lines) == 2
    default = await fleet.management.get(ADDRESS_POOLS, "default")
    pool = {"apiVersion": "fleetlb.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "default"}}
    (tmp_path / "service.yaml").write_text(yaml.safe_dump(manifest(acme, "web")))
    (tmp_path / "pool.yaml").write_text(yaml.safe_dump(pool | {"spec": msgspec.to_builtins(default.spec)}))
    for line in lines:
        command = [FLEETLB, *shlex.split(line.replace(".fleet/local", str(fleet.state)))[1:]]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, text=True, capture_output=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout
