"""SEL and FIN where the fleet has a loadBalancerClass of its own: globex's watcher is told of one for this module."""

from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Stage
from tests.conformance.traces import STANDARD, finalizers, untouched
from tests.e2e.fleet import Fleet, next_node_port, tcp
from tests.stage.starting import watcher_told
from tests.stage.tenants import Tenant

OURS = "fleetlb.dev/Balanced"
OWN = "fleetlb.dev/load-balancer-cleanup"


@pytest.fixture(scope="module", autouse=True)
def class_mode(stage: Stage) -> Iterator[None]:
    """Globex serves this class alone."""
    with watcher_told(stage.state, "globex", LOAD_BALANCER_CLASS=OURS):
        yield


async def test_SEL_3_no_class_and_other_classes_are_left_alone(globex: Tenant, fleet: Fleet) -> None:
    created = [
        await globex.make("none", [tcp(8080, next_node_port())]),
        await globex.make("other", [tcp(8080, next_node_port())], loadBalancerClass="example.com/other"),
    ]
    await globex.witness(loadBalancerClass=OURS)
    for service in created:
        await untouched(globex, fleet, service)


async def test_SEL_4_classes_are_compared_exactly(globex: Tenant, fleet: Fleet) -> None:
    nearly = ["fleetlb.dev/balanced", "fleetlb.dev/Balance", "fleetlb.dev/Balanced2", "a.fleetlb.dev/Balanced"]
    created = [
        await globex.make(f"nearly-{number}", [tcp(8080, next_node_port())], loadBalancerClass=name)
        for number, name in enumerate(nearly)
    ]
    await globex.witness(loadBalancerClass=OURS)
    for service in created:
        await untouched(globex, fleet, service)


async def test_SEL_5_a_wiped_class_is_recognised_and_cleaned_up(globex: Tenant, fleet: Fleet) -> None:
    uid = await globex.create("web", [tcp(8080, next_node_port())], loadBalancerClass=OURS)
    await globex.address("web")
    await globex.patch("web", {"spec": {"type": "NodePort", "loadBalancerClass": None}})
    await globex.until_let_go("web")
    assert "loadBalancerClass" not in (await globex.get("web"))["spec"]
    assert await fleet.load_balancer("globex", uid) is None


async def test_FIN_2_a_finalizer_of_our_own_holds_where_another_controller_strips_the_standard_one(
    globex: Tenant, fleet: Fleet
) -> None:
    uid = await globex.create("web", [tcp(8080, next_node_port())], loadBalancerClass=OURS)
    await globex.address("web")
    assert await finalizers(globex, "web") == [STANDARD, OWN]
    async with fleet.without("manager"):
        await globex.delete("web")
        await globex.patch("web", {"metadata": {"finalizers": [OWN]}})
        assert await finalizers(globex, "web") == [OWN]
    await globex.until_gone("web")
    assert await fleet.load_balancer("globex", uid) is None
