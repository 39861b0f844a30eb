"""`fleetlb tenant` on a live fleet: tenants are let in, shown, suspended, rotated and removed, or the cure is named."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml

from fleetlb.kube.fleet_objects import LOAD_BALANCERS
from fleetlb.runtime.jetstream import JetStreamBus
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage.leaving import is_there, say_service
from tests.stage.tenant_commands import (
    FAILED,
    NETWORK,
    USAGE,
    done,
    found,
    joined,
    let_in,
    offered,
    see_off,
    tenant,
)
from tests.upstream.admitting import Kubectl, watchers_kubeconfig

pytestmark = pytest.mark.e2e


async def test_a_tenant_is_made_listed_and_shown(fleet: Fleet) -> None:
    quotas = ["--load-balancers", "5", "--ports", "9"]
    async with let_in(fleet, "initech", "--pool", "default", "--pod-cidr", "198.51.101.0/24", *quotas) as told:
        assert told.startswith("tenant initech is ready; next: fleetlb tenant join initech --nats-url")
        made = await found(fleet, "initech")
        assert (made.spec.node_cidrs, made.spec.pod_cidrs) == ((NETWORK,), ("198.51.101.0/24",))
        assert made.spec.pools == ("default",)
        row = next(line.split() for line in (await done(fleet, "list")).splitlines() if line.startswith("initech "))
        assert row == ["initech", "True", "0/5", "0", "0", "never"]
        rows = {row["name"]: row for row in json.loads(await done(fleet, "list", "-o", "json"))}
        assert {"acme", "globex"} <= set(rows)
        assert rows["acme"]["clusters"] == 1
        assert rows["acme"]["lastContact"]
        page = await done(fleet, "show", "initech")
        assert "0 of 5" in page
        assert "Complete" in page
        details = json.loads(await done(fleet, "show", "initech", "-o", "json"))
        assert (await offered(fleet, "initech")).seed not in page + json.dumps(details)
        assert details["credentials"]["issued"] in page
        again = await tenant(fleet, "create", "initech", "--node-cidr", "203.0.113.0/24")
        assert again.code == FAILED
        assert "there is a tenant initech already" in again.err
        assert (await found(fleet, "initech")).spec == made.spec


async def test_what_a_tenant_has_is_shown(fleet: Fleet, acme: TenantCluster) -> None:
    port = tcp(80, next_node_port())
    await acme.serve(tcp=(port["nodePort"],))
    await acme.create("web", [port])
    address = await acme.serving("web")

    async def is_shown() -> bool:
        details = json.loads(await done(fleet, "show", "acme", "-o", "json"))
        services = {f"{each['namespace']}/{each['name']}": each for each in details["services"]}
        web = services.get(f"{acme.namespace}/web", {})
        return (web.get("addresses"), web.get("serving")) == ([address], "True")

    await eventually(is_shown, "a Service that is shown to serve")
    page = await done(fleet, "show", "acme")
    assert fleet.environment.tenants["acme"].cluster_uid in page
    assert [f"{acme.namespace}/web", address, "True"] in [line.split() for line in page.splitlines()]


async def test_a_tenant_that_is_not_ready_says_why(fleet: Fleet) -> None:
    async with let_in(fleet, "initech"):
        try:
            late = await tenant(fleet, "create", "hooli", "--node-cidr", NETWORK)
            assert late.code == FAILED
            assert f"Overlap: spec.nodeCIDRs: {NETWORK} overlaps" in late.err
            assert "False: Overlap" in await done(fleet, "list")
        finally:
            await see_off(fleet, "hooli")


async def test_a_suspended_tenant_is_cut_and_resumed(fleet: Fleet, tmp_path: Path) -> None:
    async with let_in(fleet, "initech"):
        creds = await joined(fleet, "initech", tmp_path)
        async with fleet.bus(str(creds)) as bus:
            assert bus.connected
            assert "served goes on" in await done(fleet, "suspend", "initech")
            assert (await found(fleet, "initech")).spec.suspended
            await eventually(_cut(bus), "a connection that is cut", 5)
            refused = await tenant(fleet, "join", "initech", "--nats-url", "nats://hub:4222", "-o", "-")
            assert (refused.code, refused.out) == (FAILED, "")
            assert "`fleetlb tenant resume initech` first" in refused.err
            assert "False: Suspended" in await done(fleet, "list")
            assert "is resumed" in await done(fleet, "resume", "initech")

            async def is_back() -> bool:
                return bool(bus.connected)

            await eventually(is_back, "a connection that comes back")


def _cut(bus: JetStreamBus) -> Callable[[], Awaitable[bool]]:
    async def is_cut() -> bool:
        return not bus.connected

    return is_cut


async def test_a_rotation_at_once_voids_what_was_joined_with_before(fleet: Fleet, tmp_path: Path) -> None:
    async with let_in(fleet, "initech"):
        before = await joined(fleet, "initech", tmp_path)
        async with fleet.bus(str(before)) as bus:
            told = await done(fleet, "rotate", "initech", "--now")
            assert "must join anew, with the manifest of `fleetlb tenant join initech`" in told
            await eventually(_cut(bus), "a connection that is cut", 5)
            after = await joined(fleet, "initech", tmp_path)
            assert after.read_text() != before.read_text()
            async with fleet.bus(str(after)) as other:
                assert other.connected
                assert not bus.connected
            await done(fleet, "rotate", "initech", "--notice", "60")
            assert not bus.connected, "a notice makes nothing good again that was void"
            assert (await found(fleet, "initech")).status.void_before


async def test_a_rotation_with_notice_says_when_what_was_before_is_void(fleet: Fleet, tmp_path: Path) -> None:
    async with let_in(fleet, "initech"):
        before = await joined(fleet, "initech", tmp_path)
        told = await done(fleet, "rotate", "initech", "--notice", "3")
        revoked = (await found(fleet, "initech")).spec.credentials.revoked
        assert revoked is not None
        assert f"before {revoked.issued_before} is void from {revoked.at} on; its watchers renew now" in told
        assert f"issued before {revoked.issued_before}: void from {revoked.at} on" in await done(
            fleet, "show", "initech"
        )
        async with fleet.bus(str(before)) as bus:
            assert bus.connected
            await eventually(_cut(bus), "the end of the notice", 8)
        async with fleet.bus(str(await joined(fleet, "initech", tmp_path))) as other:
            assert other.connected


async def test_a_tenant_without_live_load_balancers_is_removed_at_once(fleet: Fleet) -> None:
    async with let_in(fleet, "initech"):
        assert "tenant initech is removed" in await done(fleet, "remove", "initech")
        assert not await is_there(fleet, "initech")


async def test_live_load_balancers_are_cut_off_by_a_confirmation_alone(fleet: Fleet, tmp_path: Path) -> None:
    async with let_in(fleet, "initech"):
        creds = await joined(fleet, "initech", tmp_path)
        async with fleet.bus(str(creds)) as bus:
            await say_service(bus, "web")

            async def is_live() -> bool:
                items = await fleet.management.list(LOAD_BALANCERS, "tenant-initech")
                return any(item.spec.addresses for item in items)

            await eventually(is_live, "a load balancer with an address")
            for options in ([], ["--no-wait"]):
                refused = await tenant(fleet, "remove", "initech", *options)
                assert refused.code == FAILED
                assert "1 load balancers are live" in refused.err
                assert "fleetlb tenant remove initech --confirm initech" in refused.err
            assert await is_live()
            assert bus.connected
            wrong = await tenant(fleet, "remove", "initech", "--confirm", "acme")
            assert wrong.code == USAGE
            assert await is_live()
            assert "tenant initech is removed" in await done(fleet, "remove", "initech", "--confirm", "initech")
        assert not await is_there(fleet, "initech")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nobody"], ['tenants.fleetlb.dev "nobody" not found', "`fleetlb tenant list`"]),
        (["join", "nobody", "--nats-url", "nats://hub:4222"], ['"nobody" not found']),
        (["suspend", "nobody"], ['"nobody" not found']),
        (["rotate", "nobody"], ['"nobody" not found']),
        (["remove", "nobody"], ['"nobody" not found']),
        (["create", "badcidr", "--node-cidr", "10.1.2.3/16"], ["spec", "nodeCIDRs must be CIDRs without host bits"]),
        (
            ["create", "badports", "--node-cidr", NETWORK, "--node-port-range", "9-1"],
            ["nodePortRange must be LOW-HIGH"],
        ),
        (["create", "Capitals", "--node-cidr", NETWORK], ["metadata.name", "Capitals"]),
        (["create", "a" * 41, "--node-cidr", NETWORK], ["metadata.name must be a DNS label of at most 40 characters"]),
    ],
)
async def test_bad_input_is_answered_with_what_is_wrong(arguments: list[str], words: list[str], fleet: Fleet) -> None:
    outcome = await tenant(fleet, *arguments)
    assert outcome.code == FAILED
    assert [word for word in words if word not in outcome.err] == []
    assert len(outcome.err.splitlines()) == 1, outcome.err


async def test_a_cluster_that_does_not_answer_or_is_another_one_is_named(fleet: Fleet, tmp_path: Path) -> None:
    other = fleet.environment.tenants["acme"].kubeconfig
    outcome = await tenant(fleet, "list", kubeconfig=other)
    assert outcome.code == FAILED
    assert f"the cluster of {other} knows nothing of tenants" in outcome.err
    away = yaml.safe_load(Path(other).read_text())
    away["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "away.kubeconfig"
    path.write_text(json.dumps(away))
    outcome = await tenant(fleet, "list", kubeconfig=str(path))
    assert outcome.code == FAILED
    assert f"the API server of {path} gives no answer" in outcome.err


async def test_without_a_manager_it_says_so(fleet: Fleet) -> None:
    async with fleet.without("manager"):
        try:
            outcome = await tenant(fleet, "create", "umbrella", "--node-cidr", NETWORK, "--timeout", "1")
            assert outcome.code == FAILED
            assert "no manager has acted on it within 1 s" in outcome.err
            assert "umbrella   Unknown: NotLookedAt" in await done(fleet, "list")
            join = await tenant(fleet, "join", "umbrella", "--nats-url", "nats://hub:4222", "-o", "-")
            assert join.code == FAILED
            assert "holds no credentials: the manager" in join.err
            for words in (("suspend",), ("resume",), ("rotate", "--now")):
                outcome = await tenant(fleet, words[0], "umbrella", *words[1:], "--timeout", "1")
                assert outcome.code == FAILED
                assert "no manager has acted on it within 1 s" in outcome.err
        finally:
            await see_off(fleet, "umbrella")


async def test_a_user_without_rights_is_told_which(fleet: Fleet, tmp_path: Path) -> None:
    administrator = Kubectl(kubeconfig=Path(fleet.environment.management.kubeconfig))
    view = administrator.read("config", "view", "--raw", "--minify", "--flatten")
    administrator.run("create", "serviceaccount", "nobody", "-n", "default")
    token = administrator.run("create", "token", "nobody", "-n", "default").strip()
    path = tmp_path / "nobody.kubeconfig"
    path.write_text(watchers_kubeconfig(view, token))
    outcome = await tenant(fleet, "list", kubeconfig=str(path))
    assert outcome.code == FAILED
    assert 'cannot list resource "tenants"' in outcome.err
    assert "have this right granted" in outcome.err
